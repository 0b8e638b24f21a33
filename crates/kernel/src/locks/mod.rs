//! Locks that tasks sleep on: which lock a task waits for, who has it, who else waits.
//!
//! A sleeping task does not say what it waits for, except on the newest kernels. But the waiter that it queued lies in a
//! frame of its own stack, names the task, and is linked into the lock's wait list; the head of that list lies in the
//! lock. A waiter counts only where all of this fits together, so what is found is proven and not guessed:
//!
//! ```text
//! stack of the task                      the lock
//!   mutex_waiter.list  <------------->     mutex.wait_list
//!   mutex_waiter.task = the task           mutex.owner = its owner | MUTEX_FLAG_WAITERS
//! ```
//!
//! Source: `kernel/locking/mutex.c`, `rwsem.c`, `semaphore.c`, `rtmutex.c`.

mod find;
mod mutex;
mod names;
mod page_wait;
mod queue;
mod rt_mutex;
mod rwlock;
mod rwsem;
mod semaphore;
mod spin;
#[cfg(test)]
mod tests;
mod work_wait;

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::{Kernel, Resolver, Snapshot, Source, Stack};

pub use page_wait::{PageWait, sleeps_for_page};
pub use rwlock::{RwLock, RwLockWord};
pub use spin::{SpinLockWord, SpinNode};
pub use work_wait::{AwaitedWork, WorkWait, sleeps_for_work};

use find::Finder;
use mutex::MutexLayout;
use queue::KnownTasks;
use rt_mutex::RtMutexLayout;
use rwsem::RwSemLayout;
use semaphore::SemaphoreLayout;

/// What kind of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKind {
    /// `struct mutex`.
    Mutex,
    /// `struct rw_semaphore`.
    RwSemaphore,
    /// `struct semaphore`.
    Semaphore,
    /// `struct rt_mutex_base` (`struct rt_mutex` before 5.15), which on `PREEMPT_RT` is also in each of the others.
    RtMutex,
}

impl LockKind {
    /// The name used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwSemaphore => "rw_semaphore",
            Self::Semaphore => "semaphore",
            Self::RtMutex => "rt_mutex",
        }
    }

    /// The types that its members belong to, newest first.
    #[must_use]
    pub const fn type_names(self) -> &'static [&'static str] {
        match self {
            Self::Mutex => &["mutex"],
            Self::RwSemaphore => &["rw_semaphore"],
            Self::Semaphore => &["semaphore"],
            // Split by kernel commit 830e6acc8a1c (5.15).
            Self::RtMutex => &["rt_mutex_base", "rt_mutex"],
        }
    }
}

/// How it is known which lock a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// By the waiter on its stack, in the frame of this function.
    OnStack {
        /// The function.
        function: String,
        /// The waiter's address.
        waiter: VirtAddr,
        /// Its member `task`, which holds the task's own address.
        names_task: Source,
    },
    /// By a member of `struct task_struct`, which leads to a lock with a waiter of this task in its queue.
    Member {
        /// The member.
        name: &'static str,
        /// Its value.
        value: u64,
    },
}

/// A task that sleeps until it is given a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// What kind of lock.
    pub kind: LockKind,
    /// The lock's address.
    pub lock: VirtAddr,
    /// Whether it would share the lock with others: a reader.
    pub shared: bool,
    /// How it was found.
    pub found: Found,
}

/// Who has a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A task, alone: the address of its `struct task_struct`.
    Task(VirtAddr),
    /// Readers. The kernel does not record which; it may record who came last, and then that task may have left again.
    Readers {
        /// How many, where the lock says so.
        count: Option<u64>,
        /// The reader that came last.
        last: Option<VirtAddr>,
    },
    /// Nobody: it is free, or about to be given to a waiter.
    Nobody,
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// A member of a lock as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWord {
    /// The member's path.
    pub member: &'static str,
    /// Its value.
    pub value: u64,
    /// The flags in it.
    pub flags: Vec<&'static str>,
}

/// A lock's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Its kind.
    pub kind: LockKind,
    /// Its address.
    pub address: VirtAddr,
    /// Who has it.
    pub owner: Owner,
    /// The members that say so.
    pub words: Vec<LockWord>,
    /// Its queue, first to be served first.
    pub waiters: Vec<Waiter>,
}

/// A place in a lock's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The address of the waiter structure.
    pub address: VirtAddr,
    /// The address of the `struct task_struct` of the task that waits.
    pub task: VirtAddr,
}

impl Lock {
    /// Whether this task is in its queue.
    #[must_use]
    pub fn has_waiter(&self, task: VirtAddr) -> bool {
        self.waiters.iter().any(|waiter| waiter.task == task)
    }

    /// Whether it was given to this task, which is still in its queue and only has to pick it up: a mutex since 4.10 (kernel
    /// commit e274795ea7b7).
    #[must_use]
    pub fn is_handed_to(&self, task: VirtAddr) -> bool {
        let picked_up = |word: &LockWord| word.flags.contains(&"MUTEX_FLAG_PICKUP");
        self.owner == Owner::Task(task) && self.words.iter().any(picked_up)
    }
}

/// The layouts of all kinds; those that this kernel does not have are `None`.
pub(crate) struct LockLayouts {
    mutex: Option<MutexLayout>,
    rwsem: Option<RwSemLayout>,
    semaphore: Option<SemaphoreLayout>,
    rt_mutex: Option<RtMutexLayout>,
}

impl LockLayouts {
    pub(crate) fn resolve(types: Resolver<'_>) -> Self {
        Self {
            mutex: MutexLayout::resolve(types),
            rwsem: RwSemLayout::resolve(types),
            semaphore: SemaphoreLayout::resolve(types),
            rt_mutex: RtMutexLayout::resolve(types),
        }
    }

    /// Reads the lock of this kind at `address`; `None` where it cannot be read or is none.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        tasks: &dyn KnownTasks,
        kind: LockKind,
        address: VirtAddr,
    ) -> Option<Lock> {
        match kind {
            LockKind::Mutex => self.mutex.as_ref()?.read(memory, tasks, address),
            LockKind::RwSemaphore => self.rwsem.as_ref()?.read(memory, tasks, address),
            LockKind::Semaphore => self.semaphore.as_ref()?.read(memory, tasks, address),
            LockKind::RtMutex => self.rt_mutex.as_ref()?.read(memory, tasks, address),
        }
    }
}

impl Kernel<'_> {
    /// What the tasks with these stacks sleep for, as far as it is a lock and can be proven, in the order of the stacks;
    /// and these locks, by address.
    #[must_use]
    pub fn lock_waits<'s>(
        &self,
        snapshot: &Snapshot,
        stacks: impl IntoIterator<Item = &'s Stack>,
    ) -> (Vec<LockWait>, Vec<Lock>) {
        let layouts = LockLayouts::resolve(Resolver::new(self.vmlinux().types()));
        let tasks = SnapshotTasks { kernel: self, snapshot };
        let finder = Finder::new(self.memory(), Resolver::new(self.vmlinux().types()), &layouts, &tasks);
        let waits: Vec<_> =
            stacks.into_iter().filter_map(|stack| finder.wait(snapshot.tasks.get(stack.task)?, stack)).collect();
        let mut keys: Vec<_> = waits.iter().map(|wait| (wait.lock, wait.kind)).collect();
        keys.sort_unstable();
        keys.dedup();
        let locks = keys.into_iter().filter_map(|(lock, kind)| layouts.read(self.memory(), &tasks, kind, lock));
        let locks = locks.collect();
        (waits, locks)
    }
}

struct SnapshotTasks<'k, 'a> {
    kernel: &'k Kernel<'a>,
    snapshot: &'k Snapshot,
}

impl KnownTasks for SnapshotTasks<'_, '_> {
    fn is_task(&self, address: VirtAddr) -> bool {
        self.snapshot.task_index(address).is_some()
    }

    fn on_stack_of(&self, task: VirtAddr, address: VirtAddr) -> bool {
        let stack = self.snapshot.task(task).and_then(|task| self.kernel.stack_layout.task_stack(task.stack));
        stack.is_some_and(|stack| stack.low <= address && address < stack.high)
    }
}
