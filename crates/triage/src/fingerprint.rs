//! What tells one file's content from another's.
//!
//! Files of up to 16 MiB are hashed whole. A dump of a hundred gigabytes is not read whole for that, when its analysis
//! reads a few megabytes: of larger files, 64 blocks of 4 KiB are hashed, spread evenly, the first and the last among
//! them, with the size and the time of the last change, to the nanosecond. (Blocks of 64 KiB took a fifth of all the time that a
//! pile takes.) So a hard link or an untouched file is known again, and a copy
//! is taken for new content; that it is of the same crash is told by what is in it (`identity.rs`).
//!
//! Small objects on servers are hashed in the same way, so that a pile that was copied there has the same keys. Of larger ones the
//! server's mark of the content (`ETag`) and the size are.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vmcore_os::open_file_or_disk;
use vmcore_remote::Object;

use crate::servers::Servers;

const WHOLE: u64 = 16 << 20;
const BLOCKS: u64 = 64;
const BLOCK: u64 = 4 << 10;
/// Hexadecimal digits of a key.
const DIGITS: usize = 32;

/// The key of one file's content, and its size.
fn of_file(path: &Path, hash: &mut Sha256) -> io::Result<u64> {
    // Asked before it is opened: a pipe would wait for somebody who writes.
    let kind = path.metadata()?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::other(if kind.is_dir() { "it is a directory" } else { "it is not a file" }));
    }
    let mut file = open_file_or_disk(path)?;
    let metadata = file.metadata()?;
    let len = metadata.len();
    hash.update(len.to_le_bytes());
    let mut block = Vec::new();
    if len <= WHOLE {
        file.take(WHOLE).read_to_end(&mut block)?;
        hash.update(&block);
        return Ok(len);
    }
    hash.update(metadata.mtime().to_le_bytes());
    hash.update(metadata.mtime_nsec().to_le_bytes());
    for index in 0..BLOCKS {
        let at = (len - BLOCK) / (BLOCKS - 1) * index;
        let at = if index + 1 == BLOCKS { len - BLOCK } else { at };
        file.seek(SeekFrom::Start(at))?;
        block.clear();
        file.by_ref().take(BLOCK).read_to_end(&mut block)?;
        hash.update(&block);
    }
    Ok(len)
}

/// The same of an object: the server's mark of its content stands for what is not hashed.
fn of_object(object: &Object, hash: &mut Sha256) -> io::Result<u64> {
    let len = object.len();
    hash.update(len.to_le_bytes());
    match (len, &object.version().etag) {
        (WHOLE.., Some(etag)) if len > WHOLE => hash.update(etag.as_bytes()),
        _ => {
            let mut block = vec![0; BLOCK as usize];
            for at in (0..len).step_by(BLOCK as usize) {
                let here = usize::try_from((len - at).min(BLOCK)).unwrap_or_default();
                let Some(block) = block.get_mut(..here) else { break };
                object.read_at(at, block)?;
                hash.update(&*block);
            }
        }
    }
    Ok(len)
}

/// The key of the content of one or more files, in whatever order they are named, and their bytes together.
pub(crate) fn of_files<'p>(
    paths: impl IntoIterator<Item = &'p PathBuf>,
    servers: &Servers,
) -> io::Result<(String, u64)> {
    let mut keys = Vec::new();
    let mut bytes = 0u64;
    for path in paths {
        let mut hash = Sha256::new();
        let len = match servers.object(path)? {
            Some(object) => of_object(&object, &mut hash)?,
            None => of_file(path, &mut hash)?,
        };
        bytes = bytes.saturating_add(len);
        keys.push(hash.finalize());
    }
    keys.sort_unstable();
    let all: Vec<u8> = keys.iter().flat_map(|key| key.iter().copied()).collect();
    Ok((hex(&all), bytes))
}

/// The first digits of the SHA-256 of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.take(DIGITS).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn equal_content_has_equal_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let key = |paths: &[PathBuf]| of_files(paths, &Servers::default()).unwrap().0;
        std::fs::write(path("a"), [1; 9000]).unwrap();
        std::fs::write(path("b"), [1; 9000]).unwrap();
        std::fs::write(path("c"), [2; 9000]).unwrap();
        assert_eq!(key(&[path("a")]), key(&[path("b")]));
        assert_ne!(key(&[path("a")]), key(&[path("c")]));
        assert_eq!(key(&[path("a"), path("c")]), key(&[path("c"), path("a")]));
        assert_eq!(key(&[path("a")]).len(), DIGITS);
    }

    #[test]
    fn large_files_are_sampled_and_their_links_known_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let file = File::create(path("large")).unwrap();
        file.set_len(WHOLE * 3 + 17).unwrap();
        std::fs::hard_link(path("large"), path("link")).unwrap();
        let key = |name: &str| of_files([&path(name)], &Servers::default()).unwrap();
        assert_eq!(key("large"), key("link"));
        assert_eq!(key("large").1, WHOLE * 3 + 17);
    }
}
