//! Page tables of arm64 (VMSAv8-64): their geometry, and what an entry means.
//!
//! ```text
//! 63 62..59   58..55    54  53  52     51  50..........12  11 10 9:8 7  6   5..2  1     0
//!    PXNTable software  UXN PXN contig DBM address         nG AF SH  RO user attr type  valid
//!
//! type   1: a table, at the last level a page; 0: a block (a huge page)
//! ```
//!
//! Pages have 4, 16 or 64 KiB, and a table fills one page. The address is in bits 47 to the page's own; of a 52-bit
//! address the highest bits are elsewhere: with 64 KiB pages in bits 15 to 12, with smaller ones (LPA2, which comes with
//! 52 bits of virtual address) bits 51 and 50 in bits 9 and 8 of the entry.
//!
//! Sources: Arm Architecture Reference Manual, D8.3; `arch/arm64/include/asm/pgtable-hwdef.h`, `pgtable-prot.h`.

use vmcore_memory::{PageLevel, PhysAddr, VirtAddr};

use crate::pte::{Meaning, SwapLayout, Unreachable};

const VALID: u64 = 1;
const TABLE: u64 = 1 << 1;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const ACCESSED: u64 = 1 << 10;
/// `PTE_WRITE`, which is the hardware's `DBM`.
const WRITE: u64 = 1 << 51;
const CONTIGUOUS: u64 = 1 << 52;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// `PTE_DIRTY`, a software bit.
const DIRTY: u64 = 1 << 55;
const PXN_TABLE: u64 = 1 << 59;

/// The sizes and widths of one kernel's page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    page_shift: u32,
    va_bits: u32,
    half: Half,
}

/// Which addresses tables translate: each half of the address space has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// From `TTBR1_EL1`.
    Kernel,
    /// From `TTBR0_EL1`.
    User,
}

impl Geometry {
    /// The geometry of the kernel's own tables with pages of `1 << page_shift` bytes that translate `va_bits` bits of an address; `None` of
    /// such as no machine has.
    #[must_use]
    pub const fn new(page_shift: u32, va_bits: u32) -> Option<Self> {
        if matches!(page_shift, 12 | 14 | 16) && va_bits >= 36 && va_bits <= 52 {
            Some(Self { page_shift, va_bits, half: Half::Kernel })
        } else {
            None
        }
    }

    /// The same of a process's tables.
    #[must_use]
    pub const fn of_user(self) -> Self {
        Self { half: Half::User, ..self }
    }

    /// log2 of the size of a base page.
    #[must_use]
    pub const fn page_shift(self) -> u32 {
        self.page_shift
    }

    /// Bits of an address that the tables translate.
    #[must_use]
    pub const fn va_bits(self) -> u32 {
        self.va_bits
    }

    const fn bits_per_level(self) -> u32 {
        self.page_shift - 3
    }

    /// How many levels there are.
    #[must_use]
    pub const fn levels(self) -> u32 {
        (self.va_bits - self.page_shift).div_ceil(self.bits_per_level())
    }

    /// The level that is `depth` steps below the top, with the lowest bit of an address that indexes it and how many bits
    /// do. Levels that a kernel folds away are not there.
    pub(crate) fn level(self, depth: u32) -> Option<(PageLevel, u32, u32)> {
        let below = self.levels().checked_sub(depth + 1)?;
        let level = match (below, depth) {
            (0, _) => PageLevel::Pte,
            (_, 0) => PageLevel::Pgd,
            (1, _) => PageLevel::Pmd,
            (2, _) => PageLevel::Pud,
            _ => PageLevel::P4d,
        };
        let shift = self.page_shift + below * self.bits_per_level();
        Some((level, shift, self.bits_per_level().min(self.va_bits - shift)))
    }

    /// Whether the bits above those that are translated are all ones in the kernel's half, all zeroes in the other: the same
    /// low bits mean something else there.
    pub(crate) fn is_canonical(self, address: VirtAddr) -> bool {
        let above = address.get() >> self.va_bits;
        match self.half {
            Half::Kernel => above == u64::MAX >> self.va_bits,
            Half::User => above == 0,
        }
    }

    /// Where an entry points to.
    fn address(self, raw: u64) -> u64 {
        let bits = |from: u32, to: u32| raw & ((1 << to) - (1 << from));
        match self.page_shift {
            16 => bits(16, 48) | (bits(12, 16) << 36),
            shift if self.va_bits > 48 => bits(shift, 50) | (bits(8, 10) << 42),
            shift => bits(shift, 48),
        }
    }

    /// What the entry means at a level whose entries each cover `1 << shift` bytes.
    pub(crate) fn meaning(self, raw: u64, shift: u32, swap: &SwapLayout) -> Meaning {
        let is_last = shift == self.page_shift;
        let size = 1 << shift;
        let page = Meaning::Page { address: self.page(raw, size), size };
        match (raw & VALID != 0, raw & TABLE != 0) {
            (false, _) if raw == 0 => Meaning::Empty,
            (false, _) => self.not_present(raw, shift, swap),
            (true, true) if is_last => page,
            (true, true) => Meaning::Table(PhysAddr::new(self.address(raw))),
            // At the last level this is reserved and faults.
            (true, false) if is_last => Meaning::NotPresent,
            (true, false) => page,
        }
    }
}

impl Geometry {
    fn page(self, raw: u64, size: u64) -> PhysAddr {
        PhysAddr::new(self.address(raw) & !(size - 1))
    }

    /// What the kernel keeps in an entry that is not valid.
    fn not_present(self, raw: u64, shift: u32, swap: &SwapLayout) -> Meaning {
        let size = 1 << shift;
        let address = self.page(raw, size);
        let Some(fields) = swap.fields else { return Meaning::NotPresent };
        let (inaccessible, splitting) = match fields.unreachable {
            Unreachable::Apart => return Meaning::NotPresent,
            Unreachable::ByBits { inaccessible, splitting } => {
                // At the last level bit 59 is one that a swap entry may have.
                (raw & inaccessible != 0, raw & splitting != 0 && shift != self.page_shift)
            }
            Unreachable::ByOneBit(bit) => {
                let to_nobody = raw & USER == 0 && raw & UXN != 0;
                (raw & bit != 0 && to_nobody, raw & bit != 0 && !to_nobody)
            }
        };
        match (inaccessible, splitting) {
            (true, _) => Meaning::ProtNone { address, size },
            (false, true) => Meaning::Invalidated { address, size },
            (false, false) => Meaning::Swap(swap.decode(raw)),
        }
    }
}

/// Whether the entry lets the kernel execute what is below it.
pub(crate) const fn is_executable(raw: u64, is_table: bool) -> bool {
    raw & if is_table { PXN_TABLE } else { PXN } == 0
}

/// The flag bits of a valid entry, in words.
pub(crate) fn flags(raw: u64) -> String {
    let is = |bit: u64| raw & bit != 0;
    let names = [
        (is(VALID), "present"),
        (is(WRITE), "writable"),
        (is(USER), "user"),
        (is(ACCESSED), "accessed"),
        (is(DIRTY) || is(WRITE) && !is(READ_ONLY), "dirty"),
        (is(CONTIGUOUS), "contiguous"),
        (is(PXN), "pxn"),
        (is(UXN), "uxn"),
    ];
    let set: Vec<_> = names.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
    set.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(geometry: Geometry) -> Vec<(&'static str, u32, u32)> {
        (0..geometry.levels())
            .filter_map(|depth| geometry.level(depth))
            .map(|(level, shift, bits)| (level.name(), shift, bits))
            .collect()
    }

    fn geometry(page_shift: u32, va_bits: u32) -> Geometry {
        Geometry::new(page_shift, va_bits).unwrap()
    }

    #[test]
    fn levels_of_every_size_of_page() {
        let four = [("pgd", 39, 9), ("pud", 30, 9), ("pmd", 21, 9), ("pte", 12, 9)];
        assert_eq!(levels(geometry(12, 48)), four);
        let five = [("pgd", 48, 4), ("p4d", 39, 9), ("pud", 30, 9), ("pmd", 21, 9), ("pte", 12, 9)];
        assert_eq!(levels(geometry(12, 52)), five);
        assert_eq!(levels(geometry(12, 39)), [("pgd", 30, 9), ("pmd", 21, 9), ("pte", 12, 9)]);
        assert_eq!(levels(geometry(14, 47)), [("pgd", 36, 11), ("pmd", 25, 11), ("pte", 14, 11)]);
        assert_eq!(levels(geometry(14, 48)), [("pgd", 47, 1), ("pud", 36, 11), ("pmd", 25, 11), ("pte", 14, 11)]);
        assert_eq!(levels(geometry(16, 52)), [("pgd", 42, 10), ("pmd", 29, 13), ("pte", 16, 13)]);
        assert_eq!(levels(geometry(16, 42)), [("pgd", 29, 13), ("pte", 16, 13)]);
        assert_eq!((Geometry::new(13, 48), Geometry::new(12, 64), Geometry::new(12, 12)), (None, None, None));
    }

    #[test]
    fn what_an_entry_means_at_its_level() {
        let plain = geometry(12, 48);
        let page = |address, size| Meaning::Page { address: PhysAddr::new(address), size };
        let plain = |raw, shift| plain.meaning(raw, shift, &SwapLayout { fields: None, ..SwapLayout::UNKNOWN });
        // Of a real kernel's tables: a table, a block of the direct map, a page of vmalloc.
        assert_eq!(plain(0x1000_0000_7fff_f003, 39), Meaning::Table(PhysAddr::new(0x7fff_f000)));
        assert_eq!(plain(0x0068_0000_4020_0701, 21), page(0x4020_0000, 2 << 20));
        assert_eq!(plain(0x0068_0000_4341_e703, 12), page(0x4341_e000, 4096));
        assert_eq!(plain(0x0068_0000_4341_e701, 12), Meaning::NotPresent);
        assert_eq!(plain(0, 12), Meaning::Empty);
        assert_eq!(plain(0x0400_0000_4341_e700, 12), Meaning::NotPresent);
    }

    #[test]
    fn what_is_kept_in_an_entry_that_is_not_valid() {
        use crate::paging::SwapFields;

        let meaning = |fields, raw, shift| {
            geometry(12, 48).meaning(raw, shift, &SwapLayout { fields: Some(fields), ..SwapLayout::for_tests(27) })
        };
        let (old, new) = (SwapFields::ARM64_FROM_BIT_8, SwapFields::ARM64_FROM_BIT_12);
        let inaccessible = Meaning::ProtNone { address: PhysAddr::new(0x4341_e000), size: 4096 };
        assert_eq!(meaning(old, 1 << 58 | 0x0060_0000_4341_e700, 12), inaccessible);
        assert_eq!(meaning(new, 1 << 11 | 0x0060_0000_4341_e700, 12), inaccessible);
        let splitting = Meaning::Invalidated { address: PhysAddr::new(0x4020_0000), size: 2 << 20 };
        assert_eq!(meaning(old, 1 << 59 | 0x0060_0000_4020_0740, 21), splitting);
        assert_eq!(meaning(new, 1 << 11 | 0x0060_0000_4020_0740, 21), splitting);
        // Of a real spinner: the page is being split.
        let Meaning::Swap(entry) = meaning(new, 0x0020_0000_41c0_3780, 12) else { panic!() };
        assert!(entry.is_migration());
    }

    #[test]
    fn addresses_of_52_bits_are_put_together() {
        let table = |geometry: Geometry, raw| geometry.meaning(raw, 39, &SwapLayout::UNKNOWN);
        // With LPA2 bits 51 and 50 of the address are in bits 9 and 8.
        let lpa2 = table(geometry(12, 52), 0x0003_0000_4000_1303);
        assert_eq!(lpa2, Meaning::Table(PhysAddr::new(0x000f_0000_4000_1000)));
        // Without it those are the shareability, and bits 49 and 48 are none of the address.
        let plain = table(geometry(12, 48), 0x0003_0000_4000_1303);
        assert_eq!(plain, Meaning::Table(PhysAddr::new(0x4000_1000)));
        let large = geometry(16, 52).meaning(0x0000_0000_4001_f003, 42, &SwapLayout::UNKNOWN);
        assert_eq!(large, Meaning::Table(PhysAddr::new(0x000f_0000_4001_0000)));
    }

    #[test]
    fn halves_of_the_address_space() {
        let of_kernel = |va_bits, address| geometry(12, va_bits).is_canonical(VirtAddr::new(address));
        let of_user = |va_bits, address| geometry(12, va_bits).of_user().is_canonical(VirtAddr::new(address));
        assert!(of_kernel(48, 0xffff_0000_0000_0000) && of_user(48, 0x0000_ffff_ffff_ffff));
        assert!(!of_kernel(48, 0xfff0_0000_0000_0000) && !of_user(48, 0x0001_0000_0000_0000));
        assert!(of_kernel(52, 0xfff0_0000_0000_0000) && of_user(52, 0x000f_ffff_ffff_ffff));
        // The same low bits in the other half.
        assert!(!of_kernel(48, 0x0000_8000_0801_2345) && !of_user(48, 0xffff_8000_0801_2345));
        // A return address with its authentication code.
        assert!(!of_kernel(48, 0x8a3f_8000_0801_2345) && !of_user(48, 0x8a3f_8000_0801_2345));
    }

    #[test]
    fn flags_in_words() {
        assert_eq!(flags(0x0068_0000_4341_ef43), "present writable user accessed dirty pxn uxn");
        assert_eq!(flags(0x0010_0000_4020_0781), "present accessed contiguous");
        assert!(is_executable(0x0040_0000_4020_0781, false) && !is_executable(0x0060_0000_4020_0781, false));
        assert!(!is_executable(1 << 59 | 3, true));
    }
}
