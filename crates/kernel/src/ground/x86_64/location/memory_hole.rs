//! Where the memory of a raw image that is longer than 2 GiB has its hole, by the page tables in it.
//!
//! The kernel allocates the tables of its direct map from the top of memory on: with a hole in the wrong place, what the
//! top page table's entries lead to are no tables.

use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{PageLevel, PhysAddr, ReadPhysical};

use crate::arch::x86_64::image::physical_address;
use crate::arch::x86_64::paging::meaning;
use crate::paging::{Meaning, PhysicalMask, SwapLayout};

/// The first entry of the kernel's half of the top table, and how many a table has.
const KERNEL_HALF: u64 = 256;
const ENTRIES: u64 = 512;
const PRESENT: u64 = 1;

/// Gives a raw image the hole with which the page tables that `info` leads to are tables; says where it begins, if there is
/// one. Nothing is changed of a dump that says itself where its memory is.
pub fn fit_memory_hole(dump: &mut Dump, info: &Vmcoreinfo) -> Option<PhysAddr> {
    let holes = dump.possible_holes();
    if holes.is_empty() {
        return None;
    }
    let root = physical_address(info.symbol("swapper_pg_dir")?, info.number("phys_base")?.cast_unsigned());
    let candidates = std::iter::once(None).chain(holes.into_iter().map(Some));
    let mut best: Option<(usize, Option<PhysAddr>)> = None;
    for hole in candidates {
        dump.set_memory_hole(hole);
        let tables = tables_below(dump, root, dump.memory_end());
        if best.is_none_or(|(most, _)| tables > most) {
            best = Some((tables, hole));
        }
    }
    let hole = best.and_then(|(_, hole)| hole);
    dump.set_memory_hole(hole);
    hole
}

/// How many entries of the kernel's half of the table at `root` lead to tables.
fn tables_below(memory: &dyn ReadPhysical, root: PhysAddr, end: PhysAddr) -> usize {
    let mask = PhysicalMask::of_memory_up_to(end);
    let next = |index: u64| {
        let entry = memory.read_physical_u64(root.checked_add(index * 8)?).ok()?;
        match meaning(entry, mask, PageLevel::Pgd, &SwapLayout::UNKNOWN) {
            Meaning::Table(next) => Some(next),
            _ => None,
        }
    };
    (KERNEL_HALF..ENTRIES).filter_map(next).filter(|&table| is_table(memory, table, mask, end)).count()
}

/// Whether all entries of a page are empty or lead to memory, and not all are empty.
fn is_table(memory: &dyn ReadPhysical, table: PhysAddr, mask: PhysicalMask, end: PhysAddr) -> bool {
    let mut used = 0;
    let fits = (0..ENTRIES).all(|index| {
        let entry = table.checked_add(index * 8).and_then(|at| memory.read_physical_u64(at).ok());
        match entry {
            Some(0) => true,
            Some(entry) if entry & PRESENT != 0 => {
                used += 1;
                mask.root(entry) < end
            }
            _ => false,
        }
    });
    fits && used > 0
}
