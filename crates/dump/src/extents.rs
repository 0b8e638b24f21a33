//! Which bytes of physical memory are where in the file: a sorted list without overlaps.
//!
//! Segments do overlap in real dumps. `/proc/vmcore` has the kernel's text once by itself and once inside its memory
//! bank; QEMU with `paging=true` names every virtual mapping of the same page. All copies hold the same bytes, so any
//! will do, as long as it is one that is really in the file: a copy in the file wins over one past its end, and that
//! over one that was left out.

use std::ops::Range;

use vmcore_memory::{FileOffset, PAGE_SIZE, PhysAddr, ReadError};

use crate::PageCount;
use crate::bytes::FileBytes;

/// What there is for a range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Bytes in the file, from this offset on.
    File(u64),
    /// The file should have the bytes from this offset on, but it ends before.
    PastEnd(u64),
    /// The writer named the range but left it out.
    LeftOut,
}

/// A range of physical memory with one kind of backing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First address.
    pub(crate) start: u64,
    /// One past the last address.
    pub(crate) end: u64,
    pub(crate) backing: Backing,
}

impl Extent {
    /// The part from `start` to `end`, which must lie within this extent.
    fn part(&self, start: u64, end: u64) -> Self {
        let skipped = start - self.start;
        let backing = match self.backing {
            Backing::File(offset) => Backing::File(offset.saturating_add(skipped)),
            Backing::PastEnd(offset) => Backing::PastEnd(offset.saturating_add(skipped)),
            Backing::LeftOut => Backing::LeftOut,
        };
        Self { start, end, backing }
    }
}

/// Physical memory by address. A look-up takes a place in a table, and a binary search among the few extents that begin
/// near there: dumps by QEMU can have a hundred thousand, and everything is read through this.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    list: Vec<Extent>,
    table: Table,
}

/// Where in the list the extents of each stretch of memory begin. All stretches are as long; there are at most twice as
/// many as extents.
#[derive(Debug, Default)]
struct Table {
    /// Of the first extent.
    base: u64,
    /// Stretches are this power of two long.
    shift: u32,
    /// For each stretch the first extent that begins in it or later, and at the end how many extents there are.
    firsts: Vec<usize>,
}

impl Table {
    fn new(list: &[Extent]) -> Self {
        let (Some(first), Some(last)) = (list.first(), list.last()) else { return Self::default() };
        let span = last.start.saturating_sub(first.start);
        let most = (list.len() as u64).next_power_of_two();
        let shift = (u64::BITS - span.leading_zeros()).saturating_sub(most.trailing_zeros());
        let stretches = span.checked_shr(shift).unwrap_or(0).saturating_add(1);
        let number = |extent: &Extent| (extent.start - first.start).checked_shr(shift).unwrap_or(0);
        let mut at = 0;
        let mut begins = |stretch: u64| {
            while list.get(at).is_some_and(|extent| number(extent) < stretch) {
                at += 1;
            }
            at
        };
        Self { base: first.start, shift, firsts: (0..=stretches).map(&mut begins).collect() }
    }

    /// Between which places of the list an address has to be looked for. All extents before begin at or below it.
    #[inline]
    fn stretch(&self, address: u64) -> Option<(usize, usize)> {
        let number = usize::try_from(address.checked_sub(self.base)?.checked_shr(self.shift).unwrap_or(0)).ok()?;
        match (self.firsts.get(number), self.firsts.get(number.saturating_add(1))) {
            (Some(&from), Some(&to)) => Some((from, to)),
            // Behind the beginning of the last.
            _ => self.firsts.last().map(|&all| (all, all)),
        }
    }
}

impl Extents {
    /// Sorts `pieces`, which may overlap and be empty, and resolves the overlaps.
    pub(crate) fn new(pieces: Vec<Extent>) -> Self {
        let mut levels = [const { Vec::new() }; 3];
        let [in_file, past_end, left_out] = &mut levels;
        for piece in pieces {
            match piece.backing {
                Backing::File(_) => in_file.push(piece),
                Backing::PastEnd(_) => past_end.push(piece),
                Backing::LeftOut => left_out.push(piece),
            }
        }
        let mut all = Vec::new();
        for level in levels {
            let level = disjoint(level);
            if all.is_empty() {
                all = level;
            } else if !level.is_empty() {
                let gaps = only_gaps(&all, level);
                all.extend(gaps);
                all.sort_unstable_by_key(|extent| extent.start);
            }
        }
        let table = Table::new(&all);
        Self { list: all, table }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[inline]
    fn find(&self, address: u64) -> Option<&Extent> {
        let (from, to) = self.table.stretch(address)?;
        let after = from + self.list.get(from..to)?.partition_point(|extent| extent.start <= address);
        self.list.get(after.checked_sub(1)?).filter(|extent| address < extent.end)
    }

    /// Fills `buf` from `address` on with bytes of `file`.
    #[inline]
    pub(crate) fn read(&self, file: &FileBytes, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len() as u64;
        let end = address.get().checked_add(len).ok_or(ReadError::BadRange { address: address.get(), len })?;
        if let Some(extent) = self.find(address.get())
            && end <= extent.end
            && len > 0
        {
            return read_within(extent, file, address.get(), buf);
        }
        self.read_across(address.get(), buf, |offset, buf| file.read(offset, buf), file)
    }

    /// As [`Extents::read`], for passes over large parts of the file that should not stay in memory.
    pub(crate) fn read_apart(&self, file: &FileBytes, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len() as u64;
        address.get().checked_add(len).ok_or(ReadError::BadRange { address: address.get(), len })?;
        self.read_across(address.get(), buf, |offset, buf| file.read_apart(offset, buf), file)
    }

    /// The ranges of memory that have data in the file: neither left out nor a hole of it.
    pub(crate) fn stored(&self, file: &FileBytes) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for extent in &self.list {
            let Backing::File(offset) = extent.backing else { continue };
            let in_file = file.data_ranges(offset..offset.saturating_add(extent.end - extent.start));
            let at = |place: u64| extent.start + (place - offset);
            ranges.extend(in_file.into_iter().map(|range| at(range.start)..at(range.end)));
        }
        ranges
    }

    /// As [`Extents::read`], where the range does not lie in one extent.
    fn read_across(
        &self,
        mut address: u64,
        mut buf: &mut [u8],
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
        file: &FileBytes,
    ) -> Result<(), ReadError> {
        while !buf.is_empty() {
            let Some(extent) = self.find(address) else {
                return Err(ReadError::NotInDump { address: PhysAddr::new(address) });
            };
            let here = usize::try_from(extent.end - address).unwrap_or(usize::MAX).min(buf.len());
            let (now, later) = buf.split_at_mut(here);
            read_within_by(extent, file, address, now, &read)?;
            buf = later;
            address = address.wrapping_add(here as u64);
        }
        Ok(())
    }

    /// Base pages of which at least one byte is there, and pages that were left out.
    pub(crate) fn page_count(&self) -> PageCount {
        let (mut present, mut excluded) = (0, 0);
        let mut last_page = None;
        for extent in &self.list {
            let first = extent.start / PAGE_SIZE;
            let last = (extent.end - 1) / PAGE_SIZE;
            // A page that two extents share is counted with the first of them.
            let pages = last - first + u64::from(last_page != Some(first));
            last_page = Some(last);
            match extent.backing {
                Backing::File(_) => present += pages,
                Backing::PastEnd(_) => {}
                Backing::LeftOut => excluded += pages,
            }
        }
        PageCount { present, excluded: Some(excluded) }
    }
}

#[inline]
fn read_within(extent: &Extent, file: &FileBytes, address: u64, buf: &mut [u8]) -> Result<(), ReadError> {
    read_within_by(extent, file, address, buf, |offset, buf| file.read(offset, buf))
}

#[inline]
fn read_within_by(
    extent: &Extent,
    file: &FileBytes,
    address: u64,
    buf: &mut [u8],
    read: impl Fn(u64, &mut [u8]) -> Option<()>,
) -> Result<(), ReadError> {
    let error_address = PhysAddr::new(address);
    let (Backing::File(offset) | Backing::PastEnd(offset)) = extent.part(address, extent.end).backing else {
        return Err(ReadError::Excluded { address: error_address, level: None });
    };
    read(offset, buf).ok_or_else(|| {
        let missing = file.missing_after(offset);
        ReadError::Truncated { address: error_address.wrapping_add(missing - offset), offset: FileOffset::new(missing) }
    })
}

/// Sorts by address and clips each extent to what its predecessors leave. The earlier in the list wins ties.
fn disjoint(mut pieces: Vec<Extent>) -> Vec<Extent> {
    pieces.retain(|piece| piece.start < piece.end);
    pieces.sort_by_key(|piece| piece.start);
    // As most writers leave them; those of QEMU may have a hundred thousand.
    if pieces.is_sorted_by(|one, next| one.end <= next.start) {
        return pieces;
    }
    let mut covered = 0;
    let mut result = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let start = piece.start.max(covered);
        if start < piece.end {
            result.push(piece.part(start, piece.end));
            covered = piece.end;
        }
    }
    result
}

/// The parts of `pieces` that lie between the extents of `taken`; both sorted and disjoint.
fn only_gaps(taken: &[Extent], pieces: Vec<Extent>) -> Vec<Extent> {
    let mut taken = taken.iter().peekable();
    let mut result = Vec::new();
    for piece in pieces {
        let mut start = piece.start;
        while let Some(extent) = taken.peek() {
            if extent.start >= piece.end {
                break;
            }
            if start < extent.start {
                result.push(piece.part(start, extent.start));
            }
            start = start.max(extent.end);
            // An extent that reaches past this piece may also cover the beginning of the next.
            if extent.end > piece.end {
                break;
            }
            taken.next();
        }
        if start < piece.end {
            result.push(piece.part(start, piece.end));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent(start: u64, end: u64, backing: Backing) -> Extent {
        Extent { start, end, backing }
    }

    #[test]
    fn bytes_in_the_file_win_over_bytes_past_its_end_and_those_over_nothing() {
        let extents = Extents::new(vec![
            extent(0, 100, Backing::LeftOut),
            extent(10, 60, Backing::PastEnd(1000)),
            extent(20, 30, Backing::File(500)),
            extent(25, 40, Backing::File(700)),
        ]);
        assert_eq!(
            extents.list,
            [
                extent(0, 10, Backing::LeftOut),
                extent(10, 20, Backing::PastEnd(1000)),
                extent(20, 30, Backing::File(500)),
                extent(30, 40, Backing::File(705)),
                extent(40, 60, Backing::PastEnd(1030)),
                extent(60, 100, Backing::LeftOut),
            ]
        );
    }

    #[test]
    fn pages_shared_by_two_extents_count_once() {
        let extents = Extents::new(vec![
            extent(0x1000, 0x2800, Backing::File(0)),
            extent(0x2800, 0x3000, Backing::File(0x9000)),
            extent(0x3000, 0x5000, Backing::LeftOut),
        ]);
        assert_eq!(extents.page_count(), PageCount { present: 2, excluded: Some(2) });
    }

    fn backing() -> impl Strategy<Value = Backing> {
        // Offsets far apart, so that a byte of one extent is never taken for another's.
        prop_oneof![
            (0..4u64).prop_map(|at| Backing::File(at << 32)),
            (4..8u64).prop_map(|at| Backing::PastEnd(at << 32)),
            Just(Backing::LeftOut)
        ]
    }

    #[test]
    fn extents_at_both_ends_of_memory_are_found() {
        let far = u64::MAX - 0x1000;
        let extents = Extents::new(vec![
            extent(far, u64::MAX, Backing::File(0)),
            extent(0x10, 0x20, Backing::File(1 << 32)),
            extent(1 << 40, 1 << 41, Backing::LeftOut),
        ]);
        let start = |address| extents.find(address).map(|extent| extent.start);
        assert_eq!(
            [0, 0x10, 0x1f, 0x20, 1 << 40, 1 << 41].map(start),
            [None, Some(0x10), Some(0x10), None, Some(1 << 40), None]
        );
        assert_eq!([far - 1, far, u64::MAX - 1, u64::MAX].map(start), [None, Some(far), Some(far), None]);
        assert_eq!(Extents::default().find(0), None);
    }

    proptest! {
        /// Against the definition: each address has the best backing of all pieces that hold it, or none.
        #[test]
        fn every_address_has_its_best_backing(
            pieces in prop::collection::vec((0..200u64, 0..60u64, backing()), 0..12)
        ) {
            let pieces: Vec<_> =
                pieces.into_iter().map(|(start, len, backing)| extent(start, start + len, backing)).collect();
            let extents = Extents::new(pieces.clone());
            prop_assert!(extents.list.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(extents.list.iter().all(|extent| extent.start < extent.end));
            let rank = |backing: Backing| match backing {
                Backing::File(_) => 0,
                Backing::PastEnd(_) => 1,
                Backing::LeftOut => 2,
            };
            for address in 0..300 {
                let at = |piece: &Extent| piece.part(address, piece.end).backing;
                let holders = || pieces.iter().filter(|piece| piece.start <= address && address < piece.end);
                let found = extents.find(address).map(at);
                prop_assert_eq!(found.map(rank), holders().map(|piece| rank(at(piece))).min());
                if let Some(found) = found {
                    prop_assert!(holders().any(|piece| at(piece) == found));
                }
            }
        }
    }
}
