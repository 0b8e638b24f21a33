//! From VMCOREINFO to a working address space: where the kernel was loaded, its page tables, its memory layout.
//!
//! VMCOREINFO holds, among others, `KERNELOFFSET` (KASLR), `NUMBER(phys_base)`, `SYMBOL(swapper_pg_dir)` (run-time
//! address) and `NUMBER(pgtable_l5_enabled)`. Source: `arch/x86/kernel/machine_kexec_64.c`,
//! `Documentation/admin-guide/kdump/vmcoreinfo.rst`.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{ReadPhysical, ReadVirtual, VirtAddr};

use crate::{KernelError, address_space::AddressSpace, paging::PageTables};

/// Bases of the randomized regions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    pub(crate) vmemmap: VirtAddr,
    direct_map: Option<(u64, u64)>,
}

/// What [`boot`] finds.
pub(crate) struct Booted<'a> {
    pub(crate) memory: AddressSpace<'a>,
    pub(crate) regions: Regions,
    /// Run-time minus link-time address of the kernel image.
    pub(crate) kaslr_offset: u64,
    pub(crate) page_levels: u8,
}

pub(crate) fn boot<'a>(
    physical: &'a dyn ReadPhysical,
    info: &Vmcoreinfo,
    vmlinux: &Vmlinux,
) -> Result<Booted<'a>, KernelError> {
    let symbol = |name| vmlinux.symbols().address(name);
    let link_root = symbol("init_top_pgt")
        .or_else(|| symbol("swapper_pg_dir"))
        .ok_or(KernelError::MissingSymbol("init_top_pgt"))?;
    let kaslr_offset = match (info.kerneloffset(), info.symbol("swapper_pg_dir")) {
        (Some(offset), _) => offset,
        (None, Some(root)) => root.get().wrapping_sub(link_root.get()),
        (None, None) => 0,
    };
    // The variable is the same number on every kernel that has it in VMCOREINFO (4.10); before, it was 0 without KASLR.
    let phys_base = info.number("phys_base").unwrap_or_default().cast_unsigned();
    let five_levels = info.number("pgtable_l5_enabled").is_some_and(|number| number != 0);
    let page_levels = if five_levels { 5 } else { 4 };

    let memory = AddressSpace::image_only(physical, phys_base);
    let root = info.symbol("swapper_pg_dir").unwrap_or(link_root.wrapping_add(kaslr_offset));
    let root = memory.translate(root).map_err(|source| KernelError::Read {
        what: "the kernel's page tables",
        address: root,
        source,
    })?;
    let variable = |name| {
        let address = symbol(name)?.wrapping_add(kaslr_offset);
        memory.read_u64(address).ok()
    };
    let direct_map = variable("page_offset_base").zip(variable("vmalloc_base")).filter(|(start, end)| start < end);
    let regions = Regions {
        vmemmap: VirtAddr::new(variable("vmemmap_base").unwrap_or(default_vmemmap(five_levels))),
        direct_map,
    };
    let tables = PageTables { root, levels: page_levels };
    let memory = match symbol("_end") {
        Some(end) => memory.with_image_end(end.wrapping_add(kaslr_offset)),
        None => memory,
    };
    let memory = memory.with_tables(tables, regions.direct_map.map(|(start, end)| start..end));
    Ok(Booted { memory, regions, kaslr_offset, page_levels })
}

/// `__VMEMMAP_BASE_L5` and `__VMEMMAP_BASE_L4`: where `struct page`s are when the base is not a variable.
const fn default_vmemmap(five_levels: bool) -> u64 {
    if five_levels { 0xffd4_0000_0000_0000 } else { 0xffff_ea00_0000_0000 }
}
