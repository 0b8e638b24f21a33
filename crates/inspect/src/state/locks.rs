//! Locks that somebody waits for, with who has them: sleeping locks, pages, works, and spin locks with their queues.
//!
//! A kernel without lockdep does not record which locks a task has: one that nobody waits for leaves no trace.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{AwaitedWork, Kernel, Lock, Owner, Snapshot, Stack};

use super::{Missing, Who, state, symbol};
use crate::Hex;

/// What is waited for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Locks")]
pub struct Locks {
    /// Locks that tasks sleep for, by address.
    pub locks: Vec<HeldLock>,
    /// Pages that tasks sleep for.
    pub pages: Vec<WaitedPage>,
    /// Works that tasks sleep for.
    pub works: Vec<WaitedWork>,
    /// CPUs that spin for a lock in its queue.
    pub spinners: Vec<QueuedSpinner>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Locks, locks, pages, works, spinners);

/// A lock that a task sleeps for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "HeldLock")]
pub struct HeldLock {
    /// Its kind, such as `mutex`.
    pub kind: &'static str,
    /// Its address.
    pub lock: Hex,
    /// The variable that it is, where it is one.
    pub symbol: Option<String>,
    /// The task that has it alone.
    pub owner: Option<Who>,
    /// Who has it, in words: a task, readers, nobody, or why it is not known.
    pub held_by: String,
    /// Who waits, first to be served first.
    pub waiters: Vec<Who>,
}

/// A page that a task sleeps for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WaitedPage")]
pub struct WaitedPage {
    /// The task.
    pub waiter: Who,
    /// The address of the `struct page`.
    pub page: Hex,
    /// What it waits for: the bit of `page.flags`.
    pub bit: String,
}

/// A work that a task sleeps for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WaitedWork")]
pub struct WaitedWork {
    /// The task.
    pub waiter: Who,
    /// The address of the `struct work_struct`.
    pub work: Option<Hex>,
    /// The work's function.
    pub function: Option<String>,
    /// The worker that does it; null while none has begun.
    pub worker: Option<Who>,
}

/// A CPU in the queue of a spin lock.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "QueuedSpinner")]
pub struct QueuedSpinner {
    /// The CPU.
    pub cpu: u32,
    /// The address of its `struct mcs_spinlock`.
    pub node: Hex,
    /// Whether it is the first, which spins on the lock itself.
    pub first: bool,
}

/// Finds them, by the stacks of the tasks that sleep.
#[must_use]
pub fn locks(kernel: &Kernel<'_>, snapshot: &Snapshot, stacks: &[Stack]) -> Locks {
    let (_, found) = kernel.lock_waits(snapshot, stacks);
    let name = |address| Who::at(snapshot, address);
    let pages = kernel.page_waits(snapshot, stacks).into_iter().filter_map(|wait| {
        Some(WaitedPage {
            waiter: name(wait.task)?,
            page: wait.page.into(),
            bit: wait.flag.map_or_else(|| format!("bit {}", wait.bit), str::to_owned),
        })
    });
    let works = kernel.work_waits(snapshot, stacks).into_iter().filter_map(|wait| {
        let worker = match &wait.work {
            AwaitedWork::Doing { worker, .. } => name(*worker),
            AwaitedWork::Queued { .. } | AwaitedWork::Unknown(_) => None,
        };
        let function = wait.work.function().map(str::to_owned);
        Some(WaitedWork { waiter: name(wait.task)?, work: wait.work.address().map(Hex::from), function, worker })
    });
    let nodes = kernel.percpu().cpus().flat_map(|cpu| kernel.spin_nodes(cpu).into_iter().map(move |node| (cpu, node)));
    let spinners = nodes.map(|(cpu, node)| QueuedSpinner { cpu, node: node.address.into(), first: node.first });
    let unwound = stacks.iter().filter(|stack| stack.frames.is_empty());
    let gap = |stack: &Stack| {
        let pid = snapshot.tasks.get(stack.task)?.pid;
        let why = stack.error.clone().unwrap_or_else(|| "it cannot be unwound".to_owned());
        Some(Missing { what: format!("what pid {pid} waits for"), why })
    };
    Locks {
        locks: found.iter().map(|lock| held(kernel, snapshot, lock)).collect(),
        pages: pages.collect(),
        works: works.collect(),
        spinners: spinners.collect(),
        gaps: unwound.filter_map(gap).collect(),
    }
}

fn held(kernel: &Kernel<'_>, snapshot: &Snapshot, lock: &Lock) -> HeldLock {
    let owner = match &lock.owner {
        Owner::Task(task) => Who::at(snapshot, *task),
        Owner::Readers { .. } | Owner::Nobody | Owner::Unknown(_) => None,
    };
    let held_by = match &lock.owner {
        Owner::Task(task) => owner.as_ref().map_or_else(
            || format!("the task at {task}, which is in no list of tasks"),
            |who| format!("pid {} \"{}\"", who.pid, who.comm),
        ),
        Owner::Readers { count, last } => {
            let count = count.map_or_else(|| "readers".to_owned(), |count| format!("{count} readers"));
            let last = last.and_then(|task| Who::at(snapshot, task));
            let last = last.map(|who| format!(", the last of which was pid {} \"{}\"", who.pid, who.comm));
            format!("{count}{}", last.unwrap_or_default())
        }
        Owner::Nobody => "nobody".to_owned(),
        Owner::Unknown(why) => format!("unknown: {why}"),
    };
    HeldLock {
        kind: lock.kind.name(),
        lock: lock.address.into(),
        symbol: symbol(kernel, lock.address),
        owner,
        held_by,
        waiters: lock.waiters.iter().filter_map(|waiter| Who::at(snapshot, waiter.task)).collect(),
    }
}
