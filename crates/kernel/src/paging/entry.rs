//! One page-table entry and what it means at its level.

use std::fmt;

use vmcore_memory::{Architecture, PageLevel, PhysAddr};

use crate::arch::arm64::paging as arm64;

use super::{Meaning, PhysicalMask, SwapLayout};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const PAGE_SIZE_BIT: u64 = 1 << 7;
/// `_PAGE_PROTNONE`: the global bit, reused while the present bit is clear.
const PROTNONE: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;

/// A raw page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry(u64, Architecture);

impl Entry {
    /// Wraps a raw value of x86-64.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw, Architecture::X86_64)
    }

    /// Wraps a raw value of arm64.
    #[must_use]
    pub const fn of_arm64(raw: u64) -> Self {
        Self(raw, Architecture::Arm64)
    }

    /// The raw value.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether the entry, which has this meaning, lets the kernel execute code below it.
    pub(super) const fn lets_execute(self, meaning: &Meaning) -> bool {
        match self.1 {
            Architecture::X86_64 => self.0 & NO_EXECUTE == 0,
            Architecture::Arm64 => arm64::is_executable(self.0, matches!(meaning, Meaning::Table(_))),
        }
    }

    /// What the entry of x86-64 means at `level`, on a kernel with this swap layout that encrypts no memory.
    #[must_use]
    pub fn meaning(self, level: PageLevel, swap: &SwapLayout) -> Meaning {
        self.meaning_under(PhysicalMask::ALL, level, swap)
    }

    /// As [`Entry::meaning`], where `mask` says which bits are the address.
    #[must_use]
    pub fn meaning_under(self, mask: PhysicalMask, level: PageLevel, swap: &SwapLayout) -> Meaning {
        if self.0 == 0 {
            return Meaning::Empty;
        }
        let leaf_size = self.leaf_size(level);
        if self.0 & PRESENT != 0 {
            return match leaf_size {
                // Bit 12 of a huge entry is PAT, so the address is masked to the page's own size.
                Some(size) => Meaning::Page { address: first_byte(mask.address(self.0), size), size },
                None => Meaning::Table(PhysAddr::new(mask.address(self.0))),
            };
        }
        let page = |size| first_byte(mask.inverted_address(self.0), size);
        match leaf_size {
            Some(size) if self.0 & PROTNONE != 0 => Meaning::ProtNone { address: page(size), size },
            Some(size) if level != PageLevel::Pte => Meaning::Invalidated { address: page(size), size },
            _ => Meaning::Swap(swap.decode(self.0)),
        }
    }

    /// The size of the page that the entry would map, or `None` for one that points to a table.
    const fn leaf_size(self, level: PageLevel) -> Option<u64> {
        match level {
            PageLevel::Pte => Some(1 << 12),
            PageLevel::Pmd if self.0 & PAGE_SIZE_BIT != 0 => Some(1 << 21),
            PageLevel::Pud if self.0 & PAGE_SIZE_BIT != 0 => Some(1 << 30),
            _ => None,
        }
    }

    /// The flag bits of a present entry, in words, such as `present writable user accessed dirty`.
    #[must_use]
    pub fn flags(self) -> String {
        if self.1 == Architecture::Arm64 {
            return arm64::flags(self.0);
        }
        let names = [
            (PRESENT, "present"),
            (WRITABLE, "writable"),
            (USER, "user"),
            (ACCESSED, "accessed"),
            (DIRTY, "dirty"),
            (NO_EXECUTE, "nx"),
        ];
        let set: Vec<_> = names.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect();
        set.join(" ")
    }
}

/// The first byte of the page of `size` bytes that holds `address`.
const fn first_byte(address: u64, size: u64) -> PhysAddr {
    PhysAddr::new(address & !(size - 1))
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWAP: SwapLayout = SwapLayout::for_tests(22);
    const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

    #[test]
    fn present_entries_by_level() {
        let entry = Entry::new(0x8000_0000_1234_50e7);
        assert_eq!(
            entry.meaning(PageLevel::Pte, &SWAP),
            Meaning::Page { address: PhysAddr::new(0x1234_5000), size: 4096 }
        );
        assert_eq!(
            entry.meaning(PageLevel::Pmd, &SWAP),
            Meaning::Page { address: PhysAddr::new(0x1220_0000), size: 2 << 20 }
        );
        assert_eq!(Entry::new(0x5067).meaning(PageLevel::Pmd, &SWAP), Meaning::Table(PhysAddr::new(0x5000)));
        assert_eq!(entry.flags(), "present writable user accessed dirty nx");
    }

    #[test]
    fn a_huge_entry_without_present_is_being_split() {
        let entry = Entry::new((!0x1220_0000 & ADDRESS_MASK) | 0xe6);
        assert_eq!(
            entry.meaning(PageLevel::Pmd, &SWAP),
            Meaning::Invalidated { address: PhysAddr::new(0x1220_0000), size: 2 << 20 }
        );
    }

    #[test]
    fn encryption_does_not_change_what_an_entry_means() {
        let mask = PhysicalMask::of_memory_up_to(PhysAddr::new(1 << 30)).without(1 << 51);
        let meaning = |raw: u64, level| Entry::new(raw | 1 << 51).meaning_under(mask, level, &SWAP);
        assert_eq!(meaning(0x5067, PageLevel::Pmd), Meaning::Table(PhysAddr::new(0x5000)));
        let address = PhysAddr::new(0x1220_0000);
        assert_eq!(meaning(0x1220_10e7, PageLevel::Pmd), Meaning::Page { address, size: 2 << 20 });
        let inverted = !0x1220_0000 & ADDRESS_MASK & !(1 << 51);
        assert_eq!(meaning(inverted | 0xe6, PageLevel::Pmd), Meaning::Invalidated { address, size: 2 << 20 });
    }

    #[test]
    fn protnone_is_stored_inverted() {
        let raw = (!0x1234_5000 & ADDRESS_MASK) | PROTNONE;
        let meaning = Entry::new(raw).meaning(PageLevel::Pte, &SWAP);
        assert_eq!(meaning, Meaning::ProtNone { address: PhysAddr::new(0x1234_5000), size: 4096 });
    }
}
