//! Works: which wait, which are being done and by whom, and which pools make no progress.
//!
//! ```text
//! worker_pool_idr       struct worker_pool: worklist (works that wait), workers, watchdog_ts (last progress)
//! worker                current_work, current_func, task
//! workqueues            struct workqueue_struct: pwqs, each with works that max_active holds back
//! ```
//!
//! Source: `kernel/workqueue.c`, `kernel/workqueue_internal.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::VirtAddr;

use super::clock::Clock;
use super::{Collector, Missing, Who, state, symbol};
use crate::object::Object;
use crate::{Hex, InspectError, TreeKind, tree};

/// Pools of a machine.
const MAX_POOLS: usize = 1 << 13;
/// `wq_watchdog_thresh`: the kernel's own watchdog complains of a pool that made no progress for so long.
const STUCK_NS: i64 = 30_000_000_000;

/// All workqueues.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Workqueues")]
pub struct Workqueues {
    /// Pools of workers.
    pub pools: Vec<Pool>,
    /// Queues that hold works back.
    pub queues: Vec<Queue>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Workqueues, pools, queues);

/// A pool of workers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pool")]
pub struct Pool {
    /// Its number.
    pub id: i64,
    /// The address of its `struct worker_pool`.
    pub pool: Hex,
    /// The CPU whose it is; null for an unbound one.
    pub cpu: Option<u32>,
    /// The priority of its workers: a nice level.
    pub nice: Option<i64>,
    /// How many workers it has.
    pub workers_total: Option<u64>,
    /// How many of them are idle.
    pub workers_idle: Option<u64>,
    /// Since when it has not begun a work. It need not: there may be none.
    pub without_progress_ns: Option<i64>,
    /// Whether works wait although it has not begun one for 30 s, after which the kernel complains.
    pub stuck: bool,
    /// Workers that are doing something.
    pub busy: Vec<Worker>,
    /// Works that no worker has begun with, next one first.
    pub waiting: Vec<Work>,
}

/// A worker.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
pub struct Worker {
    /// The address of its `struct worker`.
    pub worker: Hex,
    /// Its task.
    pub task: Option<Who>,
    /// What it does.
    pub work: Work,
    /// Works that it alone can do next: barriers of those who flush the one that it does.
    pub scheduled: Vec<Work>,
}

/// A work.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Work")]
pub struct Work {
    /// The address of its `struct work_struct`.
    pub work: Hex,
    /// Its function.
    pub function: Option<String>,
    /// The workqueue that it was queued on.
    pub workqueue: Option<String>,
}

/// A workqueue in one pool.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The address of its `struct workqueue_struct`.
    pub workqueue: Hex,
    /// The pool's number.
    pub pool: Option<i64>,
    /// How many of its works are in the pool, waiting or being done.
    pub active: Option<u64>,
    /// How many may be.
    pub max_active: Option<u64>,
    /// Works that may not even wait in the pool.
    pub held_back: Vec<Work>,
}

/// Reads them.
#[must_use]
pub fn workqueues<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> Workqueues {
    let clock = Clock::read(kernel);
    let mut missing = Collector::default();
    let pools = missing.take("pools of workers", pool_addresses(kernel, &mut Collector::default()));
    let mut found = Vec::new();
    for at in pools.unwrap_or_default() {
        let pool = pool(kernel, snapshot, at, &clock, &mut missing);
        found.extend(missing.take(format!("the worker_pool at {at}"), pool));
    }
    let held = queues(kernel, &mut missing);
    let queues = missing.take("workqueues", held).unwrap_or_default();
    Workqueues { pools: found, queues, gaps: missing.0 }
}

fn pool_addresses(kernel: &Kernel<'_>, missing: &mut Collector) -> Result<Vec<VirtAddr>, InspectError> {
    let name = "worker_pool_idr";
    let root = kernel.symbol(name).ok_or_else(|| InspectError::NoSymbol(name.to_owned()))?;
    // The tree is the first member of `struct idr`.
    let linked = tree(kernel, TreeKind::XArray, root, 0, MAX_POOLS)?;
    missing.note_some("pools of workers", linked.problem);
    Ok(linked.objects.into_iter().map(|(pool, _)| pool).collect())
}

fn pool<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    at: VirtAddr,
    clock: &Clock,
    missing: &mut Collector,
) -> Result<Pool, InspectError> {
    let pool = Object::new(kernel, "struct worker_pool", at)?;
    let works = |head: Object<'k>, missing: &mut Collector| {
        let (works, gap) = head.list("struct work_struct", "entry")?;
        missing.note_some(&format!("works at {}", head.address()), gap);
        works.into_iter().map(work).collect::<Result<Vec<_>, _>>()
    };
    let mut busy = Vec::new();
    let (workers, gap) = pool.at("workers")?.list("struct worker", "node")?;
    missing.note_some(&format!("workers of the pool at {at}"), gap);
    for worker in workers {
        let Some(current) = worker.pointer_at("current_work")? else { continue };
        let scheduled = worker.at("scheduled").and_then(|head| works(head, missing));
        busy.push(Worker {
            worker: worker.address().into(),
            task: worker.pointer_at("task")?.and_then(|task| Who::at(snapshot, task)),
            work: Work {
                work: current.into(),
                function: symbol(kernel, worker.at("current_func")?.pointer()?),
                workqueue: worker.text_at("current_pwq.wq.name").ok(),
            },
            scheduled: missing.take("works of a worker", scheduled).unwrap_or_default(),
        });
    }
    let waiting = pool.at("worklist").and_then(|head| works(head, missing));
    let waiting = missing.take(format!("works that wait in the pool at {at}"), waiting).unwrap_or_default();
    // Renamed on the newest kernels.
    let progress = pool.first(&["last_progress_ts", "watchdog_ts"]).and_then(Object::number);
    let without_progress_ns = progress.ok().and_then(|jiffies| clock.since_jiffies(jiffies));
    Ok(Pool {
        id: pool.at("id")?.value()?,
        pool: at.into(),
        cpu: u32::try_from(pool.at("cpu")?.value()?).ok(),
        nice: pool.at("attrs.nice").and_then(Object::value).ok(),
        workers_total: pool.number_at("nr_workers").ok(),
        workers_idle: pool.number_at("nr_idle").ok(),
        without_progress_ns,
        stuck: !waiting.is_empty() && without_progress_ns.is_some_and(|ns| ns > STUCK_NS),
        busy,
        waiting,
    })
}

fn work(work: Object<'_>) -> Result<Work, InspectError> {
    let function = work.at("func")?.pointer()?;
    // `WORK_STRUCT_PWQ`: the low bits are flags, and one of them says that the rest is the pool_workqueue.
    let data = work.number_at("data")?;
    let queue = VirtAddr::new(data & !0xff);
    let named = (data & 4 != 0).then(|| {
        let pwq = Object::new(work.kernel(), "struct pool_workqueue", queue)?;
        pwq.text_at("wq.name")
    });
    Ok(Work {
        work: work.address().into(),
        function: symbol(work.kernel(), function),
        workqueue: named.and_then(Result::ok),
    })
}

fn queues<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<Queue>, InspectError> {
    let (all, gap) =
        Object::variable(kernel, "workqueues", "struct list_head")?.list("struct workqueue_struct", "list")?;
    missing.note_some("workqueues", gap);
    let mut queues = Vec::new();
    for queue in all {
        let pwqs = queue.at("pwqs").and_then(|head| head.list("struct pool_workqueue", "pwqs_node"));
        let what = format!("the workqueue at {}", queue.address());
        let Some((pwqs, gap)) = missing.take(&what, pwqs) else { continue };
        missing.note_some(&what, gap);
        for pwq in pwqs {
            let held = held_back(queue, pwq);
            queues.extend(missing.take(&what, held).flatten());
        }
    }
    Ok(queues)
}

/// `inactive_works` was `delayed_works` before 5.15 (kernel commit f97a4a1a3f87).
fn held_back(queue: Object<'_>, pwq: Object<'_>) -> Result<Option<Queue>, InspectError> {
    let (works, _) = pwq.first(&["inactive_works", "delayed_works"])?.list("struct work_struct", "entry")?;
    if works.is_empty() {
        return Ok(None);
    }
    Ok(Some(Queue {
        name: queue.text_at("name")?,
        workqueue: queue.address().into(),
        pool: pwq.at("pool.id").and_then(Object::value).ok(),
        active: pwq.number_at("nr_active").ok(),
        // Of the whole queue since 6.9.
        max_active: pwq.number_at("max_active").or_else(|_| queue.number_at("max_active")).ok(),
        held_back: works.into_iter().map(work).collect::<Result<_, _>>()?,
    }))
}
