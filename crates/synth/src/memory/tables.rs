//! x86-64 page tables, of the kernel or of a process.
//!
//! Each table has 512 entries of 8 bytes. Source: `arch/x86/include/asm/pgtable_types.h`.

use vmcore_memory::{PAGE_SIZE, PhysAddr, VirtAddr};

use super::physical::Physical;

pub(crate) const PRESENT: u64 = 1;
pub(crate) const WRITABLE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
pub(crate) const ACCESSED: u64 = 1 << 5;
pub(crate) const DIRTY: u64 = 1 << 6;
pub(crate) const HUGE: u64 = 1 << 7;
pub(crate) const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// What an entry of which table covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// 4 KiB.
    Pte,
    /// 2 MiB.
    Pmd,
    /// 1 GiB.
    Pud,
}

impl Level {
    const fn shift(self) -> u32 {
        match self {
            Self::Pte => 12,
            Self::Pmd => 21,
            Self::Pud => 30,
        }
    }
}

/// A set of page tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) root: PhysAddr,
    /// 4 or 5.
    pub(crate) levels: u8,
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
        let user = if address.is_kernel_half() { 0 } else { USER };
        let mut table = self.root;
        let mut shift = if self.levels >= 5 { 48 } else { 39 };
        while shift > level.shift() {
            let at = entry_address(table, address, shift);
            let entry = memory.read_u64(at);
            table = if entry & PRESENT != 0 {
                PhysAddr::new(entry & ADDRESS_MASK)
            } else {
                let next = allocate();
                memory.write(next, &[0; PAGE_SIZE as usize]);
                let raw = next.get() | PRESENT | WRITABLE | ACCESSED | DIRTY | user;
                memory.write(at, &raw.to_le_bytes());
                next
            };
            shift -= 9;
        }
        memory.write(entry_address(table, address, shift), &raw.to_le_bytes());
    }

    /// The table of `level`'s entries for `address`, where there is one.
    pub(crate) fn table(self, memory: &Physical, (address, level): (VirtAddr, Level)) -> Option<PhysAddr> {
        let mut table = self.root;
        let mut shift = if self.levels >= 5 { 48 } else { 39 };
        while shift > level.shift() {
            let entry = memory.read_u64(entry_address(table, address, shift));
            if entry & PRESENT == 0 || entry & HUGE != 0 {
                return None;
            }
            table = PhysAddr::new(entry & ADDRESS_MASK);
            shift -= 9;
        }
        Some(table)
    }
}

const fn entry_address(table: PhysAddr, address: VirtAddr, shift: u32) -> PhysAddr {
    table.wrapping_add((address.get() >> shift & 0x1ff) * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_reached_through_all_levels() {
        for levels in [4, 5] {
            let mut memory = Physical::default();
            let tables = Tables { root: PhysAddr::new(0x1000), levels };
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
