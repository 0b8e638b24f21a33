//! What only a machine of x86-64 has.

use vmcore_dump::RawNote;
use vmcore_memory::{PhysAddr, VirtAddr, arch::x86_64::Registers};

use super::Machine;
use crate::SynthError;
use crate::arch::x86_64::{Facts, IMAGE_BASE, IrqStackVariable};
use crate::stack::Bounds;
use crate::vmlinux::code::Owner;
use crate::vmlinux::x86_64::orc;

/// `IRQ_STACK_SIZE`.
const IRQ_STACK: u64 = 16 << 10;
/// `CPU_ENTRY_AREA_BASE`, and the read-only IDT at its start.
const CPU_ENTRY_AREAS: u64 = 0xffff_fe00_0000_0000 + 4096;
/// CR0 with paging and protection on; CR4 with PAE and SSE, and its bit for five levels of page tables.
const CR0: u64 = 0x8005_0033;
const CR4: u64 = 0x6f0;
const CR4_LA57: u64 = 1 << 12;

/// The `QEMU` note of a virtual CPU, `struct QEMUCPUState` of QEMU's `target/i386/arch_dump.c`: version and size, the
/// general registers, ten segments of 24 bytes, five control registers, `kernel_gs_base`.
pub(crate) fn qemu_note(registers: &Registers, gs: (u64, u64), root: PhysAddr, levels: u32) -> RawNote {
    const SIZE: u32 = 440;
    const GS_SEGMENT: usize = 4;
    let r = registers;
    let general = [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.rip, r.eflags,
    ];
    let mut desc: Vec<u8> = [1, SIZE].into_iter().flat_map(u32::to_le_bytes).collect();
    desc.extend(general.iter().flat_map(|word| word.to_le_bytes()));
    for segment in 0..10 {
        // cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt.
        let selector = match segment {
            0 => r.cs,
            5 => r.ss,
            _ => 0,
        };
        desc.extend((selector as u32).to_le_bytes());
        desc.extend([0; 12]);
        desc.extend(if segment == GS_SEGMENT { gs.0 } else { 0 }.to_le_bytes());
    }
    let five = if levels >= 5 { CR4_LA57 } else { 0 };
    let control = [CR0, 0, 0, root.get(), CR4 | five, gs.1];
    desc.extend(control.iter().flat_map(|word| word.to_le_bytes()));
    RawNote { name: b"QEMU".to_vec(), kind: 0, desc }
}

impl Machine<'_> {
    const fn phys_base(&self) -> u64 {
        IMAGE_BASE.wrapping_sub(self.space.regions.image_offset)
    }

    /// The variables that say where memory is.
    pub(super) fn tell_regions_of_x86_64(&mut self) -> Result<(), SynthError> {
        let regions = self.space.regions;
        self.set_variable("page_offset_base", regions.direct_map.get())?;
        self.set_variable("vmalloc_base", regions.vmalloc.get())?;
        self.set_variable("vmemmap_base", regions.vmemmap.get())?;
        self.set_variable("phys_base", self.phys_base())
    }

    /// The lines of VMCOREINFO that say where memory is: `arch/x86/kernel/machine_kexec_64.c`.
    pub(super) fn memory_lines_of_x86_64(&self) -> [String; 5] {
        let regions = &self.space.regions;
        [
            format!("NUMBER(phys_base)={}", self.phys_base().cast_signed()),
            format!("NUMBER(pgtable_l5_enabled)={}", u8::from(regions.paging.levels() >= 5)),
            format!("KERNELOFFSET={:x}", regions.kaslr),
            "NUMBER(KERNEL_IMAGE_SIZE)=1073741824".to_owned(),
            "NUMBER(sme_mask)=0".to_owned(),
        ]
    }

    /// The interrupt stack of a CPU.
    pub(super) fn add_irq_stack_of_x86_64(
        &mut self,
        facts: &Facts,
        number: u32,
        offset: u64,
    ) -> Result<Bounds, SynthError> {
        let low = self.space.allocate_mapped(IRQ_STACK, IRQ_STACK);
        let high = low.wrapping_add(IRQ_STACK);
        // The top less one word since 5.8 (kernel commit 951c2a51ae75), the top before.
        let top = high.wrapping_sub(8).get();
        match facts.irq_stack {
            IrqStackVariable::PcpuHot => {
                let hot = self.percpu_variable("pcpu_hot", offset)?;
                self.put(hot, "pcpu_hot", "hardirq_stack_ptr", top)?;
                self.put(hot, "pcpu_hot", "cpu_number", number.into())?;
            }
            IrqStackVariable::HardirqStackPtr => self.set_percpu("hardirq_stack_ptr", offset, top)?,
            IrqStackVariable::IrqStackPtr => self.set_percpu("irq_stack_ptr", offset, high.get())?,
        }
        self.set_percpu("this_cpu_off", offset, offset)?;
        Ok(Bounds { low, high })
    }

    /// Maps the CPU's entry area and returns its NMI stack.
    pub(super) fn add_exception_stacks(&mut self, number: u32, offset: u64) -> Result<Bounds, SynthError> {
        let size = self.generation.size_of("cpu_entry_area")?;
        let area = VirtAddr::new(CPU_ENTRY_AREAS + u64::from(number) * size);
        self.space.map_fresh(area, size);
        let types = self.generation.types();
        let Some(nmi) = types.place("cea_exception_stacks", "NMI_stack") else {
            // Before 5.2: stacks of 4 KiB one after the other, the second for NMIs.
            let low = self.member(area, "cpu_entry_area", "exception_stacks")?.wrapping_add(4096);
            return Ok(Bounds { low, high: low.wrapping_add(4096) });
        };
        let base = self.member(area, "cpu_entry_area", "estacks")?;
        self.set_percpu("cea_exception_stacks", offset, base.get())?;
        let low = base.wrapping_add(nmi.offset);
        Ok(Bounds { low, high: low.wrapping_add(nmi.size) })
    }

    pub(super) fn set_current_of_x86_64(&mut self, offset: u64, task: VirtAddr) -> Result<(), SynthError> {
        if self.has("pcpu_hot", "current_task") {
            let hot = self.percpu_variable("pcpu_hot", offset)?;
            self.put(hot, "pcpu_hot", "current_task", task.get())?;
        }
        self.set_percpu("current_task", offset, task.get())
    }

    /// The unwind entries of a module, as `arch/x86/include/asm/module.h` has them.
    pub(super) fn write_module_orc(
        &mut self,
        facts: &Facts,
        object: VirtAddr,
        number: usize,
    ) -> Result<(), SynthError> {
        let rows = orc::rows(&self.image.code, Owner::Module(number));
        let (_, spacing) = self.generation.target().instructions().modules();
        let text = self.image.code.modules.get(number).map_or(0, |text| text.offset);
        // In reach of the code, whose distances from here have 32 bits: behind it, in the second half of its room.
        let size = rows.len() as u64 * 4;
        let ips = self.code_at(text + spacing / 2);
        self.space.map_fresh(ips, size.max(1));
        let (distances, entries) = orc::sections(&rows, facts.orc, self.code_at(0), ips);
        self.space.write(ips, &distances)?;
        let entries = self.keep(&entries)?;
        for (member, value) in
            [("num_orcs", rows.len() as u64), ("orc_unwind_ip", ips.get()), ("orc_unwind", entries.get())]
        {
            self.put(object, "module", &format!("arch.{member}"), value)?;
        }
        Ok(())
    }
}
