//! Page tables of x86-64: four or five levels of 512 entries of eight bytes.
//!
//! A present entry points to the next table or maps a page (4 KiB at the last level, 2 MiB and 1 GiB above it where bit 7 is
//! set). A non-zero entry without the present bit is the kernel's own: a swap entry, which may stand for a page under
//! migration, or a huge page that is just being split.
//!
//! Sources: `arch/x86/include/asm/pgtable_64.h`, `pgtable_types.h`, `include/linux/swapops.h`.

use vmcore_memory::{PageLevel, PhysAddr, VirtAddr};

use super::physical_mask::PhysicalMask;
use crate::pte::{Meaning, SwapLayout};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const PAGE_SIZE_BIT: u64 = 1 << 7;
/// `_PAGE_PROTNONE`: the global bit, reused while the present bit is clear.
const PROTNONE: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;

/// log2 of the size of a page.
pub(crate) const PAGE_SHIFT: u32 = vmcore_memory::PAGE_SHIFT;
/// Bits of an address that index a table.
const BITS_PER_LEVEL: u32 = 9;
/// The levels with the lowest bit of an address that indexes each.
const LEVELS: [(PageLevel, u32); 5] =
    [(PageLevel::Pgd, 48), (PageLevel::P4d, 39), (PageLevel::Pud, 30), (PageLevel::Pmd, 21), (PageLevel::Pte, 12)];

/// The level that is `depth` steps below the top of so many, with the lowest bit of an address that indexes it and how many bits
/// do. Of four, the table at the top is called `pgd`, and there is no `p4d`.
pub(crate) fn level(levels: u8, depth: u32) -> Option<(PageLevel, u32, u32)> {
    let folded = usize::from(levels < 5);
    let (name, shift) = *LEVELS.get(usize::try_from(depth).ok()?.checked_add(folded)?)?;
    Some((if depth == 0 { PageLevel::Pgd } else { name }, shift, BITS_PER_LEVEL))
}

/// Whether the bits above those that so many levels translate are all the same as the highest of these.
pub(crate) fn is_canonical(levels: u8, address: VirtAddr) -> bool {
    let unused = if levels >= 5 { 64 - 57 } else { 64 - 48 };
    let raw = address.get().cast_signed();
    (raw << unused) >> unused == raw
}

/// What an entry means at `level`, where `mask` says which bits are the address.
pub(crate) fn meaning(raw: u64, mask: PhysicalMask, level: PageLevel, swap: &SwapLayout) -> Meaning {
    if raw == 0 {
        return Meaning::Empty;
    }
    let leaf_size = leaf_size(raw, level);
    if raw & PRESENT != 0 {
        return match leaf_size {
            // Bit 12 of a huge entry is PAT, so the address is masked to the page's own size.
            Some(size) => Meaning::Page { address: first_byte(mask.address(raw), size), size },
            None => Meaning::Table(PhysAddr::new(mask.address(raw))),
        };
    }
    let page = |size| first_byte(mask.inverted_address(raw), size);
    match leaf_size {
        Some(size) if raw & PROTNONE != 0 => Meaning::ProtNone { address: page(size), size },
        Some(size) if level != PageLevel::Pte => Meaning::Invalidated { address: page(size), size },
        _ => Meaning::Swap(swap.decode(raw)),
    }
}

/// The size of the page that the entry would map, or `None` for one that points to a table.
const fn leaf_size(raw: u64, level: PageLevel) -> Option<u64> {
    match level {
        PageLevel::Pte => Some(1 << 12),
        PageLevel::Pmd if raw & PAGE_SIZE_BIT != 0 => Some(1 << 21),
        PageLevel::Pud if raw & PAGE_SIZE_BIT != 0 => Some(1 << 30),
        _ => None,
    }
}

/// The first byte of the page of `size` bytes that holds `address`.
const fn first_byte(address: u64, size: u64) -> PhysAddr {
    PhysAddr::new(address & !(size - 1))
}

/// Whether the kernel may execute code below this entry.
pub(crate) const fn is_executable(raw: u64) -> bool {
    raw & NO_EXECUTE == 0
}

/// The flag bits of a present entry, in words.
pub(crate) fn flags(raw: u64) -> String {
    let names = [
        (PRESENT, "present"),
        (WRITABLE, "writable"),
        (USER, "user"),
        (ACCESSED, "accessed"),
        (DIRTY, "dirty"),
        (NO_EXECUTE, "nx"),
    ];
    let set: Vec<_> = names.iter().filter(|(bit, _)| raw & bit != 0).map(|(_, name)| *name).collect();
    set.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(raw: u64, level: PageLevel) -> Meaning {
        super::meaning(raw, PhysicalMask::ALL, level, &SWAP)
    }

    const SWAP: SwapLayout = SwapLayout::for_tests(22);
    const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

    #[test]
    fn present_entries_by_level() {
        let entry = 0x8000_0000_1234_50e7;
        assert_eq!(meaning(entry, PageLevel::Pte), Meaning::Page { address: PhysAddr::new(0x1234_5000), size: 4096 });
        assert_eq!(
            meaning(entry, PageLevel::Pmd),
            Meaning::Page { address: PhysAddr::new(0x1220_0000), size: 2 << 20 }
        );
        assert_eq!(meaning(0x5067, PageLevel::Pmd), Meaning::Table(PhysAddr::new(0x5000)));
        assert_eq!(flags(entry), "present writable user accessed dirty nx");
    }

    #[test]
    fn a_huge_entry_without_present_is_being_split() {
        let entry = (!0x1220_0000 & ADDRESS_MASK) | 0xe6;
        assert_eq!(
            meaning(entry, PageLevel::Pmd),
            Meaning::Invalidated { address: PhysAddr::new(0x1220_0000), size: 2 << 20 }
        );
    }

    #[test]
    fn encryption_does_not_change_what_an_entry_means() {
        let mask = PhysicalMask::of_memory_up_to(PhysAddr::new(1 << 30)).without(1 << 51);
        let meaning = |raw: u64, level| super::meaning(raw | 1 << 51, mask, level, &SWAP);
        assert_eq!(meaning(0x5067, PageLevel::Pmd), Meaning::Table(PhysAddr::new(0x5000)));
        let address = PhysAddr::new(0x1220_0000);
        assert_eq!(meaning(0x1220_10e7, PageLevel::Pmd), Meaning::Page { address, size: 2 << 20 });
        let inverted = !0x1220_0000 & ADDRESS_MASK & !(1 << 51);
        assert_eq!(meaning(inverted | 0xe6, PageLevel::Pmd), Meaning::Invalidated { address, size: 2 << 20 });
    }

    #[test]
    fn protnone_is_stored_inverted() {
        let raw = (!0x1234_5000 & ADDRESS_MASK) | PROTNONE;
        let meaning = meaning(raw, PageLevel::Pte);
        assert_eq!(meaning, Meaning::ProtNone { address: PhysAddr::new(0x1234_5000), size: 4096 });
    }
}
