//! Blocks on disk, for the next command on the same object.
//!
//! ```text
//! DIR/IDENTITY/000000000000002a    a block, and the CRC-32 of it: IDENTITY is the SHA-256 of the address without its query,
//! DIR/IDENTITY/found                the server's mark, and the length; `found` is what a reader wants to have remembered
//! ```
//! Files appear by rename, so any number of processes may write them. They are their owner's alone. Whole objects make room, the
//! one first that was begun longest ago.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use vmcore_os::UnfinishedFile;

use crate::client::hex;
use crate::{Address, BLOCK, Version};

/// Bytes behind a block.
const SEAL: usize = 4;
/// Written between two looks at how much there is.
const LOOK_AFTER: u64 = 64 << 20;
/// Bytes of what a reader has remembered.
const MAX_FOUND: u64 = 256 << 20;

/// A directory for blocks, and how much it may hold.
#[derive(Clone, Debug)]
pub struct BlockFiles {
    /// The directory.
    pub directory: PathBuf,
    /// Bytes.
    pub limit: u64,
}

/// The blocks of one version of an object.
#[derive(Debug)]
pub(crate) struct ObjectFiles {
    all: BlockFiles,
    own: PathBuf,
    /// Bytes until it is looked whether there are too many.
    until_look: AtomicU64,
    looking: Mutex<()>,
}

impl BlockFiles {
    /// The place of an object's blocks; `None` where another version could not be told from this, or nothing may be written.
    pub(crate) fn of(&self, address: &Address, version: &Version) -> Option<ObjectFiles> {
        if self.limit == 0 || version.etag.is_none() {
            return None;
        }
        let mut hash = Sha256::new();
        for part in [&address.to_string(), version.etag.as_deref().unwrap_or_default(), &version.len.to_string()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let own = self.directory.join(hex(hash.finalize().get(..16)?));
        DirBuilder::new().recursive(true).mode(0o700).create(&own).ok()?;
        let files = ObjectFiles {
            all: self.clone(),
            own,
            until_look: AtomicU64::new(LOOK_AFTER.min(self.limit)),
            looking: Mutex::default(),
        };
        files.make_room();
        Some(files)
    }
}

impl ObjectFiles {
    fn path(&self, index: u64) -> PathBuf {
        self.own.join(format!("{index:016x}"))
    }

    /// A block of `len` bytes, if it is there and whole.
    pub(crate) fn get(&self, index: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = read_sealed(&self.path(index), BLOCK)?;
        (bytes.len() == len).then(|| std::mem::take(&mut bytes))
    }

    /// Keeps a block. Where that fails it is fetched again the next time.
    pub(crate) fn put(&self, index: u64, block: &[u8]) {
        self.write(&self.path(index), block);
    }

    pub(crate) fn recall(&self) -> Option<Vec<u8>> {
        read_sealed(&self.own.join("found"), MAX_FOUND)
    }

    pub(crate) fn remember(&self, found: &[u8]) {
        if found.len() as u64 <= MAX_FOUND.min(self.all.limit / 2) {
            self.write(&self.own.join("found"), found);
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        let write = || {
            // Beside the objects' directories, where killed runs leave few files.
            let mut file = UnfinishedFile::new_in(&self.all.directory)?;
            file.write_all(bytes)?;
            file.write_all(&crc32fast::hash(bytes).to_le_bytes())?;
            file.replace(path)
        };
        // Another process may have made room of all this: then nothing more is kept.
        if write().is_ok() {
            let len = bytes.len() as u64;
            let left = self.until_look.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(len));
            if left.is_err() {
                self.until_look.store(LOOK_AFTER.min(self.all.limit), Ordering::Relaxed);
                self.make_room();
            }
        }
    }

    /// Removes other objects' blocks until the limit is kept, and if that is not enough this one's.
    fn make_room(&self) {
        let Ok(_only_one) = self.looking.try_lock() else { return };
        let directories = self.all.directory.read_dir().into_iter().flatten().flatten();
        let mut objects: Vec<_> = directories
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .map(|path| (path == self.own, begun(&path), size(&path), path))
            .collect();
        objects.sort();
        let mut total = objects.iter().map(|(_, _, size, _)| *size).fold(0, u64::saturating_add);
        for (is_own, _, size, path) in &objects {
            if total <= self.all.limit {
                break;
            }
            // Others may be removing it too.
            let _ = fs::remove_dir_all(path);
            if *is_own {
                let _ = DirBuilder::new().recursive(true).mode(0o700).create(path);
            }
            total = total.saturating_sub(*size);
        }
    }
}

fn read_sealed(path: &Path, limit: u64) -> Option<Vec<u8>> {
    if fs::metadata(path).ok()?.len() > limit + SEAL as u64 {
        return None;
    }
    let mut bytes = fs::read(path).ok()?;
    let seal = bytes.split_off(bytes.len().checked_sub(SEAL)?);
    (seal == crc32fast::hash(&bytes).to_le_bytes()).then_some(bytes)
}

fn begun(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn size(path: &Path) -> u64 {
    let files = path.read_dir().into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: &str) -> Version {
        Version { len: 9, etag: Some(etag.to_owned()), modified: None }
    }

    fn address(query: &str) -> Address {
        Address::parse(&format!("https://host/vmcore{query}")).unwrap().unwrap()
    }

    #[test]
    fn blocks_are_of_one_version_whatever_the_query() {
        let directory = tempfile::tempdir().unwrap();
        let files = BlockFiles { directory: directory.path().join("objects"), limit: 1 << 30 };
        let first = files.of(&address("?signature=1"), &version("\"a\"")).unwrap();
        first.put(3, b"contents!");
        first.remember(b"an index");
        let again = files.of(&address("?signature=2"), &version("\"a\"")).unwrap();
        assert_eq!(
            (again.get(3, 9).as_deref(), again.get(3, 8), again.get(4, 9)),
            (Some(&b"contents!"[..]), None, None)
        );
        assert_eq!(again.recall().as_deref(), Some(&b"an index"[..]));
        let other = files.of(&address(""), &version("\"b\"")).unwrap();
        assert_eq!((other.get(3, 9), other.recall()), (None, None));
        assert!(files.of(&address(""), &Version { etag: None, ..version("") }).is_none());
        // Nobody else may read what was in a machine's memory.
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
        assert_eq!((mode(&files.directory), mode(&first.own), mode(&first.path(3))), (0, 0, 0));
    }

    #[test]
    fn damaged_blocks_are_fetched_again() {
        let directory = tempfile::tempdir().unwrap();
        let files = BlockFiles { directory: directory.path().to_owned(), limit: 1 << 30 };
        let object = files.of(&address(""), &version("a")).unwrap();
        object.put(0, b"contents!");
        let mut bytes = fs::read(object.path(0)).unwrap();
        bytes[2] ^= 1;
        fs::write(object.path(0), &bytes).unwrap();
        assert_eq!(object.get(0, 9), None);
        fs::write(object.path(0), b"").unwrap();
        assert_eq!(object.get(0, 9), None);
    }

    #[test]
    fn the_limit_holds_and_the_oldest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let files = BlockFiles { directory: directory.path().to_owned(), limit: 1 << 20 };
        let block = vec![1; BLOCK as usize];
        for name in ["a", "b", "c"] {
            let object = files.of(&address(""), &version(name)).unwrap();
            (0..2).for_each(|index| object.put(index, &block));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let last = files.of(&address(""), &version("c")).unwrap();
        assert!(last.get(1, block.len()).is_some(), "the one in use stays");
        assert!(files.of(&address(""), &version("a")).unwrap().get(0, block.len()).is_none());
        (0..40).for_each(|index| last.put(index, &block));
        assert!(size(&last.own) <= files.limit + files.limit / 4, "{}", size(&last.own));
    }
}
