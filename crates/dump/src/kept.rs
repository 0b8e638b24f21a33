//! What a distilled dump kept of its pages.
//!
//! The pages of such a dump hold only the bytes that an analysis read; the others were overwritten with zeroes. A note of
//! its own says which are which, so that nobody takes those zeroes for the machine's memory:
//!
//! ```text
//! owner "VMCORE-THP", type 1; u64 start, u64 length of each range of physical addresses that was kept, ascending
//! ```

use std::ops::Range;

use vmcore_memory::{PhysAddr, ReadError, le_u64};

use crate::RawNote;

const OWNER: &[u8] = b"VMCORE-THP";
const KIND: u32 = 1;
/// Bytes of a range in the note.
const RANGE_LEN: usize = 16;

/// The ranges of physical memory that were kept: ascending, and no two touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRanges(Vec<Range<PhysAddr>>);

impl KeptRanges {
    /// `ranges` must be ascending.
    #[must_use]
    pub const fn new(ranges: Vec<Range<PhysAddr>>) -> Self {
        Self(ranges)
    }

    /// The note that says so in the dump's file.
    #[must_use]
    pub fn to_note(&self) -> RawNote {
        let words = |range: &Range<PhysAddr>| [range.start.get(), range.end.get().saturating_sub(range.start.get())];
        let desc = self.0.iter().flat_map(words).flat_map(u64::to_le_bytes).collect();
        RawNote { name: OWNER.to_vec(), kind: KIND, desc }
    }

    /// Whether `note` is one of these.
    #[must_use]
    pub fn is_note(note: &RawNote) -> bool {
        note.name == OWNER && note.kind == KIND
    }

    /// What the note says; `None` where it makes no sense.
    pub(crate) fn parse(note: &RawNote) -> Option<Self> {
        let mut ranges: Vec<Range<PhysAddr>> = Vec::with_capacity(note.desc.len() / RANGE_LEN);
        for bytes in note.desc.chunks(RANGE_LEN) {
            let start = PhysAddr::new(le_u64(bytes, 0)?);
            let end = start.checked_add(le_u64(bytes, 8)?)?;
            if end <= start || ranges.last().is_some_and(|last| last.end > start) {
                return None;
            }
            ranges.push(start..end);
        }
        Some(Self(ranges))
    }

    /// Whether all of `len` bytes from `address` on were kept.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotKept`] with the first address that was not.
    pub(crate) fn check(&self, address: PhysAddr, len: usize) -> Result<(), ReadError> {
        let Some(end) = address.checked_add(len as u64) else { return Err(ReadError::NotKept { address }) };
        let (mut at, end) = (address.get(), end.get());
        let first = self.0.partition_point(|range| range.end.get() <= at);
        for range in self.0.get(first..).unwrap_or_default() {
            if at >= end || range.start.get() > at {
                break;
            }
            at = range.end.get();
        }
        if at >= end { Ok(()) } else { Err(ReadError::NotKept { address: PhysAddr::new(at) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ranges: &[(u64, u64)]) -> KeptRanges {
        KeptRanges::new(ranges.iter().map(|&(start, end)| PhysAddr::new(start)..PhysAddr::new(end)).collect())
    }

    #[test]
    fn a_note_says_what_was_kept() {
        let kept = ranges(&[(0x1000, 0x1010), (0x1018, 0x2000), (0x2000, 0x2008)]);
        assert!(KeptRanges::is_note(&kept.to_note()));
        assert_eq!(KeptRanges::parse(&kept.to_note()), Some(kept.clone()));
        let missing = |address, len| match kept.check(PhysAddr::new(address), len) {
            Err(ReadError::NotKept { address }) => Some(address.get()),
            other => other.map(|()| None).unwrap(),
        };
        assert_eq!(missing(0x1000, 16), None);
        assert_eq!(missing(0x1018, 0xff0), None, "ranges that touch are one");
        assert_eq!(missing(0x1020, 0), None);
        assert_eq!(missing(0x1000, 17), Some(0x1010));
        assert_eq!(missing(0xff8, 16), Some(0xff8));
        assert_eq!(missing(0x3000, 1), Some(0x3000));
        assert_eq!(missing(u64::MAX, 8), Some(u64::MAX));
    }

    #[test]
    fn a_note_that_makes_no_sense_is_none() {
        for wrong in [&[(8, 8)][..], &[(16, 24), (0, 8)], &[(0, 16), (8, 24)]] {
            assert_eq!(KeptRanges::parse(&ranges(wrong).to_note()), None, "{wrong:?}");
        }
        let mut short = ranges(&[(0, 8)]).to_note();
        short.desc.pop();
        assert_eq!(KeptRanges::parse(&short), None);
    }
}
