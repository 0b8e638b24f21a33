//! LiME memory images, also as AVML writes them without compression.
//!
//! ```text
//! for each range: u32 "EMiL", u32 version (1), u64 first address, u64 last address, 8 bytes of zeroes, the bytes
//! ```
//!
//! All numbers are little-endian. The ranges are those of "System RAM" in `/proc/iomem`. There are no notes, so no
//! registers. Source: LiME's `doc/README.md` and `src/lime.h`.

use std::path::Path;

use vmcore_memory::{FileOffset, le_u32, le_u64};

use crate::bytes::FileBytes;
use crate::contents::Contents;
use crate::elf::ElfMemory;
use crate::notes::Notes;
use crate::warnings::Warnings;
use crate::{OpenError, Source};

/// What each range begins with.
pub(crate) const SIGNATURE: &[u8; 4] = b"EMiL";
/// Bytes before the bytes of a range.
pub(crate) const HEADER_LEN: u64 = 32;
/// More than any memory map has.
const MAX_RANGES: usize = 1 << 20;

/// The header of the range with these first and last addresses.
pub(crate) fn header(first: u64, last: u64) -> Vec<u8> {
    [SIGNATURE, &1u32.to_le_bytes()[..], &first.to_le_bytes(), &last.to_le_bytes(), &[0; 8]].concat()
}

/// Reads the headers of all ranges.
///
/// # Errors
///
/// [`OpenError::NoMemory`] where there is no range.
pub(crate) fn open(path: &Path, file: FileBytes, mut warnings: Warnings) -> Result<Contents<ElfMemory>, OpenError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut expected = 0;
    while at < file.len() && pieces.len() < MAX_RANGES {
        let head = file.prefix(at, HEADER_LEN);
        let Some((first, len)) = range(&head) else {
            let place = FileOffset::new(at);
            warnings.push(format!("at file offset {place} there is no range of a LiME image: the rest is not used"));
            break;
        };
        let start = at.saturating_add(HEADER_LEN);
        pieces.push((first, len, start));
        at = start.saturating_add(len);
        expected = at;
    }
    if pieces.is_empty() {
        return Err(OpenError::NoMemory { path: path.to_owned() });
    }
    let memory = ElfMemory::of_pieces(file, &pieces, Some(expected));
    Ok(Contents { source: Source::Unknown, memory, notes: Notes::default(), warnings })
}

/// First address and length.
fn range(head: &[u8]) -> Option<(u64, u64)> {
    if head.get(..4)? != SIGNATURE || le_u32(head, 4)? != 1 {
        return None;
    }
    let (first, last) = (le_u64(head, 8)?, le_u64(head, 16)?);
    let len = last.checked_sub(first)?.checked_add(1)?;
    first.checked_add(len).map(|_| (first, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{assert_bytes, file as temporary, page, read};
    use crate::{Dump, Format};

    fn image() -> Vec<u8> {
        let range = |first: u64, pages: std::ops::Range<u64>| {
            let bytes: Vec<u8> = pages.flat_map(page).collect();
            [header(first, first + bytes.len() as u64 - 1), bytes].concat()
        };
        [range(0x1000, 1..4), range(0x10_0000, 256..260)].concat()
    }

    #[test]
    fn ranges_are_where_they_say() {
        let file = temporary(&image());
        let dump = Dump::open(file.path()).unwrap();
        assert_eq!((dump.format(), dump.incomplete(), dump.page_count().present), (Format::Lime, None, 7));
        assert_bytes(read(&dump, 0x3000, 4096), page(3));
        assert_bytes(read(&dump, 0x10_2000, 4096), page(258));
        assert!(read(&dump, 0x4000, 8).is_err());
    }

    #[test]
    fn what_is_cut_off_is_said() {
        let whole = image();
        let file = temporary(&whole[..whole.len() - 5000]);
        let dump = Dump::open(file.path()).unwrap();
        assert_eq!(dump.incomplete().unwrap().expected_len, Some(whole.len() as u64));
        assert_bytes(read(&dump, 0x10_1000, 4096), page(257));
        let mut damaged = whole;
        damaged[32 + 3 * 4096] ^= 1;
        let file = temporary(&damaged);
        let dump = Dump::open(file.path()).unwrap();
        assert!(dump.warnings()[0].contains("no range of a LiME image"), "{:?}", dump.warnings());
        assert_eq!(dump.page_count().present, 3);
    }
}
