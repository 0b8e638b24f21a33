//! The code addresses that an entry covers.
//!
//! Either one range (`DW_AT_low_pc` and `DW_AT_high_pc`, which is a length or an address) or a list of them:
//! `.debug_ranges` up to DWARF 4, `.debug_rnglists` from DWARF 5 on. Functions have lists where the compiler moved
//! their cold parts away, and so have almost all inlined ones.

use gimli::{AttributeValue, DebugRanges, DebugRngLists, RangeLists, RangeListsOffset, RawRngListEntry};
use vmcore_memory::le_u32;

use super::{
    Dwarf,
    unit::{Entry, Unit, Value},
};

/// A range of link-time addresses, the end excluded.
pub(super) type Range = std::ops::Range<u64>;

/// The longest range list that is read. The largest kernel unit has some hundred entries.
const MAX_ENTRIES: usize = 1 << 16;

impl Dwarf {
    /// Calls `f` with each range that `entry` covers; not at all for an entry without code, such as the declaration of
    /// a function or the abstract copy of an inlined one.
    pub(super) fn for_each_range(&self, unit: &Unit, entry: &Entry<'_>, mut f: impl FnMut(Range)) {
        let mut low = None;
        let mut high = None;
        let mut list = None;
        entry.for_each_attribute(|name, value| match name {
            gimli::DW_AT_low_pc => low = self.address(&unit.bases, &value),
            gimli::DW_AT_high_pc => high = Some(value),
            gimli::DW_AT_ranges => list = self.range_list(unit, &value),
            _ => {}
        });
        if let Some(list) = list {
            // A root entry may have a low_pc beside its ranges: the base of the list, not a range.
            self.read_list(unit, list, &mut f);
        } else if let Some(low) = low {
            let end = high.and_then(|high| match high.udata_value() {
                Some(len) => low.checked_add(len),
                None => self.address(&unit.bases, &high),
            });
            emit(low, end.unwrap_or(low.saturating_add(1)), &mut f);
        }
    }

    /// Whether `address` is in one of the ranges of `entry`; `None` where it has none.
    pub(super) fn covers(&self, unit: &Unit, entry: &Entry<'_>, address: u64) -> Option<bool> {
        let mut covers = None;
        self.for_each_range(unit, entry, |range| covers = Some(covers == Some(true) || range.contains(&address)));
        covers
    }

    fn range_list(&self, unit: &Unit, value: &Value<'_>) -> Option<RangeListsOffset> {
        match *value {
            AttributeValue::RangeListsRef(offset) => Some(RangeListsOffset(offset.0)),
            AttributeValue::DebugRngListsIndex(index) => {
                let base = unit.bases.range_lists;
                let at = base.checked_add((index.0 as u64).checked_mul(4)?)?;
                let offset = le_u32(&self.range_lists, usize::try_from(at).ok()?)?;
                Some(RangeListsOffset(usize::try_from(base.checked_add(offset.into())?).ok()?))
            }
            _ => None,
        }
    }

    fn read_list(&self, unit: &Unit, list: RangeListsOffset, f: &mut impl FnMut(Range)) {
        let lists = RangeLists::new(
            DebugRanges::from(Self::slice(&self.ranges)),
            DebugRngLists::from(Self::slice(&self.range_lists)),
        );
        let Ok(mut entries) = lists.raw_ranges(list, unit.encoding()) else { return };
        let mut base = unit.bases.low_pc;
        for _ in 0..MAX_ENTRIES {
            let Ok(Some(entry)) = entries.next() else { return };
            let address = |index: gimli::DebugAddrIndex| self.indexed_address(&unit.bases, index.0 as u64);
            let range = match entry {
                RawRngListEntry::BaseAddress { addr } => {
                    base = addr;
                    continue;
                }
                RawRngListEntry::BaseAddressx { addr } => match address(addr) {
                    Some(address) => {
                        base = address;
                        continue;
                    }
                    None => return,
                },
                RawRngListEntry::AddressOrOffsetPair { begin, end } | RawRngListEntry::OffsetPair { begin, end } => {
                    Some((base.wrapping_add(begin), base.wrapping_add(end)))
                }
                RawRngListEntry::StartEnd { begin, end } => Some((begin, end)),
                RawRngListEntry::StartLength { begin, length } => Some((begin, begin.saturating_add(length))),
                RawRngListEntry::StartxEndx { begin, end } => address(begin).zip(address(end)),
                RawRngListEntry::StartxLength { begin, length } => {
                    address(begin).map(|begin| (begin, begin.saturating_add(length)))
                }
            };
            if let Some((start, end)) = range {
                emit(start, end, f);
            }
        }
    }
}

/// Leaves out empty ranges, and those at address 0: code that the linker dropped.
fn emit(start: u64, end: u64, f: &mut impl FnMut(Range)) {
    if start != 0 && start < end {
        f(start..end);
    }
}
