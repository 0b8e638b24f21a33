//! CPUs: masks, per-CPU areas, the stacks that are not a task's, notes.

use vmcore_memory::VirtAddr;

use super::Machine;
use crate::SynthError;
use crate::arch::Target;
use crate::stack::Bounds;
use crate::vmlinux::image::CRASH_NOTE_AREA;

/// A CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) number: u32,
    /// `__per_cpu_offset`.
    pub(crate) offset: u64,
    pub(crate) irq_stack: Bounds,
    /// Where NMIs have a stack of their own.
    pub(crate) nmi_stack: Option<Bounds>,
}

impl Machine<'_> {
    /// Makes the per-CPU areas of CPUs 0 to `count`.
    pub(crate) fn add_cpus(&mut self, count: u32) -> Result<Vec<Cpu>, SynthError> {
        let size = self.image.percpu_size.next_multiple_of(4096);
        // What is added to the run-time address of a variable: such variables are linked at 0, or move with the image.
        let start = self.percpu_start();
        let first = self.space.allocate_object(size * u64::from(count));
        let offsets = self.variable("__per_cpu_offset")?;
        let mut cpus = Vec::new();
        for number in 0..count {
            let area = first.wrapping_add(u64::from(number) * size);
            let offset = area.get().wrapping_sub(start);
            self.space.write(area, &vec![0; usize::try_from(size).unwrap_or_default()])?;
            self.space.write_u64(offsets.wrapping_add(u64::from(number) * 8), offset)?;
            cpus.push(self.add_cpu(number, offset)?);
        }
        let notes =
            self.image.percpu.get(CRASH_NOTE_AREA).map_or(0, |area| area.link.wrapping_add(self.percpu_moved()).get());
        self.set_variable("crash_notes", notes)?;
        Ok(cpus)
    }

    fn add_cpu(&mut self, number: u32, offset: u64) -> Result<Cpu, SynthError> {
        let (irq_stack, nmi_stack) = match self.generation.target() {
            Target::X86_64(facts) => {
                let irq_stack = self.add_irq_stack_of_x86_64(facts, number, offset)?;
                (irq_stack, Some(self.add_exception_stacks(number, offset)?))
            }
            Target::Arm64(_) => (self.add_irq_stack_of_arm64(offset)?, None),
        };
        Ok(Cpu { number, offset, irq_stack, nmi_stack })
    }

    /// The address of a per-CPU variable in the area at `offset`.
    pub(crate) fn percpu_variable(&self, name: &str, offset: u64) -> Result<VirtAddr, SynthError> {
        let variable = self.image.percpu.get(name).ok_or_else(|| self.generation.lacks(format!("per-CPU {name}")))?;
        Ok(variable.link.wrapping_add(self.percpu_moved()).wrapping_add(offset))
    }

    /// How far per-CPU variables moved.
    const fn percpu_moved(&self) -> u64 {
        if self.image.percpu_start.is_null() { 0 } else { self.space.regions.kaslr }
    }

    /// Their run-time start.
    const fn percpu_start(&self) -> u64 {
        self.image.percpu_start.wrapping_add(self.percpu_moved()).get()
    }

    pub(super) fn set_percpu(&mut self, name: &str, offset: u64, value: u64) -> Result<(), SynthError> {
        let at = self.percpu_variable(name, offset)?;
        self.space.write_u64(at, value)
    }

    /// Says which task a CPU runs.
    pub(crate) fn set_current(&mut self, cpu: &Cpu, task: VirtAddr) -> Result<(), SynthError> {
        match self.generation.target() {
            Target::X86_64(_) => self.set_current_of_x86_64(cpu.offset, task),
            Target::Arm64(_) => self.set_percpu("__entry_task", cpu.offset, task.get()),
        }
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
