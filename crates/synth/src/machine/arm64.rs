//! What only a machine of arm64 has.

use super::Machine;
use crate::SynthError;
use crate::arch::arm64::{Facts, bounds};
use crate::stack::Bounds;

/// `SECTION_SIZE_BITS`: 128 MiB.
const SECTION_BITS: u32 = 27;

impl Machine<'_> {
    /// `memstart_addr`, which may be below 0.
    const fn start_of_direct_map(&self, page_offset: u64) -> u64 {
        let regions = &self.space.regions;
        regions.memory.get().wrapping_sub(regions.direct_map.get().wrapping_sub(page_offset))
    }

    /// The variables that say where memory is.
    pub(super) fn tell_regions_of_arm64(&mut self) -> Result<(), SynthError> {
        let regions = self.space.regions;
        let page_offset = u64::MAX << regions.paging.va_bits;
        self.set_variable("memstart_addr", self.start_of_direct_map(page_offset))?;
        self.set_variable("kimage_voffset", regions.image_offset)?;
        self.set_variable("vabits_actual", regions.paging.va_bits.into())
    }

    /// The lines of VMCOREINFO that say where memory is: `arch/arm64/kernel/vmcore_info.c`.
    pub(super) fn memory_lines_of_arm64(&self, facts: &Facts) -> Vec<String> {
        let regions = &self.space.regions;
        let paging = regions.paging;
        let bounds = bounds(facts, paging);
        let pac = if facts.signed_returns { u64::MAX << paging.va_bits } else { 0 };
        let number = |name: &str, value: u64| format!("NUMBER({name})={value:#x}");
        vec![
            format!("NUMBER(VA_BITS)={}", paging.va_bits),
            number("MODULES_VADDR", bounds.modules),
            number("MODULES_END", bounds.modules_end),
            number("VMALLOC_START", bounds.modules_end),
            number("VMALLOC_END", bounds.vmalloc_end),
            number("VMEMMAP_START", bounds.vmemmap),
            number("VMEMMAP_END", bounds.vmemmap_end),
            number("kimage_voffset", regions.image_offset),
            number("PHYS_OFFSET", self.start_of_direct_map(bounds.page_offset)),
            number("TCR_EL1_T1SZ", u64::from(64 - paging.va_bits)),
            format!("KERNELOFFSET={:x}", regions.kaslr),
            number("KERNELPACMASK", pac),
            format!("NUMBER(SECTION_SIZE_BITS)={SECTION_BITS}"),
            format!("NUMBER(MAX_PHYSMEM_BITS)={}", facts.physical_bits),
        ]
    }

    /// The interrupt stack of a CPU, whose lowest address the kernel keeps.
    pub(super) fn add_irq_stack_of_arm64(&mut self, offset: u64) -> Result<Bounds, SynthError> {
        let size = self.thread_size();
        let low = self.space.allocate_mapped(size, 2 * size);
        self.set_percpu("irq_stack_ptr", offset, low.get())?;
        Ok(Bounds { low, high: low.wrapping_add(size) })
    }
}
