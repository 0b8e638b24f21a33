//! A file whose pages of zeroes take no room: a dump has many of them.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use vmcore_memory::PAGE_SIZE;

/// A new file that is written from its start to its end.
pub(super) struct SparseFile {
    file: File,
    len: u64,
}

impl SparseFile {
    /// A file without a name in `directory`, for its owner alone.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Self { file, len: 0 })
    }

    /// Bytes written so far, zeroes included.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends `bytes`. Runs of pages that are all zeroes, counted from the start of `bytes`, become holes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_zero = |page: &[u8]| page.iter().all(|&byte| byte == 0);
        let mut rest = bytes;
        while let Some(first) = rest.chunks(PAGE_SIZE as usize).next() {
            let hole = is_zero(first);
            let pages = rest.chunks(PAGE_SIZE as usize).take_while(|page| is_zero(page) == hole);
            let (run, after) = rest.split_at_checked(pages.map(<[u8]>::len).sum()).unwrap_or((rest, &[]));
            if !hole {
                self.file.write_all_at(run, self.len)?;
            }
            self.len += run.len() as u64;
            rest = after;
        }
        Ok(())
    }

    /// The file with its full length.
    pub(super) fn finish(self) -> io::Result<File> {
        self.file.set_len(self.len)?;
        Ok(self.file)
    }
}
