//! Where a kernel of arm64 has its memory.
//!
//! ```text
//! PAGE_OFFSET ..     the direct map, from memstart_addr on
//! MODULES_VADDR ..   half-way; with 52 bits of address where that would be with 48 or, with pages of 16 KiB, 47
//! KIMAGE_VADDR ..    where the image is linked
//! VMALLOC_START ..   stacks, and the image wherever KASLR puts it
//! VMEMMAP_START ..   the array of struct page
//! ```
//!
//! Sources: `arch/arm64/include/asm/memory.h`, `Documentation/arch/arm64/memory.rst`.

use vmcore_memory::{PhysAddr, VirtAddr};

use super::Facts;
use crate::SynthError;
use crate::arch::{Access, Entries, Level, Paging, Regions, Wanted};
use crate::random::Random;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
/// Where QEMU's `virt` machine has its memory.
const MEMORY: u64 = GIB;
/// `_stext` minus `_text`.
const HEAD: u64 = 0x1_0000;
/// `STRUCT_PAGE_MAX_SHIFT`.
const PAGE_STRUCT_SHIFT: u32 = 6;

/// What a kernel's addresses are by its configuration alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// `PAGE_OFFSET`, as a virtual address.
    pub(crate) page_offset: u64,
    /// `MODULES_VADDR`, behind the direct map.
    pub(crate) modules: u64,
    /// `MODULES_END`, where the image is linked.
    pub(crate) modules_end: u64,
    pub(crate) vmalloc_end: u64,
    pub(crate) vmemmap: u64,
    pub(crate) vmemmap_end: u64,
    /// `VA_BITS_MIN`.
    va_bits_min: u32,
}

/// Those of a kernel with these page tables.
pub(crate) const fn bounds(facts: &Facts, paging: Paging) -> Bounds {
    let va_bits_min = match (paging.va_bits, paging.page_shift) {
        (52, 14) => 47,
        (52, _) => 48,
        (bits, _) => bits,
    };
    let page_offset = u64::MAX << paging.va_bits;
    let modules = u64::MAX << (va_bits_min - 1);
    let modules_end = modules + facts.modules_mib * MIB;
    let pages = (modules - page_offset) >> paging.page_shift << PAGE_STRUCT_SHIFT;
    let (vmemmap, gap) = if facts.large_addresses {
        (0u64.wrapping_sub(GIB).wrapping_sub(pages), 8 * MIB)
    } else {
        (u64::MAX << (paging.va_bits - (paging.page_shift - PAGE_STRUCT_SHIFT)), 256 * MIB)
    };
    let vmemmap_end = vmemmap.wrapping_add(pages);
    Bounds { page_offset, modules, modules_end, vmalloc_end: vmemmap - gap, vmemmap, vmemmap_end, va_bits_min }
}

/// Pages of 4 KiB if nothing else is wanted, and the most bits that the kernel and such pages have.
pub(crate) fn paging(facts: &Facts, wanted: Wanted) -> Result<Paging, SynthError> {
    let large = if facts.large_addresses { 52 } else { 48 };
    let (page_shift, possible): (u32, &[u32]) = match wanted.page_kib.unwrap_or(4) {
        4 => (12, &[39, 48, 52]),
        16 => (14, &[36, 47, 48, 52]),
        64 => (16, &[42, 48, 52]),
        other => {
            return Err(SynthError::scenario(format!("there are no pages of {other} KiB; hint: 4, 16 or 64")));
        }
    };
    let fits = |bits: &&u32| page_shift == 16 || **bits <= large;
    // Kernels with pages of 16 KiB are built for 47 bits where they do not have 52.
    let usual =
        if page_shift == 14 && large == 48 { Some(47) } else { possible.iter().copied().rfind(|bits| fits(&bits)) };
    let by_levels = match wanted.levels {
        None => None,
        Some(levels) => {
            let of_levels = |bits: &u32| (bits - page_shift).div_ceil(page_shift - 3) == u32::from(levels);
            Some(possible.iter().copied().filter(|bits| fits(&bits)).rfind(of_levels))
        }
    };
    let va_bits = wanted.va_bits.or(by_levels.unwrap_or(usual)).filter(|bits| possible.contains(bits) && fits(&bits));
    let va_bits = va_bits.ok_or_else(|| {
        let words: Vec<_> = possible.iter().filter(|bits| fits(bits)).map(u32::to_string).collect();
        let size = (1 << page_shift) >> 10;
        SynthError::scenario(format!(
            "this kernel has no such page tables with pages of {size} KiB; hint: va_bits of {}",
            words.join(", ")
        ))
    })?;
    let lpa2 = va_bits == 52 && page_shift != 16;
    let entries = Entries::Arm64(super::Entries { lpa2, swap: facts.swap });
    Ok(Paging { page_shift, va_bits, entries })
}

/// `_text` and `_stext`.
pub(crate) const fn link_base(facts: &Facts, paging: Paging) -> (VirtAddr, VirtAddr) {
    let text = bounds(facts, paging).modules_end;
    (VirtAddr::new(text), VirtAddr::new(text + HEAD))
}

/// Regions as KASLR chooses them.
pub(crate) fn regions(facts: &Facts, random: &mut Random, paging: Paging, memory: u64) -> Result<Regions, SynthError> {
    const BLOCK: u64 = 2 * MIB;
    let bounds = bounds(facts, paging);
    let room = bounds.modules - bounds.page_offset;
    let spare = room.checked_sub(memory).ok_or_else(|| {
        SynthError::scenario(format!("{} GiB of memory are more than {} bits map", memory / GIB, paging.va_bits))
    })?;
    // memstart_addr: the direct map need not begin with the first page of memory, and may begin below address 0.
    let shift = random.below((spare / GIB).clamp(1, 16)) * GIB;
    let direct_map = VirtAddr::new(bounds.page_offset + shift);
    // In the middle half of what is behind the direct map (`kaslr_early_init`).
    let quarter = 1u64 << (bounds.va_bits_min - 3);
    let kaslr = (quarter + random.below(2 * quarter / BLOCK) * BLOCK) & !(BLOCK - 1);
    let physical = MEMORY + BLOCK * (1 + random.below(200));
    let image_offset = bounds.modules_end.wrapping_add(kaslr).wrapping_sub(physical);
    let first = (MEMORY.wrapping_sub(shift).cast_signed() >> paging.page_shift).cast_unsigned();
    let (image_level, direct_level) = match paging.page_shift {
        12 => (Level::Pmd, Level::Pud),
        _ => (Level::Pte, Level::Pmd),
    };
    Ok(Regions {
        paging,
        kaslr,
        image_offset,
        memory: PhysAddr::new(MEMORY),
        direct_map,
        vmalloc: VirtAddr::new(bounds.modules_end),
        vmemmap: VirtAddr::new(bounds.vmemmap.wrapping_sub(first.wrapping_mul(1 << PAGE_STRUCT_SHIFT))),
        image_level,
        image_data: Access::Data,
        direct_level,
    })
}

#[cfg(test)]
mod tests {
    use super::super::SwapForm;
    use super::*;

    fn facts(large_addresses: bool) -> Facts {
        let modules_mib = if large_addresses { 2048 } else { 128 };
        Facts {
            modules_mib,
            physical_bits: 48,
            large_addresses,
            swap: SwapForm::FromBit12,
            swap_readers: Vec::new(),
            signed_returns: true,
        }
    }

    fn of(large: bool, page_kib: u32) -> Bounds {
        let facts = facts(large);
        let paging = paging(&facts, Wanted { page_kib: Some(page_kib), ..Wanted::default() }).unwrap();
        bounds(&facts, paging)
    }

    /// As Debian's 6.1 and 6.12, and its 6.12 with pages of 16 KiB, say in VMCOREINFO.
    #[test]
    fn bounds_are_those_of_real_kernels() {
        let words = |bounds: Bounds| [bounds.modules, bounds.modules_end, bounds.vmalloc_end, bounds.vmemmap];
        let old = [0xffff_8000_0000_0000, 0xffff_8000_0800_0000, 0xffff_fbff_f000_0000, 0xffff_fc00_0000_0000];
        assert_eq!(words(of(false, 4)), old);
        assert_eq!(of(false, 4).vmemmap_end, 0xffff_fe00_0000_0000);
        let new = [0xffff_8000_0000_0000, 0xffff_8000_8000_0000, 0xffff_c1ff_bf80_0000, 0xffff_c1ff_c000_0000];
        assert_eq!(words(of(true, 4)), new);
        let sixteen = [0xffff_c000_0000_0000, 0xffff_c000_8000_0000, 0xffff_f03f_bf80_0000, 0xffff_f03f_c000_0000];
        assert_eq!(words(of(true, 16)), sixteen);
        assert_eq!(of(true, 16).vmemmap_end, 0xffff_ffff_c000_0000);
    }

    #[test]
    fn what_no_kernel_has_is_refused() {
        let refused = |large, page_kib, va_bits, levels| {
            let wanted = Wanted { levels, page_kib: Some(page_kib), va_bits };
            paging(&facts(large), wanted).is_err()
        };
        assert!(
            refused(false, 8, None, None) && refused(false, 4, Some(52), None) && refused(true, 16, Some(39), None)
        );
        assert!(refused(false, 4, None, Some(5)) && !refused(true, 4, None, Some(5)));
        assert!(!refused(false, 64, Some(52), None) && !refused(true, 4, Some(39), None));
    }
}
