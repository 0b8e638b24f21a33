//! What a judgement is made from.

use vmcore_kernel::{Cpu, Gap, Snapshot, Stack, Task};

use crate::{Evidence, KernelState};

/// Whether the scheduler takes the CPU away from a task in the middle of kernel code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelPreemption {
    /// Only where the code offers it (`preempt=none` or `voluntary`).
    No,
    /// At almost any instruction.
    Yes,
    /// It cannot be told.
    Unknown,
}

/// A line of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was logged, in nanoseconds since boot.
    pub timestamp_ns: u64,
    /// Its text: untrusted.
    pub text: String,
}

/// A machine's state as far as a judgement needs it. Plain data: a test builds it by hand.
pub struct Facts<'a> {
    /// `uname -r`. Only for what is known of this kernel: nothing else may depend on it.
    pub release: Option<String>,
    /// Tasks, CPUs and run queues.
    pub snapshot: &'a Snapshot,
    /// The stack of each CPU's current task, by CPU number.
    pub running: Vec<(u32, Stack)>,
    /// The stacks of tasks that wait for a CPU.
    pub waiting: Vec<Stack>,
    /// The stacks of tasks that sleep and cannot be woken by a signal.
    pub blocked: Vec<Stack>,
    /// Whether kernel code is preempted, and what shows it.
    pub preemption: (KernelPreemption, Evidence),
    /// The kernel log, oldest first.
    pub log: Vec<LogLine>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Of that, what nothing can be called healthy without: CPUs that may not be known, a log that cannot be read.
    pub blind_spots: Vec<String>,
    /// Locks, the panic, watchdogs.
    pub state: KernelState,
}

impl Facts<'_> {
    /// The task of a stack.
    #[must_use]
    pub fn task(&self, stack: &Stack) -> Option<&Task> {
        self.snapshot.tasks.get(stack.task)
    }

    /// The stack of the task that runs on a CPU.
    #[must_use]
    pub fn running_on(&self, cpu: u32) -> Option<&Stack> {
        self.running.iter().find(|(number, _)| *number == cpu).map(|(_, stack)| stack)
    }

    /// How long a CPU's current task has been running.
    #[must_use]
    pub fn running_ns(&self, cpu: &Cpu) -> Option<u64> {
        cpu.run_queue.as_ref()?.running_ns(self.snapshot.current(cpu)?)
    }

    /// How long a task has been waiting in its CPU's run queue.
    #[must_use]
    pub fn waiting_ns(&self, task: &Task) -> Option<u64> {
        self.snapshot.cpu(task.cpu)?.run_queue.as_ref()?.waiting_ns(task)
    }
}
