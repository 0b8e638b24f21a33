//! A large section that is read piece by piece into buffers of the reader.

use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

use vmcore_memory::{le_u32, le_u64};

use crate::bytes::Bytes;

/// The most that is read at once, in bytes: far above any unit or line program, far below the memory of a machine.
const MAX_PIECE: u64 = 256 << 20;

/// A section in a file or, where the file has it compressed, in memory.
#[derive(Debug)]
pub(super) enum Section {
    InFile { file: Arc<File>, offset: u64, len: u64 },
    InMemory(Bytes),
}

impl Section {
    pub(super) const fn in_file(file: Arc<File>, offset: u64, len: u64) -> Self {
        Self::InFile { file, offset, len }
    }

    pub(super) const fn in_memory(bytes: Bytes) -> Self {
        Self::InMemory(bytes)
    }

    /// The section's length in bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::InFile { len, .. } => *len,
            Self::InMemory(bytes) => bytes.len() as u64,
        }
    }

    /// Exactly `len` bytes from `offset` on; `None` where the section does not have them or the file cannot be read.
    pub(super) fn read(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        if len > MAX_PIECE || offset.checked_add(len)? > self.len() {
            return None;
        }
        match self {
            Self::InFile { file, offset: start, .. } => {
                let mut piece = vec![0; usize::try_from(len).ok()?];
                file.read_exact_at(&mut piece, start.checked_add(offset)?).ok()?;
                Some(piece)
            }
            Self::InMemory(bytes) => Some(bytes.slice(offset, len)?.to_vec()),
        }
    }
}

/// The length of the unit, line program or other table that starts at `offset`, its length field included: a `u32`, or
/// an escape value and a `u64` in the 64-bit format of DWARF.
pub(super) fn piece_len(section: &Section, offset: u64) -> Option<u64> {
    const DWARF64: u32 = 0xffff_ffff;
    let available = section.len().checked_sub(offset)?;
    let field = section.read(offset, available.min(12))?;
    match le_u32(&field, 0)? {
        DWARF64 => le_u64(&field, 4)?.checked_add(12),
        len => u64::from(len).checked_add(4),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pieces_come_from_inside_the_section_only() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"headSECTIONtail").unwrap();
        let in_file = Section::in_file(Arc::new(file), 4, 7);
        let in_memory = Section::in_memory(b"SECTION".to_vec().into());
        for section in [in_file, in_memory] {
            assert_eq!(section.len(), 7);
            assert_eq!(section.read(0, 7).unwrap(), b"SECTION");
            assert_eq!(section.read(4, 3).unwrap(), b"ION");
            assert_eq!(section.read(4, 4), None);
            assert_eq!(section.read(u64::MAX, 2), None);
            assert_eq!(section.read(0, u64::MAX), None);
        }
    }

    #[test]
    fn a_file_that_ends_early_gives_no_piece() {
        let section = Section::in_file(Arc::new(tempfile::tempfile().unwrap()), 0, 100);
        assert_eq!(section.read(0, 10), None);
    }
}
