//! What waits and what is waited for.

use std::fmt;

use vmcore_kernel::Task;
use vmcore_memory::VirtAddr;

/// A kind of lock that has an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKind {
    /// `struct mutex`.
    Mutex,
    /// `struct rw_semaphore`, of which `mmap_lock` is one.
    RwSemaphore,
    /// `struct rt_mutex_base`.
    RtMutex,
    /// `struct semaphore`: it has no owner that could be read.
    Semaphore,
    /// `spinlock_t`, `raw_spinlock_t`.
    Spinlock,
    /// `rwlock_t`.
    RwLock,
}

impl LockKind {
    /// The name used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwSemaphore => "rwsem",
            Self::RtMutex => "rt_mutex",
            Self::Semaphore => "semaphore",
            Self::Spinlock => "spinlock",
            Self::RwLock => "rwlock",
        }
    }
}

/// A node of the graph. Two with the same fields are the same node, whichever detector named them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A task.
    Task {
        /// The address of its `struct task_struct`.
        address: VirtAddr,
        /// Its thread id.
        pid: i32,
        /// Its name: untrusted.
        comm: String,
    },
    /// A user address whose page-table entry makes whoever touches it wait: a migration entry.
    UserAddress {
        /// The `struct mm_struct`.
        mm: VirtAddr,
        /// The address, at the start of its page.
        address: VirtAddr,
    },
    /// A page, or all of a compound page.
    Page {
        /// The address of its `struct page`; of a compound page the head's.
        address: VirtAddr,
    },
    /// A lock.
    Lock {
        /// What it is.
        kind: LockKind,
        /// Its address.
        address: VirtAddr,
    },
    /// The run queue of a CPU: tasks there want the CPU.
    RunQueue {
        /// The CPU's number.
        cpu: u32,
    },
    /// A CPU, where something waits for the CPU itself to act: to answer an interrupt, to pass a quiescent state.
    Cpu {
        /// Its number.
        cpu: u32,
    },
    /// An RCU grace period that has not ended.
    GracePeriod {
        /// The flavour, such as `rcu_sched` or `rcu_preempt`.
        flavor: String,
    },
    /// A queued `struct work_struct`.
    Work {
        /// Its address.
        address: VirtAddr,
    },
    /// Somebody or something that has to be there and could not be told.
    Unknown {
        /// What is unknown, such as `owner of mutex 0xffff…`.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Node {
    /// What [`Node::kind`] can be.
    pub const KINDS: [&'static str; 9] =
        ["task", "user_address", "page", "lock", "run_queue", "cpu", "grace_period", "work", "unknown"];

    /// The name that its kind has in output. Stable: other programs compare it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Task { .. } => "task",
            Self::UserAddress { .. } => "user_address",
            Self::Page { .. } => "page",
            Self::Lock { .. } => "lock",
            Self::RunQueue { .. } => "run_queue",
            Self::Cpu { .. } => "cpu",
            Self::GracePeriod { .. } => "grace_period",
            Self::Work { .. } => "work",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The node of a task.
    #[must_use]
    pub fn task(task: &Task) -> Self {
        Self::Task { address: task.address, pid: task.pid, comm: task.comm.clone() }
    }

    /// The node of what could not be told.
    #[must_use]
    pub fn unknown(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unknown { what: what.into(), reason: reason.into() }
    }

    /// Whether this is [`Node::Unknown`].
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// The name used in output: one node has one name, and two nodes have two.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task { pid, comm, .. } => write!(f, "task {pid} \"{comm}\""),
            Self::UserAddress { mm, address } => write!(f, "user address {address} of mm {mm}"),
            Self::Page { address } => write!(f, "page {address}"),
            Self::Lock { kind, address } => write!(f, "{} {address}", kind.name()),
            Self::RunQueue { cpu } => write!(f, "run queue of CPU {cpu}"),
            Self::Cpu { cpu } => write!(f, "CPU {cpu}"),
            Self::GracePeriod { flavor } => write!(f, "grace period of {flavor}"),
            Self::Work { address } => write!(f, "work {address}"),
            Self::Unknown { what, reason } => write!(f, "unknown {what}: {reason}"),
        }
    }
}
