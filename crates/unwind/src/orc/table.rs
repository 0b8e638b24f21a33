//! Looking an address up in a pair of ORC tables.

use std::borrow::Cow;

use vmcore_memory::{VirtAddr, le_u32};

use super::{ENTRY_SIZE, Kind, OrcEntry, OrcFormat};

/// The ORC tables of the kernel or of one module, as raw bytes.
///
/// Nothing is decoded up front: a lookup is a binary search over the bytes. Tables that are not in the order of their
/// addresses are given one when they are made: up to 5.5 (kernel commit 57fa18994285) a vmlinux has them in the order
/// of its object files, and the kernel sorts them when it boots.
#[derive(Clone, Debug)]
pub struct OrcTable<'a> {
    ips: Cow<'a, [u8]>,
    ips_address: VirtAddr,
    entries: Cow<'a, [u8]>,
    format: OrcFormat,
    len: usize,
    /// The rows in the order of their addresses; `None` where that is the tables' own.
    order: Option<Vec<u32>>,
}

impl<'a> OrcTable<'a> {
    /// A table from the bytes of `.orc_unwind_ip`, the address they are (or were) at, and the bytes of `.orc_unwind`.
    /// Addresses that come out are relative to `ips_address`: link-time for a vmlinux, run-time for a module. A table
    /// whose halves differ in length is used as far as both go.
    #[must_use]
    pub fn new(
        ips: impl Into<Cow<'a, [u8]>>,
        ips_address: VirtAddr,
        entries: impl Into<Cow<'a, [u8]>>,
        format: OrcFormat,
    ) -> Self {
        let (ips, entries) = (ips.into(), entries.into());
        let len = (ips.len() / 4).min(entries.len() / ENTRY_SIZE);
        let mut table = Self { ips, ips_address, entries, format, len, order: None };
        if !table.is_in_order() {
            table.order = table.sorted_rows();
        }
        table
    }

    /// The number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the tables had to be put into the order of their addresses.
    #[must_use]
    pub const fn was_sorted(&self) -> bool {
        self.order.is_some()
    }

    /// The code address from which entry `index` applies, counted in the order of addresses.
    #[must_use]
    pub fn address(&self, index: usize) -> Option<VirtAddr> {
        self.row_address(self.row(index)?)
    }

    /// The entry that covers `pc`: the last one that starts at or below it. `None` below the first, or where that
    /// entry cannot be decoded. The end of the covered text is not known here: callers check that `pc` is text.
    #[must_use]
    pub fn find(&self, pc: VirtAddr) -> Option<OrcEntry> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.address(middle)? <= pc {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.row_entry(self.row(low.checked_sub(1)?)?)
    }

    fn row(&self, index: usize) -> Option<usize> {
        match &self.order {
            Some(order) => order.get(index).and_then(|&row| usize::try_from(row).ok()),
            None => Some(index),
        }
    }

    fn row_address(&self, row: usize) -> Option<VirtAddr> {
        let relative = le_u32(&self.ips, row.checked_mul(4)?)?.cast_signed();
        let place = self.ips_address.wrapping_add(row as u64 * 4);
        Some(place.wrapping_add(i64::from(relative).cast_unsigned()))
    }

    fn row_entry(&self, row: usize) -> Option<OrcEntry> {
        let start = row.checked_mul(ENTRY_SIZE)?;
        OrcEntry::decode(self.entries.get(start..start.checked_add(ENTRY_SIZE)?)?, self.format)
    }

    /// Whether the row ends what the code before it covers, and says nothing of what follows. Where another row begins
    /// at the same address, that one applies.
    fn is_terminator(&self, row: usize) -> bool {
        self.row_entry(row).is_some_and(|entry| entry.kind == Kind::Undefined)
    }

    /// Whether the rows are in the order that `orc_sort_cmp` gives them.
    fn is_in_order(&self) -> bool {
        let mut last = VirtAddr::default();
        (0..self.len).all(|row| {
            let Some(address) = self.row_address(row) else { return false };
            let before = std::mem::replace(&mut last, address);
            before < address
                || row == 0
                || before == address && (self.is_terminator(row - 1) || !self.is_terminator(row))
        })
    }

    /// The rows as `orc_sort_cmp` orders them: by address, and of two at one address the terminator first.
    fn sorted_rows(&self) -> Option<Vec<u32>> {
        let mut rows: Vec<u32> = (0..u32::try_from(self.len).ok()?).collect();
        rows.sort_by_cached_key(|&row| {
            let row = usize::try_from(row).unwrap_or_default();
            (self.row_address(row), !self.is_terminator(row))
        });
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orc::{OrcLayout, OrcNumbering};

    const FORMAT: OrcFormat = OrcFormat { layout: OrcLayout::Type3, numbering: OrcNumbering::PrevSpFirst };

    /// Tables at 0x9000 whose entries start at `addresses`; the entry's `sp_offset` is its index.
    fn tables(addresses: &[u64]) -> (Vec<u8>, Vec<u8>) {
        let mut ips = Vec::new();
        let mut entries = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let place = 0x9000 + index as u64 * 4;
            ips.extend((address.wrapping_sub(place) as i32).to_le_bytes());
            entries.extend((index as i16).to_le_bytes());
            entries.extend([0, 0, 5, 2]);
        }
        (ips, entries)
    }

    #[test]
    fn the_last_entry_at_or_below_applies() {
        let (ips, entries) = tables(&[0x1000, 0x1004, 0x2000]);
        let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries, FORMAT);
        assert!(!table.was_sorted());
        let offset = |pc| table.find(VirtAddr::new(pc)).map(|entry| entry.sp_offset);
        assert_eq!(offset(0xfff), None);
        assert_eq!(offset(0x1000), Some(0));
        assert_eq!(offset(0x1003), Some(0));
        assert_eq!(offset(0x1004), Some(1));
        assert_eq!(offset(0x1fff), Some(1));
        assert_eq!(offset(0xffff_ffff), Some(2));
    }

    #[test]
    fn a_table_in_link_order_is_sorted_as_the_kernel_does() {
        // Two object files, the second of which lies before the first; the terminator of one is where the other begins.
        let (ips, mut entries) = tables(&[0x2000, 0x2010, 0x2040, 0x1000, 0x1020, 0x2000, 0x3000]);
        entries[2 * ENTRY_SIZE + 4..3 * ENTRY_SIZE].fill(0);
        entries[5 * ENTRY_SIZE + 4..6 * ENTRY_SIZE].fill(0);
        let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries, FORMAT);
        assert!(table.was_sorted());
        let found = |pc| table.find(VirtAddr::new(pc)).map(|entry| (entry.sp_offset, entry.kind));
        assert_eq!(found(0xfff), None);
        assert_eq!(found(0x1000), Some((3, Kind::Call)));
        assert_eq!(found(0x1fff), Some((4, Kind::Call)));
        assert_eq!(found(0x2000), Some((0, Kind::Call)));
        assert_eq!(found(0x2013), Some((1, Kind::Call)));
        assert_eq!(found(0x2040), Some((2, Kind::Undefined)));
        assert_eq!(found(0x3000), Some((6, Kind::Call)));
        let addresses: Vec<_> = (0..table.len()).filter_map(|index| table.address(index)).collect();
        assert!(addresses.is_sorted() && addresses.len() == 7);
    }

    #[test]
    fn of_two_rows_at_one_address_the_terminator_gives_way() {
        for terminator in [0, 1] {
            let (ips, mut entries) = tables(&[0x1000, 0x1000]);
            entries[terminator * ENTRY_SIZE + 4..][..2].fill(0);
            let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries, FORMAT);
            assert_eq!(table.was_sorted(), terminator == 1);
            assert_eq!(table.find(VirtAddr::new(0x1000)).map(|entry| entry.kind), Some(Kind::Call));
        }
    }

    #[test]
    fn halves_of_different_length_are_used_as_far_as_both_go() {
        let (ips, entries) = tables(&[0x1000, 0x1004, 0x2000]);
        let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries[..13], FORMAT);
        assert_eq!(table.len(), 2);
        assert_eq!(table.find(VirtAddr::new(0x3000)).map(|entry| entry.sp_offset), Some(1));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_tables_never_panic(ips: Vec<u8>, entries: Vec<u8>, base: u64, pc: u64) {
            for format in OrcFormat::ALL {
                let table = OrcTable::new(&ips, VirtAddr::new(base), &entries, format);
                let _ = table.find(VirtAddr::new(pc));
            }
        }

        #[test]
        fn any_order_of_rows_finds_the_same(
            addresses in proptest::collection::btree_set(0x1000_u64..0x3000, 1..40),
            seed: u64,
            pc in 0x1000_u64..0x3000,
        ) {
            let sorted: Vec<u64> = addresses.into_iter().collect();
            let mut shuffled = sorted.clone();
            shuffled.sort_by_key(|address| address.wrapping_mul(seed | 1));
            let address_found = |addresses: &[u64]| {
                let (ips, entries) = tables(addresses);
                let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries, FORMAT);
                let index = usize::try_from(table.find(VirtAddr::new(pc))?.sp_offset).ok()?;
                Some(addresses[index])
            };
            assert_eq!(address_found(&sorted), address_found(&shuffled));
        }
    }
}
