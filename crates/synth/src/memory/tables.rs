//! Page tables, of the kernel or of a process.

use vmcore_memory::{PhysAddr, VirtAddr};

use super::physical::Physical;
use crate::arch::{Level, Paging};

/// A set of page tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) root: PhysAddr,
    pub(crate) paging: Paging,
}

impl Tables {
    /// Sets the entry at `level` for `address`; tables above it that do not exist are taken from `allocate`.
    pub(crate) fn set(
        self,
        memory: &mut Physical,
        (address, level): (VirtAddr, Level),
        raw: u64,
        mut allocate: impl FnMut() -> PhysAddr,
    ) {
        let mut table = self.root;
        for shift in self.paging.shifts(level) {
            let at = self.entry_address(table, address, shift);
            if shift == self.paging.shift(level) {
                memory.write(at, &raw.to_le_bytes());
                return;
            }
            table = self.paging.next_table(memory.read_u64(at)).unwrap_or_else(|| {
                let next = allocate();
                memory.write(next, &vec![0; usize::try_from(self.paging.page_size()).unwrap_or_default()]);
                memory.write(at, &self.paging.table(next, address).to_le_bytes());
                next
            });
        }
    }

    /// The table of `level`'s entries for `address`, where there is one.
    pub(crate) fn table(self, memory: &Physical, (address, level): (VirtAddr, Level)) -> Option<PhysAddr> {
        let mut above = self.paging.shifts(level).filter(|shift| *shift != self.paging.shift(level));
        above.try_fold(self.root, |table, shift| {
            self.paging.next_table(memory.read_u64(self.entry_address(table, address, shift)))
        })
    }

    const fn entry_address(self, table: PhysAddr, address: VirtAddr, shift: u32) -> PhysAddr {
        table.wrapping_add(self.paging.index(address, shift) * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Wanted, x86_64};

    #[test]
    fn an_entry_is_reached_through_all_levels() {
        for levels in [4, 5] {
            let mut memory = Physical::default();
            let paging = x86_64::paging(Wanted { levels: Some(levels), ..Wanted::default() }).unwrap();
            let tables = Tables { root: PhysAddr::new(0x1000), paging };
            let mut next = 0x1000;
            let address = VirtAddr::new(0x7f12_3456_7000);
            let mut allocate = || {
                next += 0x1000;
                PhysAddr::new(next)
            };
            tables.set(&mut memory, (address, Level::Pte), 0x1234, &mut allocate);
            let table = tables.table(&memory, (address, Level::Pte)).unwrap();
            assert_eq!(table.get(), 0x1000 * u64::from(levels), "the last table that was allocated");
            assert_eq!(memory.read_u64(table.wrapping_add((0x7f12_3456_7000 >> 12 & 0x1ff) * 8)), 0x1234);
            assert!(tables.table(&memory, (VirtAddr::new(0x1000), Level::Pte)).is_none());
        }
    }
}
