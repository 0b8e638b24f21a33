//! Entries of arm64's page tables, with the bits that Linux sets.
//!
//! Sources: `arch/arm64/include/asm/pgtable-hwdef.h`, `pgtable-prot.h`, `pgtable.h`; entries of real dumps.

use vmcore_memory::PhysAddr;

use super::SwapForm;
use crate::arch::{Access, Level};

const VALID: u64 = 1;
const TABLE: u64 = 1 << 1;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
/// `PTE_SHARED`. With LPA2 these bits are of the address.
const SHARED: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
/// `PTE_WRITE`, the hardware's DBM.
const WRITE: u64 = 1 << 51;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// `PTE_DIRTY`.
const DIRTY: u64 = 1 << 55;
/// `PMD_PRESENT_INVALID` where it is a bit of its own.
const SPLITTING: u64 = 1 << 59;
const PXN_TABLE: u64 = 1 << 59;
const UXN_TABLE: u64 = 1 << 60;
const ADDRESS_MASK: u64 = (1 << 48) - (1 << 12);

/// How a kernel's entries are built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    /// Addresses of 52 bits with pages of 4 or 16 KiB.
    pub(crate) lpa2: bool,
    pub(crate) swap: SwapForm,
}

impl Entries {
    pub(crate) const fn table(to: PhysAddr, of_kernel: bool) -> u64 {
        to.get() | VALID | TABLE | if of_kernel { UXN_TABLE } else { PXN_TABLE }
    }

    pub(crate) fn next_table(raw: u64) -> Option<PhysAddr> {
        (raw & (VALID | TABLE) == VALID | TABLE).then_some(PhysAddr::new(raw & ADDRESS_MASK))
    }

    const fn valid(self, level: Level) -> u64 {
        let kind = if matches!(level, Level::Pte) { VALID | TABLE } else { VALID };
        kind | ACCESSED | if self.lpa2 { 0 } else { SHARED }
    }

    pub(crate) const fn kernel_page(self, at: PhysAddr, level: Level, access: Access) -> u64 {
        let access = match access {
            Access::Code => READ_ONLY | DIRTY,
            Access::Data => WRITE | DIRTY | PXN,
        };
        at.get() | self.valid(level) | access | UXN
    }

    pub(crate) const fn user_page(self, at: PhysAddr, level: Level) -> u64 {
        at.get() | self.valid(level) | USER | NOT_GLOBAL | WRITE | DIRTY | PXN | UXN
    }

    /// `pmd_mkinvalid()`.
    pub(crate) const fn invalidated(self, at: PhysAddr) -> u64 {
        let mark = match self.swap {
            SwapForm::FromBit8 => SPLITTING,
            SwapForm::FromBit12 => NOT_GLOBAL,
        };
        self.user_page(at, Level::Pmd) & !VALID | mark
    }

    pub(crate) const fn swap(self, kind: u64, offset: u64) -> u64 {
        match self.swap {
            SwapForm::FromBit8 => kind << 3 | offset << 8,
            SwapForm::FromBit12 => kind << 6 | offset << 12,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as dumps of Debian's 6.1 (48 bits) and 6.12 (52 bits) have them.
    #[test]
    fn entries_are_those_of_real_kernels() {
        let plain = Entries { lpa2: false, swap: SwapForm::FromBit8 };
        let large = Entries { lpa2: true, swap: SwapForm::FromBit12 };
        let at = PhysAddr::new;
        assert_eq!(Entries::table(at(0x4215_e000), true), 0x1000_0000_4215_e003);
        assert_eq!(Entries::table(at(0x4895_b000), false), 0x0800_0000_4895_b003);
        assert_eq!(plain.kernel_page(at(0x4918_1000), Level::Pte, Access::Data), 0x00e8_0000_4918_1703);
        assert_eq!(large.kernel_page(at(0x4327_f000), Level::Pte, Access::Data), 0x00e8_0000_4327_f403);
        assert_eq!(large.kernel_page(at(0x4220_0000), Level::Pmd, Access::Data), 0x00e8_0000_4220_0401);
        assert_eq!(large.kernel_page(at(0x4040_0000), Level::Pmd, Access::Code), 0x00c0_0000_4040_0481);
        assert_eq!(plain.swap(30, 0x41612), 0x0000_0000_0416_12f0);
        assert_eq!(large.swap(30, 0x41c03), 0x0000_0000_41c0_3780);
        assert_eq!(Entries::next_table(0x0800_0000_4895_b003), Some(at(0x4895_b000)));
        assert_eq!(Entries::next_table(large.user_page(at(0x4020_0000), Level::Pmd)), None);
    }
}
