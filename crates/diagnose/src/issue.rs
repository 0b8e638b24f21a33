//! The problems that this tool knows by name: one row each, and everything that is said of an issue comes from its row.
//!
//! The names are stable: other programs compare them. [`Issue::definition`] is exhaustive, so an issue without a row does
//! not compile; that each has its section in `docs/verdicts.md` is tested.

mod definitions;
#[cfg(test)]
mod tests;

use vmcore_console::PanicReason;

use crate::Severity;

/// A problem by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Issue {
    /// CPUs spin in page faults on an entry of a huge page whose splitter is runnable and never scheduled.
    ThpLivelock,
    /// Tasks wait for each other's locks in a circle.
    Deadlock,
    /// CPUs spin for a spin lock that is not given back.
    SpinlockHeld,
    /// A CPU does not run what another waits for it to run.
    UnansweredCall,
    /// A CPU takes no interrupts for longer than the watchdog allows.
    HardLockup,
    /// Tasks that could run get no CPU.
    Starvation,
    /// A CPU ran kernel code for longer than the watchdog allows.
    SoftLockup,
    /// Kernel code ran into an exception.
    Oops,
    /// An RCU grace period does not end.
    RcuStall,
    /// A lock is held by a task whose cgroup has no CPU time left.
    ThrottledOwner,
    /// A lock is held for longer than tasks may be kept waiting.
    LockHeld,
    /// A piece of work is not done while tasks wait for it.
    WorkNotDone,
    /// A page stays locked, or under writeback, while tasks wait for it.
    PageLocked,
    /// Tasks sleep uninterruptibly for longer than the kernel's limit.
    HungTask,
    /// No memory was left.
    OutOfMemory,
    /// Work is queued and no worker begins it.
    WorkqueueLockup,
    /// The hardware reports errors.
    HardwareError,
    /// A file system is damaged, was shut down or went read-only.
    FilesystemError,
    /// A block device or file server fails, or does not answer.
    IoError,
    /// A network device does not send.
    NetworkTimeout,
    /// A page allocation failed.
    AllocationFailure,
    /// The first process crashed or gave up.
    InitStopped,
    /// The kernel panicked for a reason of its own.
    Panic,
    /// The kernel found itself in a state that it did not expect, and went on.
    Warning,
    /// Somebody asked for the crash.
    CrashRequested,
}

/// What is said of an issue, whatever machine has it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its stable name.
    pub id: &'static str,
    /// How serious it is as long as it lasts. Of what is only [`Severity::Info`] no machine is called ill.
    pub severity: Severity,
    /// The reasons to panic that a machine which has it may give.
    pub explains: &'static [PanicReason],
    /// What it is, in one sentence.
    pub summary: &'static str,
    /// What to do first, and why; `None` where nothing has to be done, or where the known bug behind it says what.
    pub remedy: Option<(&'static str, &'static str)>,
}

impl Issue {
    /// All of them. The order is how much each says of why a machine stopped, from much to little: a circle of locks says more
    /// than one of them, a lock more than that somebody sleeps, who keeps a CPU more than that it is kept.
    pub const ALL: [Self; 25] = [
        Self::ThpLivelock,
        Self::Deadlock,
        Self::SpinlockHeld,
        Self::UnansweredCall,
        Self::HardLockup,
        Self::Starvation,
        Self::SoftLockup,
        Self::Oops,
        Self::RcuStall,
        Self::ThrottledOwner,
        Self::LockHeld,
        Self::WorkNotDone,
        Self::PageLocked,
        Self::HungTask,
        Self::OutOfMemory,
        Self::WorkqueueLockup,
        Self::HardwareError,
        Self::FilesystemError,
        Self::IoError,
        Self::NetworkTimeout,
        Self::AllocationFailure,
        Self::InitStopped,
        Self::Panic,
        Self::Warning,
        Self::CrashRequested,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.definition().id
    }

    /// How much it says of why a machine stopped: by its place in [`Issue::ALL`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::ALL.iter().rev().position(|issue| *issue == self).unwrap_or_default()
    }

    /// The issue of this name.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|issue| issue.id() == id)
    }

    /// Whether a machine with this issue may panic for this reason. A machine that did not panic, or that somebody or a
    /// watchdog outside the kernel gave up on, may have stopped for anything.
    #[must_use]
    pub fn explains(self, death: Option<PanicReason>) -> bool {
        death.is_none_or(|reason| reason.is_from_outside() || self.definition().explains.contains(&reason))
    }
}
