//! What each CPU runs: its run queue and its registers; and what the walk of a stack begins with.

use std::collections::BTreeMap;

use vmcore_memory::{ReadError, VirtAddr};
use vmcore_unwind::Start;

use super::Kernel;
use crate::Gap;
use crate::cpu_registers::CpuRegisters;
use crate::list::Places;
use crate::runqueue::{NodesLeft, RunQueue, RunQueueReader};
use crate::task::Task;

impl Kernel<'_> {
    /// The `struct rq` of a CPU.
    #[must_use]
    pub fn run_queue_address(&self, cpu: u32) -> Option<VirtAddr> {
        self.percpu_symbol("runqueues", cpu)
    }

    /// Every CPU's run queue; `tasks` are all known tasks.
    #[must_use]
    pub fn run_queues(&self, tasks: &[Task], gaps: &mut Vec<Gap>) -> Vec<RunQueue> {
        let by_address: Places = tasks.iter().enumerate().map(|(index, task)| (task.address, index)).collect();
        let reader = RunQueueReader {
            memory: &self.memory,
            layout: &self.run_queue_layout,
            task_layout: &self.task_layout,
            tasks: &by_address,
            nodes: NodesLeft::default(),
        };
        let mut queues = Vec::new();
        for cpu in self.percpu.cpus() {
            let Some(address) = self.run_queue_address(cpu) else { continue };
            match reader.read(cpu, address, gaps) {
                Ok(queue) => queues.push(queue),
                Err(error) => gaps.push(Gap::new(format!("run queue of CPU {cpu}"), error)),
            }
        }
        queues
    }

    pub(crate) fn idle_task(&self, cpu: u32) -> Result<VirtAddr, ReadError> {
        let queue = self.run_queue_address(cpu).ok_or(ReadError::NonCanonical { address: VirtAddr::default() })?;
        self.run_queue_layout.idle(&self.memory, queue)
    }

    /// The registers of each CPU that the dump has some for; `current` gives the task that ran there.
    #[must_use]
    pub fn cpu_registers<'t>(&self, current: impl Fn(u32) -> Option<&'t Task>) -> BTreeMap<u32, CpuRegisters> {
        let crash_notes = self.symbol("crash_notes");
        let stacks = |cpu: u32| {
            let task = current(cpu).and_then(|task| self.stack_layout.task_stack(task.stack));
            task.into_iter().chain(self.stack_layout.cpu_stacks(&self.memory, &self.percpu, cpu)).collect()
        };
        let current_pid = |cpu: u32| current(cpu).map(|task| task.pid);
        crate::stacks::attribute(self.dump, &self.memory, &self.percpu, crash_notes, current_pid, stacks)
    }

    /// Where the walk of a task's stack begins that is not running.
    pub(crate) fn task_start(&self, task: VirtAddr) -> Result<Start, ReadError> {
        self.start_layout.read(&self.memory, &self.task_layout, task, self.kaslr_offset)
    }

    /// The bits of a code address that may hold an authentication code.
    pub(crate) const fn pac_mask(&self) -> u64 {
        self.pac_mask
    }

    /// Where in a `struct pt_regs` the frame record is that entry code makes; on arm64 alone.
    pub(crate) fn frame_record_offset(&self) -> Option<u64> {
        self.frame_record.map(|field| field.offset)
    }
}
