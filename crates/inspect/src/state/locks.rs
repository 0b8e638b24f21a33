//! Locks that somebody waits for, with who has them: sleeping locks, pages, works, and spin locks with their queues.
//!
//! A kernel without lockdep does not record which locks a task has: one that nobody waits for leaves no trace.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{AwaitedWork, Kernel, Lock, LockKind, Owner, Snapshot, Stack, sleeps_for_page, sleeps_for_work};
use vmcore_memory::VirtAddr;

use super::{Collector, Listing, Missing, SpunLock, SpunLocks, Who, state, symbol};
use crate::Hex;

/// What is waited for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Locks")]
pub struct Locks {
    /// Locks that tasks sleep for, by address.
    pub locks: Listing<HeldLock>,
    /// Pages that tasks sleep for.
    pub pages: Listing<WaitedPage>,
    /// Works that tasks sleep for.
    pub works: Listing<WaitedWork>,
    /// Locks that CPUs spin for, by address.
    pub spin_locks: Listing<SpunLock>,
    /// CPUs that spin for a lock in its queue.
    pub spinners: Listing<QueuedSpinner>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Locks, locks, pages, works, spin_locks, spinners);

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

/// Finds them, by the stacks of the tasks that sleep; `spun` are those that CPUs spin for.
#[must_use]
pub fn locks<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, stacks: &[Stack], spun: SpunLocks) -> Locks {
    let mut missing = Collector::default();
    let sleepers = Sleepers { snapshot, stacks };
    let locks = missing.list("locks", |missing| {
        let (waits, found) = kernel.lock_waits(snapshot, stacks);
        let known = waits.iter().map(|wait| wait.task).collect();
        sleepers.note_others("the lock", &|name| LockKind::of_sleeper(name).is_some(), &known, missing);
        Ok(found.iter().map(|lock| held(kernel, snapshot, lock)).collect())
    });
    let pages = missing.list("pages", |missing| {
        let waits = kernel.page_waits(snapshot, stacks);
        let known = waits.iter().map(|wait| wait.task).collect();
        sleepers.note_others("the page", &sleeps_for_page, &known, missing);
        let page = |wait: &vmcore_kernel::PageWait| {
            let bit = wait.flag.map_or_else(|| format!("bit {}", wait.bit), str::to_owned);
            Some(WaitedPage { waiter: Who::at(snapshot, wait.task)?, page: wait.page.into(), bit })
        };
        Ok(waits.iter().filter_map(page).collect())
    });
    let works = missing.list("works", |missing| {
        let waits = kernel.work_waits(snapshot, stacks);
        let known = waits.iter().map(|wait| wait.task).collect();
        sleepers.note_others("the work", &sleeps_for_work, &known, missing);
        let mut works = Vec::new();
        for wait in waits {
            if let AwaitedWork::Unknown(why) = &wait.work {
                missing.note("a work that is waited for", why);
            }
            works.extend(waited_work(snapshot, wait.task, &wait.work));
        }
        Ok(works)
    });
    let spin_locks = missing.list("spin locks", |missing| {
        missing.note_gaps(&snapshot.gaps);
        spun.unknown.into_iter().for_each(|unknown| missing.note(unknown.what, unknown.why));
        Ok(spun.locks)
    });
    let spinners = missing.list("queues of spin locks", |missing| {
        let mut spinners = Vec::new();
        for cpu in kernel.percpu().cpus() {
            let nodes = missing.take_read(kernel.spin_nodes(cpu)).unwrap_or_default();
            let node =
                |node: vmcore_kernel::SpinNode| QueuedSpinner { cpu, node: node.address.into(), first: node.first };
            spinners.extend(nodes.into_iter().map(node));
        }
        Ok(spinners)
    });
    Locks { locks, pages, works, spin_locks, spinners, gaps: missing.into_gaps() }
}

fn waited_work(snapshot: &Snapshot, task: VirtAddr, work: &AwaitedWork) -> Option<WaitedWork> {
    let worker = match work {
        AwaitedWork::Doing { worker, .. } => Who::at(snapshot, *worker),
        AwaitedWork::Queued { .. } | AwaitedWork::Unknown(_) => None,
    };
    let function = work.function().map(str::to_owned);
    Some(WaitedWork { waiter: Who::at(snapshot, task)?, work: work.address().map(Hex::from), function, worker })
}

/// Tasks that sleep, and where in the code.
struct Sleepers<'a> {
    snapshot: &'a Snapshot,
    stacks: &'a [Stack],
}

impl Sleepers<'_> {
    /// Notes the tasks that sleep in such a function and are not among the `known`, of which it was found what they sleep for; and
    /// those of whom it is not known where they sleep.
    fn note_others(
        &self,
        what: &str,
        sleeps: &dyn Fn(&str) -> bool,
        known: &HashSet<VirtAddr>,
        missing: &mut Collector,
    ) {
        missing.note_gaps(&self.snapshot.gaps);
        for stack in self.stacks {
            let Some(task) = self.snapshot.tasks.get(stack.task) else { continue };
            if stack.error.is_some() || stack.frames.is_empty() {
                let why = stack.error.as_deref().unwrap_or("it cannot be unwound");
                missing.note(format!("the stack of pid {}", task.pid), why);
            }
            let function = stack.frames.iter().filter_map(|frame| frame.function()).find(|name| sleeps(name));
            if let Some(function) = function.filter(|_| !known.contains(&task.address)) {
                let why = format!("it sleeps in {function}, and no queue that has it can be read");
                missing.note(format!("{what} that pid {} waits for", task.pid), why);
            }
        }
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
