//! The first steps into a kernel, by the machine it runs on: where it is, and how its memory is translated.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;
use vmcore_memory::{Architecture, ReadPhysical, VirtAddr};

use crate::address_space::AddressSpace;
use crate::arch::arm64;
use crate::arch::x86_64::image::IMAGE_BASE;
use crate::ground::arm64::Ground;
use crate::ground::x86_64::boot::{Regions, boot};
use crate::ground::x86_64::location::{self, FoundBy, KernelChoice, KernelInMemory, Located, Role};
use crate::layout::Resolver;
use crate::page::PageLayout;
use crate::paging::{PageFormat, PageTables, SwapLayout};
use crate::{Gap, KernelError};

/// A kernel whose memory can be read.
pub(crate) struct Opened<'a> {
    pub(crate) memory: AddressSpace<'a>,
    pub(crate) regions: Regions,
    /// Run-time minus link-time address of the kernel image.
    pub(crate) kaslr_offset: u64,
    /// How its page tables, and those of its processes, are built.
    pub(crate) format: PageFormat,
    /// The bits of a code address that may hold an authentication code; 0 where there is none such.
    pub(crate) pac_mask: u64,
    pub(crate) found_by: FoundBy,
    /// All kernels of this build that were found in memory; empty where no other was looked for.
    pub(crate) kernels: Vec<KernelInMemory>,
    pub(crate) role: Role,
}

/// Finds the kernel of `vmlinux` in the dump.
pub(crate) fn open<'a>(
    dump: &Dump,
    vmlinux: &Vmlinux,
    physical: &'a dyn ReadPhysical,
    choice: KernelChoice,
    gaps: &mut Vec<Gap>,
) -> Result<Opened<'a>, KernelError> {
    match dump.architecture() {
        Architecture::X86_64 => of_x86_64(dump, vmlinux, physical, choice, gaps),
        Architecture::Arm64 => of_arm64(dump, vmlinux, physical, gaps),
    }
}

fn of_x86_64<'a>(
    dump: &Dump,
    vmlinux: &Vmlinux,
    physical: &'a dyn ReadPhysical,
    choice: KernelChoice,
    gaps: &mut Vec<Gap>,
) -> Result<Opened<'a>, KernelError> {
    let Located { location, found_by, kernels, role } = location::locate(dump, vmlinux, physical, choice, gaps)?;
    let (memory, regions) = boot(physical, &location, vmlinux);
    let format = PageFormat::X86_64 { levels: location.page_levels, mask: location.mask };
    Ok(Opened { memory, regions, kaslr_offset: location.kaslr_offset, format, pac_mask: 0, found_by, kernels, role })
}

/// By VMCOREINFO alone, as far as memory does not contradict it.
fn of_arm64<'a>(
    dump: &Dump,
    vmlinux: &Vmlinux,
    physical: &'a dyn ReadPhysical,
    gaps: &mut Vec<Gap>,
) -> Result<Opened<'a>, KernelError> {
    let info = dump.vmcoreinfo().ok_or(KernelError::NoVmcoreinfo)?;
    let ground = Ground::read(info)?;
    ground.check_boot(vmlinux, physical)?;
    let memory = ground.memory(physical, ground.bounds(vmlinux));
    let vmemmap = ground.vmemmap(&memory, vmlinux, &PageLayout::resolve(Resolver::new(vmlinux.types()))?);
    if vmemmap.is_none() {
        let why = "VMCOREINFO does not say where the array of them lies (vmemmap), and none of the places where kernels have \
                   it holds those of the kernel's own image";
        gaps.push(Gap::new("struct pages", why));
    }
    let symbol = |name: &str| -> Option<VirtAddr> { vmlinux.symbols().address(name) };
    Ok(Opened {
        regions: Regions { vmemmap },
        kaslr_offset: ground.kaslr_offset,
        format: memory.tables().map_or(PageFormat::Arm64(ground.geometry), |PageTables { format, .. }| format),
        pac_mask: ground.pac_mask,
        found_by: FoundBy::Vmcoreinfo,
        kernels: Vec::new(),
        role: Role::of(physical, &symbol, ground.image_delta().wrapping_add(IMAGE_BASE)),
        memory,
    })
}

/// What nothing says the place of, in a kernel's own tables.
pub(crate) fn what_has_no_name(vmlinux: &Vmlinux) -> Option<Gap> {
    let no_variables = || {
        let why = "the kernel has none in kallsyms (it was built without CONFIG_KALLSYMS_ALL): of those that neither \
                   modules may use nor every CPU has its own, such as panic_cpu and tainted_mask, nothing is known";
        Gap::new("names of variables", why)
    };
    vmlinux.lacks_variables().then(no_variables)
}

/// That stacks of arm64 are followed by their frame records alone.
pub(crate) fn what_unwinds(vmlinux: &Vmlinux) -> Option<Gap> {
    let why = "there is none (.debug_frame, .eh_frame): stacks are followed by their frame records alone, in which a function that was \
               interrupted before it made its own, or that makes none, leaves out its caller";
    (!vmlinux.has_call_frames()).then(|| Gap::new("call-frame information", why))
}

/// How the kernel's swap entries are built.
pub(crate) fn swap_layout(
    dump: &Dump,
    vmlinux: &Vmlinux,
    memory: &AddressSpace<'_>,
    kaslr_offset: u64,
    format: PageFormat,
    gaps: &mut Vec<Gap>,
) -> SwapLayout {
    let layout = SwapLayout::establish(vmlinux, format.levels(), gaps);
    if dump.architecture() == Architecture::X86_64 {
        return layout;
    }
    let fields = arm64::swap_fields(memory, vmlinux, kaslr_offset, layout.read_exclusive);
    if fields.is_none() {
        gaps.push(Gap::new(
            "swap entries",
            "the kernel's code does not tell where the type is in one, and where the offset",
        ));
    }
    // SWP_PFN_BITS is MAX_PHYSMEM_BITS - PAGE_SHIFT.
    let bits = dump.vmcoreinfo().and_then(|info| info.number("MAX_PHYSMEM_BITS")).unwrap_or(48);
    let pfn_bits = u32::try_from(bits.clamp(48, 52)).unwrap_or(48) - format.page_shift();
    SwapLayout { fields, pfn_bits, ..layout }
}
