//! What a file is, by a few of its first bytes: for whoever sorts many files before any of them is opened.

use std::io::{self, BufReader, Read};
use std::path::Path;

use vmcore_memory::{PAGE_SIZE, le_u32};
use vmcore_os::open_file_or_disk;

use crate::Lookalike;
use crate::compressed::{Compression, open_stream};
use crate::flattened::{RECORD_HEADER_LEN, RECORDS_AT};
use crate::kdump;
use crate::sniff::{Detected, SNIFF_LEN, detect, is_core};

/// Bytes that are looked at, after unpacking: both headers of a kdump-compressed dump with blocks of 4 KiB.
const GLANCE_LEN: u64 = 2 * PAGE_SIZE;
/// The same with blocks of 64 KiB.
const LONGEST: u64 = (64 << 10) + SPLIT_AT + 4;
/// `struct kdump_sub_header.split`, in the second block.
const SPLIT_AT: u64 = 12;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Glance {
    /// A dump that is complete in one file, as far as its first bytes tell.
    Dump,
    /// One of the files that `makedumpfile --split` writes. Those of one dump have equal bytes here.
    Part(Vec<u8>),
    /// An ELF file that is no core: a vmlinux, a module, a profile.
    Program,
    /// Readable text.
    Text,
    /// Text that is compressed as a whole.
    CompressedText,
    /// A kernel to boot, an image of another format, zeroes, or nothing known.
    Other,
}

/// Looks at the first bytes of a file; of one that is compressed as a whole, at those that it was made from.
///
/// # Errors
///
/// As `open(2)` and `read(2)`, and of what is neither a file nor a disk.
pub fn glance(path: &Path) -> io::Result<Glance> {
    let mut head = Vec::new();
    let mut file = open_file_or_disk(path)?.take(GLANCE_LEN);
    file.read_to_end(&mut head)?;
    file.set_limit(glance_len(&head).saturating_sub(head.len() as u64));
    file.read_to_end(&mut head)?;
    at(&head, || {
        let mut unpacked = Vec::new();
        unpack_head(Box::new(open_file_or_disk(path)?), &head, &mut unpacked).map(|()| unpacked)
    })
}

/// The kernel's release that the header of a dump has: of kdump-compressed dumps by makedumpfile alone, flattened or not. Other
/// dumps have it in their notes, or in their memory. It is the dump's word for it, and text from a dump.
#[must_use]
pub fn header_release(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    open_file_or_disk(path).ok()?.take(GLANCE_LEN).read_to_end(&mut head).ok()?;
    let header_at = match detect(head.get(..SNIFF_LEN).unwrap_or(&head)) {
        Detected::Kdump => 0,
        // The first record is that of the header.
        Detected::Flattened => (RECORDS_AT + RECORD_HEADER_LEN) as usize,
        _ => return None,
    };
    let header = head.get(header_at..).filter(|header| header.starts_with(kdump::SIGNATURE))?;
    kdump::release(header).map(str::to_owned)
}

/// How many bytes of a file that starts with `head` [`glance_at`] wants to see: 8 KiB, and more of a dump with larger blocks.
#[must_use]
pub fn glance_len(head: &[u8]) -> u64 {
    let block = head.starts_with(kdump::SIGNATURE).then(|| kdump::block_size(head)).flatten();
    GLANCE_LEN.max(block.unwrap_or_default() + SPLIT_AT + 4)
}

/// As [`glance`], of a file of which only the beginning is at hand: [`glance_len`], or more where it is compressed as a whole.
///
/// # Errors
///
/// None, but as [`glance`].
pub fn glance_at(head: &[u8]) -> io::Result<Glance> {
    at(head, || {
        let mut unpacked = Vec::new();
        // That it ends where the beginning ends is no damage.
        let _ = unpack_head(Box::new(io::Cursor::new(head.to_vec())), head, &mut unpacked);
        Ok(unpacked)
    })
}

fn at(head: &[u8], unpack: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Glance> {
    let Some(compression) = Compression::detect(head) else {
        return Ok(of(head));
    };
    // Which file of an archive is a dump is found out when it is opened.
    if matches!(compression, Compression::Avml | Compression::Tar) {
        return Ok(Glance::Dump);
    }
    // What cannot be unpacked may still be a dump, and says so when it is opened.
    let unpacked = unpack().unwrap_or_default();
    Ok(match of(&unpacked) {
        Glance::Text => Glance::CompressedText,
        _ if unpacked.is_empty() => Glance::Dump,
        other => other,
    })
}

fn unpack_head(input: Box<dyn Read>, head: &[u8], unpacked: &mut Vec<u8>) -> io::Result<()> {
    let Some(compression) = Compression::detect(head) else { return Ok(()) };
    open_stream(compression, BufReader::new(input)).take(LONGEST).read_to_end(unpacked).map(drop)
}

/// Whether there are other parts; `None` where that is not at hand.
fn split(head: &[u8]) -> Option<u32> {
    le_u32(head, usize::try_from(kdump::block_size(head).unwrap_or(PAGE_SIZE) + SPLIT_AT).ok()?)
}

fn of(head: &[u8]) -> Glance {
    match detect(head.get(..SNIFF_LEN).unwrap_or(head)) {
        Detected::Elf if is_core(head) => Glance::Dump,
        Detected::Elf => Glance::Program,
        Detected::Kdump => match (split(head), kdump::identity(head)) {
            (Some(1..), Some(identity)) => Glance::Part(identity.to_vec()),
            _ => Glance::Dump,
        },
        Detected::Flattened | Detected::Lime => Glance::Dump,
        Detected::Other(Lookalike::Text) => Glance::Text,
        Detected::Other(_) => Glance::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn kdump(split: u8) -> Vec<u8> {
        with_blocks(4096, split)
    }

    fn with_blocks(size: u32, split: u8) -> Vec<u8> {
        let mut bytes = vec![0; (2 * size as usize).max(8192)];
        bytes[..9].copy_from_slice(b"KDUMP   \x06");
        bytes[428..432].copy_from_slice(&size.to_le_bytes());
        bytes[(u64::from(size) + SPLIT_AT) as usize] = split;
        bytes
    }

    #[test]
    fn dumps_parts_programs_and_text() {
        let elf = |kind: u8| [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".as_slice(), &[kind, 0]].concat();
        assert_eq!((of(&elf(4)), of(&elf(2)), of(b"\x7fELF")), (Glance::Dump, Glance::Program, Glance::Program));
        assert_eq!(of(&kdump(0)), Glance::Dump);
        assert!(matches!(of(&kdump(1)), Glance::Part(identity) if identity.len() > 400));
        assert_eq!((of(b"[    1.5] text\n"), of(&[0; 99]), of(b"")), (Glance::Text, Glance::Other, Glance::Other));
    }

    #[test]
    fn parts_may_have_the_pages_of_arm64() {
        let directory = tempfile::tempdir().unwrap();
        for (size, needed) in [(4096, 8192), (0x4000, 0x4010), (0x1_0000, 0x1_0010)] {
            let part = with_blocks(size, 1);
            assert_eq!(glance_len(&part[..8192]), needed, "{size}");
            assert!(matches!(glance_at(&part[..needed as usize]).unwrap(), Glance::Part(_)), "{size}");
            let path = directory.path().join(size.to_string());
            std::fs::write(&path, &part).unwrap();
            assert!(matches!(glance(&path).unwrap(), Glance::Part(_)), "{size}");
            std::fs::write(&path, with_blocks(size, 0)).unwrap();
            assert_eq!(glance(&path).unwrap(), Glance::Dump, "{size}");
        }
        // A size that no machine has.
        assert_eq!((glance_len(&with_blocks(100, 1)), of(&with_blocks(100, 1))), (8192, Glance::Dump));
    }

    #[test]
    fn the_release_is_that_of_the_header() {
        let directory = tempfile::tempdir().unwrap();
        let release = |bytes: &[u8]| {
            let path = directory.path().join("vmcore");
            std::fs::write(&path, bytes).unwrap();
            header_release(&path)
        };
        let mut named = kdump(0);
        named[142..153].copy_from_slice(b"6.1.0-amd64");
        // By the machine's name it is known that the names are in their places.
        assert_eq!(release(&named), None);
        named[272..278].copy_from_slice(b"x86_64");
        assert_eq!(release(&named).as_deref(), Some("6.1.0-amd64"));
        let flattened = crate::test_support::flatten(&named, 8192);
        assert_eq!(release(&flattened).as_deref(), Some("6.1.0-amd64"));
        named[142] = 0xff;
        assert_eq!((release(&named), release(b"KDUMP   "), release(b"\x7fELF\x02\x01\x01")), (None, None, None));
    }

    #[test]
    fn compressed_files_are_what_is_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            let path = directory.path().join(name);
            std::fs::write(&path, encoder.finish().unwrap()).unwrap();
            glance(&path).unwrap()
        };
        assert_eq!(file("a", &kdump(0)), Glance::Dump);
        assert_eq!(file("b", b"[    1.0] Linux version\n"), Glance::CompressedText);
        assert_eq!(file("c", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0"), Glance::Program);
        let path = directory.path().join("d");
        std::fs::write(&path, b"\x1f\x8bnonsense").unwrap();
        assert_eq!(glance(&path).unwrap(), Glance::Dump);
    }
}
