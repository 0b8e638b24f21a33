//! Tasks that sleep until a piece of work is done, and what has become of the work.
//!
//! Who flushes a work queues a barrier behind it: [`barrier`] reads from there who has the work.
//!
//! Source: `kernel/workqueue.c`.

mod barrier;

use vmcore_memory::VirtAddr;

use self::barrier::{Finder, Layout};
use crate::layout::{Resolver, Source};
use crate::{Kernel, Snapshot, Stack};

/// A task that sleeps until a piece of work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkWait {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// `wq_barrier.task` on its stack, which holds the task's own address.
    pub names_task: Source,
    /// The function in whose frame that is.
    pub function: String,
    /// The work.
    pub work: AwaitedWork,
}

/// What has become of a work that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwaitedWork {
    /// A worker has begun with it.
    Doing {
        /// The address of the `struct work_struct`.
        work: VirtAddr,
        /// Its function.
        function: Option<String>,
        /// The `struct task_struct` of the worker.
        worker: VirtAddr,
        /// `worker.current_work`, which holds the work's address.
        current_work_at: Source,
    },
    /// No worker has begun with it.
    Queued {
        /// The address of the `struct work_struct`.
        work: VirtAddr,
        /// Its function.
        function: Option<String>,
    },
    /// It cannot be told, for this reason.
    Unknown(String),
}

impl AwaitedWork {
    /// The work's address, where it is known.
    #[must_use]
    pub const fn address(&self) -> Option<VirtAddr> {
        match self {
            Self::Doing { work, .. } | Self::Queued { work, .. } => Some(*work),
            Self::Unknown(_) => None,
        }
    }

    /// The `struct task_struct` of the worker that has begun with it.
    #[must_use]
    pub const fn worker(&self) -> Option<VirtAddr> {
        match self {
            Self::Doing { worker, .. } => Some(*worker),
            Self::Queued { .. } | Self::Unknown(_) => None,
        }
    }

    /// The name of the work's function, where it is known.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::Doing { function, .. } | Self::Queued { function, .. } => function.as_deref(),
            Self::Unknown(_) => None,
        }
    }
}

impl Kernel<'_> {
    /// Which of the tasks with these stacks sleep until a work is done, and what has become of it.
    #[must_use]
    pub fn work_waits(&self, snapshot: &Snapshot, stacks: &[Stack]) -> Vec<WorkWait> {
        let layout = Layout::resolve(Resolver::new(self.vmlinux().types()));
        let Some(layout) = layout else { return Vec::new() };
        let is_barrier = |func| self.is_function(func, "wq_barrier_func");
        let flushing: Vec<_> = stacks.iter().filter(|stack| flushes(stack)).collect();
        if flushing.is_empty() {
            return Vec::new();
        }
        let name = |code| self.name_code(code, code).filter(|symbol| symbol.offset == 0).map(|symbol| symbol.name);
        let mut finder = Finder::new(self.memory(), &layout, &is_barrier, &snapshot.tasks);
        let waits = flushing.into_iter().filter_map(|stack| finder.wait(snapshot.tasks.get(stack.task)?, stack, &name));
        waits.collect()
    }
}

/// Whether the task of this stack sleeps in the function that waits for a barrier.
fn flushes(stack: &Stack) -> bool {
    stack.frames.iter().any(|frame| frame.function().is_some_and(sleeps_for_work))
}

/// Whether a function sleeps until a work item is done: it has the barrier among its variables (`__flush_work` since 4.19, kernel
/// commit d6e89786bed9).
#[must_use]
pub fn sleeps_for_work(function: &str) -> bool {
    function.starts_with("__flush_work") || function.starts_with("flush_work")
}
