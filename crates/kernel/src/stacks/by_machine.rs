//! What differs from one machine architecture to another in finding stacks, chosen once.

use std::collections::BTreeMap;

use vmcore_debuginfo::SymbolTable;
use vmcore_dump::Dump;
use vmcore_memory::{Architecture, ReadError, ReadVirtual, VirtAddr};
use vmcore_unwind::{Segment, StackRange, Start};

use super::thread::thread_size;
use crate::arch::{arm64, x86_64};
use crate::cpu_registers::{self, CpuRegisters, CrashNotes};
use crate::layout::Resolver;
use crate::task::TaskLayout;
use crate::{LayoutError, PerCpu};

/// Attributes every set of registers in the dump to a CPU. `crash_notes` is the address of the kernel variable;
/// `current_pid` gives the process id of the task that ran on a CPU, `stacks` those that it may run kernel code on.
pub(crate) fn attribute<M: ReadVirtual + ?Sized>(
    dump: &Dump,
    memory: &M,
    percpu: &PerCpu,
    crash_notes: Option<VirtAddr>,
    current_pid: impl Fn(u32) -> Option<i32>,
    stacks: impl Fn(u32) -> Vec<StackRange>,
) -> BTreeMap<u32, CpuRegisters> {
    if dump.architecture() == Architecture::X86_64 {
        return cpu_registers::attribute(dump, memory, percpu, crash_notes, current_pid);
    }
    let saved = CrashNotes::read(Architecture::Arm64, memory, percpu, crash_notes);
    let mut found = BTreeMap::new();
    saved.repeated(dump.prstatus(), &mut found);
    arm64::attribute(dump.prstatus(), &percpu.cpus().collect::<Vec<_>>(), stacks, &mut found);
    saved.alone(&current_pid, &mut found);
    found
}

/// The bounds of stacks.
pub(crate) struct Stacks {
    thread_size: u64,
    of_cpu: CpuStacks,
}

enum CpuStacks {
    X86_64(x86_64::StackLayout),
    Arm64(arm64::StackLayout),
}

impl Stacks {
    pub(crate) fn resolve(
        architecture: Architecture,
        types: Resolver<'_>,
        symbols: &SymbolTable,
        page_size: u64,
    ) -> Self {
        let thread_size = thread_size(types, symbols, page_size);
        let of_cpu = match architecture {
            Architecture::X86_64 => CpuStacks::X86_64(x86_64::StackLayout::resolve(types, symbols, thread_size)),
            Architecture::Arm64 => CpuStacks::Arm64(arm64::StackLayout::resolve(symbols, thread_size)),
        };
        Self { thread_size, of_cpu }
    }

    /// A task's own stack, from `task_struct.stack`.
    pub(crate) fn task_stack(&self, stack: VirtAddr) -> Option<StackRange> {
        let high = stack.checked_add(self.thread_size)?;
        stack.is_kernel_half().then_some(StackRange { segment: Segment::Task, low: stack, high })
    }

    /// The other stacks of a CPU, as far as they can be found.
    pub(crate) fn cpu_stacks<M: ReadVirtual + ?Sized>(&self, memory: &M, percpu: &PerCpu, cpu: u32) -> Vec<StackRange> {
        match &self.of_cpu {
            CpuStacks::X86_64(layout) => layout.cpu_stacks(memory, percpu, cpu),
            CpuStacks::Arm64(layout) => layout.cpu_stacks(memory, percpu, cpu),
        }
    }
}

/// What a task saves when it is scheduled out.
pub(crate) enum TaskStart {
    X86_64(x86_64::SwitchFrame),
    Arm64(arm64::SwitchFrame),
}

impl TaskStart {
    pub(crate) fn resolve(
        architecture: Architecture,
        types: Resolver<'_>,
        symbols: &SymbolTable,
    ) -> Result<Self, LayoutError> {
        Ok(match architecture {
            Architecture::X86_64 => Self::X86_64(x86_64::SwitchFrame::resolve(types, symbols)?),
            Architecture::Arm64 => Self::Arm64(arm64::SwitchFrame::resolve(types, symbols)?),
        })
    }

    /// Reads what `task` saved.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        tasks: &TaskLayout,
        task: VirtAddr,
        kaslr_offset: u64,
    ) -> Result<Start, ReadError> {
        match self {
            Self::X86_64(layout) => layout.read(memory, tasks.saved_sp(memory, task)?, kaslr_offset),
            Self::Arm64(layout) => layout.read(memory, task, kaslr_offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_of_a_task() {
        let of_cpu = CpuStacks::Arm64(arm64::StackLayout::without_variables(16 << 10));
        let stacks = Stacks { thread_size: 16 << 10, of_cpu };
        let low = VirtAddr::new(0xffff_c900_0002_0000);
        let stack = stacks.task_stack(low).unwrap();
        assert_eq!((stack.low, stack.high), (low, low.wrapping_add(0x4000)));
        assert!(stacks.task_stack(VirtAddr::new(0x1000)).is_none());
        assert!(stacks.task_stack(VirtAddr::new(u64::MAX)).is_none());
    }
}
