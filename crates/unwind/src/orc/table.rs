//! Looking an address up in a pair of ORC tables.

use vmcore_memory::{VirtAddr, le_u32};

use super::{ENTRY_SIZE, OrcEntry, OrcLayout};

/// The ORC tables of the kernel or of one module, as raw bytes.
///
/// Nothing is copied or decoded up front: a lookup is a binary search over the bytes, so that a table of a few MiB in a
/// mapped file costs the few pages that the search touches.
#[derive(Clone, Copy, Debug)]
pub struct OrcTable<'a> {
    ips: &'a [u8],
    ips_address: VirtAddr,
    entries: &'a [u8],
    layout: OrcLayout,
    len: usize,
}

impl<'a> OrcTable<'a> {
    /// A table from the bytes of `.orc_unwind_ip`, the address they are (or were) at, and the bytes of `.orc_unwind`.
    /// Addresses that come out are relative to `ips_address`: link-time for a vmlinux, run-time for a module. A table
    /// whose halves differ in length is used as far as both go.
    #[must_use]
    pub fn new(ips: &'a [u8], ips_address: VirtAddr, entries: &'a [u8], layout: OrcLayout) -> Self {
        let len = (ips.len() / 4).min(entries.len() / ENTRY_SIZE);
        Self { ips, ips_address, entries, layout, len }
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

    /// The code address from which entry `index` applies.
    #[must_use]
    pub fn address(&self, index: usize) -> Option<VirtAddr> {
        let relative = le_u32(self.ips, index.checked_mul(4)?)?.cast_signed();
        let place = self.ips_address.wrapping_add(index as u64 * 4);
        Some(place.wrapping_add(i64::from(relative).cast_unsigned()))
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
        self.entry(low.checked_sub(1)?)
    }

    fn entry(&self, index: usize) -> Option<OrcEntry> {
        let start = index.checked_mul(ENTRY_SIZE)?;
        OrcEntry::decode(self.entries.get(start..start.checked_add(ENTRY_SIZE)?)?, self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries, OrcLayout::Type3);
        let offset = |pc| table.find(VirtAddr::new(pc)).map(|entry| entry.sp_offset);
        assert_eq!(offset(0xfff), None);
        assert_eq!(offset(0x1000), Some(0));
        assert_eq!(offset(0x1003), Some(0));
        assert_eq!(offset(0x1004), Some(1));
        assert_eq!(offset(0x1fff), Some(1));
        assert_eq!(offset(0xffff_ffff), Some(2));
    }

    #[test]
    fn halves_of_different_length_are_used_as_far_as_both_go() {
        let (ips, entries) = tables(&[0x1000, 0x1004, 0x2000]);
        let table = OrcTable::new(&ips, VirtAddr::new(0x9000), &entries[..13], OrcLayout::Type3);
        assert_eq!(table.len(), 2);
        assert_eq!(table.find(VirtAddr::new(0x3000)).map(|entry| entry.sp_offset), Some(1));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_tables_never_panic(ips: Vec<u8>, entries: Vec<u8>, base: u64, pc: u64) {
            for layout in [OrcLayout::End, OrcLayout::SignalEnd, OrcLayout::Type3] {
                let table = OrcTable::new(&ips, VirtAddr::new(base), &entries, layout);
                let _ = table.find(VirtAddr::new(pc));
            }
        }
    }
}
