//! Tasks of a scenario: whether they run, and what they are in the middle of.

use serde::{Deserialize, Serialize};

use super::defaults::is_default;

/// A task.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its thread id.
    pub pid: i32,
    /// The thread id of its group's leader, if it is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tgid: Option<i32>,
    /// Its name.
    pub comm: String,
    /// Its process; none for a kernel thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Its CPU.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu: u32,
    /// Whether it has the CPU, waits for it, or sleeps.
    pub state: State,
    /// For how long, in seconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seconds: f64,
    /// How it is scheduled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    /// What it is in the middle of.
    pub doing: Doing,
    /// What interrupted it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub under: Under,
    /// How often it has faulted in its life; 50 000 times a second where it faults all the time, else 100 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<u64>,
    /// What is counted of it over its life, where that tells more than `seconds`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub life: Life,
    /// The CPUs that it may run on, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<u32>>,
}

/// What the kernel counts of a task, in seconds. What is left out follows from what the task does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Life {
    /// Of user code: `utime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<f64>,
    /// Of kernel code: `stime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<f64>,
    /// On a CPU in all: `se.sum_exec_runtime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran: Option<f64>,
    /// In run queues in all: `sched_info.run_delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<f64>,
    /// How long it has existed: `start_time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
}

/// Whether a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// On its CPU.
    Running,
    /// In its CPU's run queue, preempted or after `cond_resched`.
    Queued,
    /// Asleep, in state D.
    Blocked,
    /// The same, but a deadly signal ends it (`TASK_KILLABLE`).
    Killable,
    /// Asleep, in state S.
    Sleeping,
}

/// How a task is scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// `SCHED_NORMAL`.
    #[default]
    Fair,
    /// `SCHED_FIFO` with this priority, 1 to 99.
    Fifo(u8),
    /// `SCHED_DEADLINE`.
    Deadline,
}

/// What a task is in the middle of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// `fstat` into the user address, whose copy faults; in the fault handler.
    Fault {
        /// The faulting address.
        address: u64,
        /// The functions from the system call to the one that calls the copy, outermost first; those of `fstat` if
        /// left out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<String>,
    },
    /// The same, between two faults: at the instruction that faults.
    BetweenFaults {
        /// The faulting address.
        address: u64,
        /// The functions from the system call to the one that calls the copy, outermost first; those of `fstat` if
        /// left out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<String>,
    },
    /// A page fault that user code took.
    UserFault {
        /// The faulting address.
        address: u64,
    },
    /// `fstat` into the user address, asleep until its page is unlocked.
    WaitOnPage {
        /// The faulting address.
        address: u64,
    },
    /// An exception in kernel code, and what is done about it.
    Exception {
        /// The functions down to the one that it was in, outermost first, below the entry of a system call.
        calls: Vec<String>,
        /// Entry code and handlers, outermost first.
        handler: Vec<String>,
    },
    /// Splitting a huge page.
    Split {
        /// The page's name.
        page: String,
        /// How far it has come.
        at: SplitPoint,
        /// Whether a kernel thread does it to reclaim memory, instead of `madvise`.
        #[serde(default, skip_serializing_if = "is_default")]
        reclaim: bool,
    },
    /// User code.
    User,
    /// A wait for something that does not matter.
    Sleep,
    /// A loop in the kernel that has nothing to do with memory.
    Loop,
    /// A wait for a lock, in its slow path.
    Spin {
        /// The object that is the lock.
        lock: String,
        /// The slow path: that of spin locks where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slow_path: Option<String>,
        /// The thread id of the lock's owner, where the slow path is given that as well: of a task that stands before this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<i32>,
        /// The functions from the system call to the one that calls the slow path, outermost first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<String>,
    },
    /// These functions, outermost first, below the entry of a system call.
    Stack {
        /// Their names.
        calls: Vec<String>,
        /// The page whose `struct page` each of them has among its local variables.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<String>,
    },
}

/// How far a split has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitPoint {
    /// It has only begun.
    Start,
    /// It replaces the mappings by migration entries.
    Unmap,
    /// It puts them back.
    Remap,
    /// It gives the tail pages their own life.
    Tail,
    /// It splits only one mapping of the page.
    Pmd,
}

/// What interrupted a task that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Under {
    /// Nothing.
    #[default]
    Nothing,
    /// The tick, whose watchdog panics.
    Tick,
    /// The tick, and an NMI on top of it.
    TickAndNmi,
    /// An NMI.
    Nmi,
}
