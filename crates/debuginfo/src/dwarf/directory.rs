//! Which unit an address belongs to, from `.debug_aranges`.
//!
//! That section lists, for each unit, the address ranges of its code. The compilers that build kernels differ: GCC and
//! the assembler write it, clang and rustc do not. So units that are not listed are searched for the first time that
//! an address is not found, and only then, because it means to visit every unit's header.

use std::sync::OnceLock;

use gimli::{DebugAranges, LittleEndian};

use super::Dwarf;

/// How many ranges before the nearest one are looked at: ranges hardly ever overlap.
const MAX_OVERLAP: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    start: u64,
    end: u64,
    unit: u64,
}

/// Code ranges and their units.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Sorted by start.
    ranges: Vec<Range>,
    /// Offsets of the units that are listed, sorted.
    listed: Vec<u64>,
    unlisted: OnceLock<Vec<Range>>,
}

impl Directory {
    pub(super) fn new(aranges: &[u8]) -> Self {
        let mut ranges = Vec::new();
        let mut listed = Vec::new();
        let mut headers = DebugAranges::new(aranges, LittleEndian).headers();
        // What cannot be decoded ends the listing: the units behind it are found as unlisted ones.
        while let Ok(Some(header)) = headers.next() {
            let unit = header.debug_info_offset().0 as u64;
            listed.push(unit);
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next() {
                let range = entry.range();
                // Code that the linker dropped is listed at address 0.
                if range.begin != 0 && range.begin < range.end {
                    ranges.push(Range { start: range.begin, end: range.end, unit });
                }
            }
        }
        ranges.sort_unstable();
        listed.sort_unstable();
        listed.dedup();
        Self { ranges, listed, unlisted: OnceLock::new() }
    }

    pub(super) fn find(&self, dwarf: &Dwarf, address: u64) -> Option<u64> {
        search(&self.ranges, address)
            .or_else(|| search(self.unlisted.get_or_init(|| self.find_unlisted(dwarf)), address))
    }

    fn find_unlisted(&self, dwarf: &Dwarf) -> Vec<Range> {
        let mut ranges = Vec::new();
        for offset in dwarf.all_units().filter(|offset| self.listed.binary_search(offset).is_err()) {
            let Some(unit) = dwarf.unit(offset) else { continue };
            if let Some(root) = unit.root() {
                dwarf.for_each_range(&unit, &root, |range| {
                    ranges.push(Range { start: range.start, end: range.end, unit: offset });
                });
            }
        }
        ranges.sort_unstable();
        ranges
    }
}

fn search(ranges: &[Range], address: u64) -> Option<u64> {
    let after = ranges.partition_point(|range| range.start <= address);
    let candidates = ranges.get(after.saturating_sub(MAX_OVERLAP)..after)?;
    candidates.iter().rev().find(|range| address < range.end).map(|range| range.unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_range_around_an_address_wins() {
        let range = |start, end, unit| Range { start, end, unit };
        let ranges = [range(10, 100, 1), range(20, 30, 2), range(200, 210, 3)];
        let found: Vec<_> = [9, 10, 25, 30, 99, 100, 200, 210].map(|address| search(&ranges, address)).into();
        assert_eq!(found, [None, Some(1), Some(2), Some(1), Some(1), None, Some(3), None]);
        assert_eq!(search(&[], 1), None);
    }

    #[test]
    fn noise_lists_nothing() {
        assert!(Directory::new(b"not aranges at all").ranges.is_empty());
    }
}
