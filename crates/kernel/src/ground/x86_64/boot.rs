//! From a kernel's location to a working address space: its page tables, its memory layout.
//!
//! The bases of the direct map, of vmalloc and of `vmemmap` are variables since 4.9 (`CONFIG_RANDOMIZE_MEMORY`), which
//! the image itself has. Source: `arch/x86/mm/kaslr.c`.

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::{ReadPhysical, ReadVirtual, VirtAddr};

use crate::address_space::{AddressSpace, DirectMap};
use crate::ground::x86_64::location::KernelLocation;
use crate::paging::PageTables;

/// Bases of the randomized regions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    /// Where the `struct page` of frame 0 is, or would be.
    pub(crate) vmemmap: Option<VirtAddr>,
}

pub(crate) fn boot<'a>(
    physical: &'a dyn ReadPhysical,
    location: &KernelLocation,
    vmlinux: &Vmlinux,
) -> (AddressSpace<'a>, Regions) {
    let run_time = |name| Some(vmlinux.symbols().address(name)?.wrapping_add(location.kaslr_offset));
    let memory = AddressSpace::image_only(physical, location.phys_base);
    let variable = |name| memory.read_u64(run_time(name)?).ok();
    let direct_map = variable("page_offset_base").zip(variable("vmalloc_base")).filter(|(start, end)| start < end);
    let regions = Regions {
        vmemmap: Some(VirtAddr::new(variable("vmemmap_base").unwrap_or(default_vmemmap(location.page_levels)))),
    };
    let tables = PageTables::x86_64(location.root, location.page_levels, location.mask);
    let memory = match run_time("_end") {
        Some(end) => memory.with_image_end(end),
        None => memory,
    };
    let direct_map = direct_map.map(|(start, end)| DirectMap::from_zero(start..end));
    (memory.with_tables(tables).with_direct_map(direct_map), regions)
}

/// `__VMEMMAP_BASE_L5` and `__VMEMMAP_BASE_L4`: where `struct page`s are when the base is not a variable.
const fn default_vmemmap(page_levels: u8) -> u64 {
    if page_levels >= 5 { 0xffd4_0000_0000_0000 } else { 0xffff_ea00_0000_0000 }
}
