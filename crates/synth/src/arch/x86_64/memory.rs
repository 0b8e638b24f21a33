//! Page tables of x86-64, and where the kernel puts what is mapped by them.
//!
//! ```text
//! page_offset_base ..    the direct map: all physical memory, in pages of 1 GiB
//! vmalloc_base ..        stacks, in pages of 4 KiB with a guard page between them
//! vmemmap_base ..        the array of struct page, in pages of 2 MiB
//! cpu_entry_area ..      exception stacks of each CPU
//! __START_KERNEL_map ..  the image, in pages of 2 MiB
//! ```
//!
//! Sources: `arch/x86/include/asm/pgtable_types.h`, `Documentation/arch/x86/x86_64/mm.rst`.

use vmcore_memory::{PhysAddr, VirtAddr};

use crate::SynthError;
use crate::arch::{Access, Entries, Level, Paging, Regions, Wanted};
use crate::random::Random;

/// Where kernels are linked.
pub(crate) const TEXT: VirtAddr = VirtAddr::new(0xffff_ffff_8100_0000);
/// `__START_KERNEL_map`.
pub(crate) const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const HUGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;
const TABLE: u64 = PRESENT | WRITABLE | ACCESSED | DIRTY;
const USER_PAGE: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY | NO_EXECUTE;

const GIB: u64 = 1 << 30;
const HUGE_PAGE: u64 = 2 << 20;

/// Four or five levels of pages of 4 KiB.
pub(crate) fn paging(wanted: Wanted) -> Result<Paging, SynthError> {
    if wanted.page_kib.is_some_and(|size| size != 4) || wanted.va_bits.is_some() {
        return Err(SynthError::scenario(
            "page_kib and va_bits are for arm64; hint: leave them out, or name a kernel of arm64",
        ));
    }
    let va_bits = if wanted.levels.unwrap_or(4) >= 5 { 57 } else { 48 };
    Ok(Paging { page_shift: 12, va_bits, entries: Entries::X86_64 })
}

/// Regions as KASLR chooses them.
pub(crate) fn regions(random: &mut Random, paging: Paging) -> Regions {
    let (direct_map, vmalloc, vmemmap) = if paging.levels() >= 5 {
        (0xff11_0000_0000_0000, 0xffa0_0000_0000_0000, 0xffd4_0000_0000_0000)
    } else {
        (0xffff_8880_0000_0000, 0xffff_c900_0000_0000, 0xffff_ea00_0000_0000)
    };
    let mut moved = |base: u64| VirtAddr::new(base + random.below(256) * GIB);
    let (direct_map, vmalloc, vmemmap) = (moved(direct_map), moved(vmalloc), moved(vmemmap));
    let kaslr = random.below(240) * HUGE_PAGE;
    // The image may lie anywhere in the first GiB, whatever its virtual address.
    let physical = 16 * HUGE_PAGE + random.below(256) * HUGE_PAGE;
    let image_offset = TEXT.get().wrapping_add(kaslr).wrapping_sub(physical);
    Regions {
        paging,
        kaslr,
        image_offset,
        memory: PhysAddr::new(0),
        direct_map,
        vmalloc,
        vmemmap,
        image_level: Level::Pmd,
        image_data: Access::Code,
        direct_level: Level::Pud,
    }
}

pub(crate) const fn table(to: PhysAddr, of_kernel: bool) -> u64 {
    to.get() | TABLE | if of_kernel { 0 } else { USER }
}

pub(crate) fn next_table(raw: u64) -> Option<PhysAddr> {
    (raw & PRESENT != 0 && raw & HUGE == 0).then_some(PhysAddr::new(raw & ADDRESS_MASK))
}

const fn size(level: Level) -> u64 {
    if matches!(level, Level::Pte) { 0 } else { HUGE }
}

pub(crate) const fn kernel_page(at: PhysAddr, level: Level, access: Access) -> u64 {
    let execute = if matches!(access, Access::Code) { 0 } else { NO_EXECUTE };
    at.get() | TABLE | size(level) | execute
}

pub(crate) const fn user_page(at: PhysAddr, level: Level) -> u64 {
    at.get() | USER_PAGE | size(level)
}

/// The address is inverted in entries that are not present, as a defence against L1TF.
pub(crate) const fn invalidated(at: PhysAddr) -> u64 {
    !at.get() & ADDRESS_MASK | (USER_PAGE | HUGE) & !PRESENT
}

/// Type in the top five bits, offset inverted below it (kernel commit 2f22b4cd45b6).
pub(crate) const fn swap(kind: u64, offset: u64) -> u64 {
    kind << 59 | (!offset << 14 >> 5)
}
