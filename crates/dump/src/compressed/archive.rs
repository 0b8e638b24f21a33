//! A dump in a tar archive, which may itself be compressed: the first member that is one.
//!
//! ```text
//! each member: a header of 512 bytes ("ustar" at 257), then its contents, padded to a multiple of 512
//! ```
//!
//! Source: `pax` and `tar` of POSIX; GNU tar's manual, "Basic Tar Format".

use std::io::{self, BufReader, Cursor, Read};

use tar::{Archive, EntryType};

use super::{Compression, open_stream};
use crate::sniff::{self, Detected, SNIFF_LEN};
use crate::warnings::Warnings;

const SIGNATURE_AT: usize = 257;
const SIGNATURE: &[u8] = b"ustar";
/// Members that are looked at.
const MAX_MEMBERS: usize = 10_000;

/// Whether a file that starts with `head` is an archive.
pub(super) fn is_archive(head: &[u8]) -> bool {
    head.get(SIGNATURE_AT..).is_some_and(|rest| rest.starts_with(SIGNATURE))
}

/// The stream itself, or the dump in it where it is an archive; `is_archive` says that it is known to be one.
///
/// # Errors
///
/// What the stream says; [`io::ErrorKind::InvalidData`] where no member of an archive is a dump.
pub(super) fn member(
    mut stream: Box<dyn Read>,
    is_archive: bool,
    warnings: &mut Warnings,
) -> io::Result<Box<dyn Read>> {
    let head = head_of(&mut stream)?;
    let known = is_archive || self::is_archive(&head);
    let stream: Box<dyn Read> = Box::new(Cursor::new(head).chain(stream));
    if known { dump_in(stream, warnings) } else { Ok(stream) }
}

/// As many of the first bytes as tell what it is. A stream that fails behind them is to fail when they are read again.
fn head_of(stream: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = stream.take(SNIFF_LEN as u64).read_to_end(&mut head);
    if head.is_empty() { read.map(|_| head) } else { Ok(head) }
}

/// The first member that is a dump, to its end.
fn dump_in(stream: Box<dyn Read>, warnings: &mut Warnings) -> io::Result<Box<dyn Read>> {
    let mut archive = Archive::new(stream);
    let mut found = None;
    for entry in archive.entries()?.take(MAX_MEMBERS) {
        let mut entry = entry?;
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse) {
            continue;
        }
        let mut head = head_of(&mut entry)?;
        if matches!(Compression::detect(&head), Some(packed) if !matches!(packed, Compression::Avml | Compression::Tar))
        {
            // What cannot be read now fails when it is read again.
            let _ = (&mut entry).take(FIRST_BLOCK).read_to_end(&mut head);
        }
        if is_dump(&head) {
            found = Some((head, entry.size()));
            break;
        }
    }
    let (head, size) = found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no member of it is a dump"))?;
    warnings.push("of an archive its first dump is read; where there are others, name them by themselves".to_owned());
    let rest = size.saturating_sub(head.len() as u64);
    // Behind the head of a member the archive's stream is at the rest of it.
    let stream = archive.into_inner();
    Ok(Box::new(Cursor::new(head).chain(Whole { left: rest, stream })))
}

/// Of no kind of compression is the first block longer: one of bzip2 has 900 kB, one of zstd 128 KiB.
const FIRST_BLOCK: u64 = 1 << 20;

/// Whether a member that starts so is a dump, or what it was compressed from.
fn is_dump(head: &[u8]) -> bool {
    match (sniff::detect(head), Compression::detect(head)) {
        (Detected::Other(_), Some(Compression::Avml | Compression::Tar)) => true,
        (Detected::Other(_), Some(compression)) => {
            let stream = open_stream(compression, BufReader::new(Cursor::new(head.to_vec())));
            let mut unpacked = Vec::new();
            // That it ends where the head ends is no damage.
            let _ = stream.take(SNIFF_LEN as u64).read_to_end(&mut unpacked);
            unpacked.is_empty() || is_plain_dump(&unpacked)
        }
        _ => is_plain_dump(head),
    }
}

fn is_plain_dump(head: &[u8]) -> bool {
    match sniff::detect(head) {
        Detected::Elf => sniff::is_core(head),
        Detected::Other(_) => false,
        _ => true,
    }
}

/// The rest of a member. Where the stream ends before, that is no end but a failure.
struct Whole {
    left: u64,
    stream: Box<dyn Read>,
}

impl Read for Whole {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.stream.read(buf.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}
