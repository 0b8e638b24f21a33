//! CPUs: masks, per-CPU areas, the stacks that are not a task's, notes.

use vmcore_memory::VirtAddr;

use super::Machine;
use crate::SynthError;
use crate::generation::IrqStackVariable;
use crate::stack::Bounds;
use crate::vmlinux::image::CRASH_NOTE_AREA;

/// `IRQ_STACK_SIZE`.
const IRQ_STACK: u64 = 16 << 10;

/// A CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) number: u32,
    /// `__per_cpu_offset`.
    pub(crate) offset: u64,
    pub(crate) irq_stack: Bounds,
    pub(crate) nmi_stack: Bounds,
}

impl Machine<'_> {
    /// Makes the per-CPU areas of CPUs 0 to `count`.
    pub(crate) fn add_cpus(&mut self, count: u32) -> Result<Vec<Cpu>, SynthError> {
        let size = self.image.percpu_size.next_multiple_of(4096);
        let first = self.space.allocate_object(size * u64::from(count));
        let offsets = self.variable("__per_cpu_offset")?;
        let mut cpus = Vec::new();
        for number in 0..count {
            let offset = first.get() + u64::from(number) * size;
            self.space.write(VirtAddr::new(offset), &vec![0; usize::try_from(size).unwrap_or_default()])?;
            self.space.write_u64(offsets.wrapping_add(u64::from(number) * 8), offset)?;
            cpus.push(self.add_cpu(number, offset)?);
        }
        let notes = self.image.percpu.get(CRASH_NOTE_AREA).map_or(0, |area| area.link.get());
        self.set_variable("crash_notes", notes)?;
        Ok(cpus)
    }

    fn add_cpu(&mut self, number: u32, offset: u64) -> Result<Cpu, SynthError> {
        let low = self.space.allocate_mapped(IRQ_STACK, IRQ_STACK);
        let high = low.wrapping_add(IRQ_STACK);
        // The top less one word since 5.8 (kernel commit 951c2a51ae75), the top before.
        let top = high.wrapping_sub(8).get();
        match self.generation.facts.irq_stack {
            IrqStackVariable::PcpuHot => {
                let hot = self.percpu_variable("pcpu_hot", offset)?;
                self.put(hot, "pcpu_hot", "hardirq_stack_ptr", top)?;
                self.put(hot, "pcpu_hot", "cpu_number", number.into())?;
            }
            IrqStackVariable::HardirqStackPtr => self.set_percpu("hardirq_stack_ptr", offset, top)?,
            IrqStackVariable::IrqStackPtr => self.set_percpu("irq_stack_ptr", offset, high.get())?,
        }
        self.set_percpu("this_cpu_off", offset, offset)?;
        let irq_stack = Bounds { low, high };
        Ok(Cpu { number, offset, irq_stack, nmi_stack: self.add_exception_stacks(number, offset)? })
    }

    /// Maps the CPU's entry area and returns its NMI stack.
    fn add_exception_stacks(&mut self, number: u32, offset: u64) -> Result<Bounds, SynthError> {
        let area = self.space.map_entry_area(number, self.generation.size_of("cpu_entry_area")?);
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

    /// The address of a per-CPU variable in the area at `offset`.
    pub(crate) fn percpu_variable(&self, name: &str, offset: u64) -> Result<VirtAddr, SynthError> {
        let variable = self.image.percpu.get(name).ok_or_else(|| self.generation.lacks(format!("per-CPU {name}")))?;
        Ok(variable.link.wrapping_add(offset))
    }

    fn set_percpu(&mut self, name: &str, offset: u64, value: u64) -> Result<(), SynthError> {
        let at = self.percpu_variable(name, offset)?;
        self.space.write_u64(at, value)
    }

    /// Says which task a CPU runs.
    pub(crate) fn set_current(&mut self, cpu: &Cpu, task: VirtAddr) -> Result<(), SynthError> {
        if self.has("pcpu_hot", "current_task") {
            let hot = self.percpu_variable("pcpu_hot", cpu.offset)?;
            self.put(hot, "pcpu_hot", "current_task", task.get())?;
        }
        self.set_percpu("current_task", cpu.offset, task.get())
    }

    /// Sets a `struct cpumask`.
    pub(crate) fn set_mask(&mut self, name: &str, cpus: impl Iterator<Item = u32>) -> Result<(), SynthError> {
        let mask = self.variable(name)?;
        for cpu in cpus {
            let word = mask.wrapping_add(u64::from(cpu / 64) * 8);
            let value = self.space.read_u64(word)? | 1 << (cpu % 64);
            self.space.write_u64(word, value)?;
        }
        Ok(())
    }
}
