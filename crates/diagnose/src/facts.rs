//! What a judgement is made from.

pub(crate) mod derived;

use vmcore_console::{Caller, Kind, Log, Occurrence, PanicReason, Record};
use vmcore_kernel::{Cpu, Gap, RunQueue, Snapshot, Stack, Task};
use vmcore_memory::VirtAddr;

use crate::{Evidence, KernelState};
pub use derived::Derived;

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

/// [`KernelPreemption`], and what shows it.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// Whether kernel code is preempted.
    pub of_kernel_code: KernelPreemption,
    /// The kernel's setting, or the code that tells how it was built.
    pub evidence: Evidence,
}

impl Preemption {
    /// What `evidence` shows.
    #[must_use]
    pub const fn new(of_kernel_code: KernelPreemption, evidence: Evidence) -> Self {
        Self { of_kernel_code, evidence }
    }
}

/// A line of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was logged, in nanoseconds since boot.
    pub timestamp_ns: u64,
    /// Who logged it, where the kernel keeps that.
    pub caller: Option<Caller>,
    /// Its text: untrusted.
    pub text: String,
}

/// Reads the lines of one boot as a log: what the kernel reports in them is read once, here, and nowhere else by its words.
#[must_use]
pub fn read_log(lines: &[LogLine]) -> Log {
    Log::of_records(lines.iter().map(|line| Record {
        timestamp_ns: Some(line.timestamp_ns),
        caller: line.caller,
        text: &line.text,
    }))
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
    /// Whether kernel code is preempted.
    pub preemption: Preemption,
    /// The kernel log, oldest first.
    pub log: Vec<LogLine>,
    /// What the kernel reported in it, by line: see [`read_log`].
    pub reports: Log,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Of that, what nothing can be called healthy without: CPUs and tasks that may not be known, a log that cannot be read.
    pub blind_spots: Vec<String>,
    /// Why the dump is not whole, if it is not: all that is looked for may have been there nevertheless.
    pub incomplete: Option<String>,
    /// Locks, the panic, watchdogs.
    pub state: KernelState,
    /// What follows from all this, worked out when it is first asked for.
    pub derived: Derived,
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
        derived::running_on(self, cpu)
    }

    /// The reports of a kind, in the order of the log.
    pub(crate) fn reports_of(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Occurrence> {
        self.reports.events.iter().filter(move |known| known.event.kind == kind)
    }

    /// The line that reports something.
    #[must_use]
    pub fn line(&self, occurrence: &Occurrence) -> Option<&LogLine> {
        self.log.get(usize::try_from(occurrence.line).ok()?)
    }

    /// Why the kernel stopped itself; `None` where it did not, and the dump was taken from outside.
    #[must_use]
    pub fn death(&self) -> Option<PanicReason> {
        derived::death(self)
    }

    /// When the kernel panicked, in nanoseconds since boot.
    #[must_use]
    pub fn panicked_ns(&self) -> Option<u64> {
        derived::panicked_ns(self)
    }

    /// How long a CPU's clock went on after the panic: what a machine does that waits to be restarted says nothing of how
    /// it came to that.
    fn aftermath_ns(&self, clock_ns: u64) -> u64 {
        /// Printing a report takes its time.
        const REPORT_NS: u64 = 5_000_000_000;
        let after = self.panicked_ns().and_then(|panicked| clock_ns.checked_sub(panicked));
        after.filter(|&after| after > REPORT_NS).unwrap_or_default()
    }

    /// A CPU's run queue, if its clock can be right.
    fn queue_with_time<'c>(&self, cpu: &'c Cpu) -> Option<&'c RunQueue> {
        cpu.run_queue.as_ref().filter(|_| !derived::cannot_be_right(self, cpu))
    }

    /// How long a CPU's current task had been running; `None` where nothing tells, or its clock cannot be right.
    #[must_use]
    pub fn running_ns(&self, cpu: &Cpu) -> Option<u64> {
        let queue = self.queue_with_time(cpu)?;
        let running = queue.running_ns(self.snapshot.current(cpu)?)?;
        Some(running.saturating_sub(self.aftermath_ns(queue.clock_ns)))
    }

    /// How long a task had been waiting in its CPU's run queue.
    #[must_use]
    pub fn waiting_ns(&self, task: &Task) -> Option<u64> {
        self.waiting_on_ns(self.snapshot.cpu(task.cpu)?, task)
    }

    /// The same by the clock of the CPU whose queue has it.
    pub(crate) fn waiting_on_ns(&self, cpu: &Cpu, task: &Task) -> Option<u64> {
        let queue = self.queue_with_time(cpu)?;
        Some(queue.waiting_ns(task)?.saturating_sub(self.aftermath_ns(queue.clock_ns)))
    }

    /// The stack of a task, if it is one of those that were looked at.
    #[must_use]
    pub fn stack_of(&self, task: VirtAddr) -> Option<&Stack> {
        derived::stack(self, self.snapshot.task_index(task)?)
    }
}
