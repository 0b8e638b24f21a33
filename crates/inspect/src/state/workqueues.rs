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
use super::workqueue_watchdog::Watchdog;
use super::{Collector, Listing, Missing, Who, state};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError, TreeKind, tree};

/// Pools of a machine.
const MAX_POOLS: usize = 1 << 13;

/// All workqueues.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Workqueues")]
pub struct Workqueues {
    /// Pools of workers.
    pub pools: Listing<Pool>,
    /// Queues that hold works back.
    pub queues: Listing<Queue>,
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
    /// Whether works wait although it has not begun one for so long that the kernel complains (`wq_watchdog_thresh`, 30 s
    /// where that is 0), and nobody has said that the CPU is busy on purpose. Null where that could not be read.
    pub stuck: Option<bool>,
    /// Workers that are doing something.
    pub busy: Listing<Worker>,
    /// Works that no worker has begun with, next one first.
    pub waiting: Listing<Work>,
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
    pub scheduled: Listing<Work>,
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
    pub held_back: Listing<Work>,
}

/// Reads them.
#[must_use]
pub fn workqueues<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> Workqueues {
    let mut missing = Collector::default();
    let clock = Clock::read(kernel, &mut missing);
    let watchdog = Watchdog::read(kernel, &mut missing);
    let pools = missing.list("pools of workers", |missing| {
        let mut pools = Vec::new();
        for at in pool_addresses(kernel, missing)? {
            let pool = pool(kernel, snapshot, at, (&clock, &watchdog), missing);
            pools.extend(missing.take(format!("the worker_pool at {at}"), pool));
        }
        Ok(pools)
    });
    let queues = missing.list("workqueues", |missing| queues(kernel, missing));
    Workqueues { pools, queues, gaps: missing.into_gaps() }
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
    (clock, watchdog): (&Clock, &Watchdog<'k>),
    missing: &mut Collector,
) -> Result<Pool, InspectError> {
    let pool = Object::new(kernel, "struct worker_pool", at)?;
    let busy = missing.list(format!("workers of the pool at {at}"), |missing| {
        let (workers, gap) = pool.at("workers")?.list("struct worker", "node")?;
        missing.note_some(&format!("workers of the pool at {at}"), gap);
        let mut busy = Vec::new();
        for worker in workers {
            let read = busy_worker(worker, snapshot, missing);
            busy.extend(missing.take(format!("the worker at {}", worker.address()), read).flatten());
        }
        Ok(busy)
    });
    let waiting =
        missing.list(format!("works that wait in the pool at {at}"), |missing| works(pool.at("worklist")?, missing));
    // Renamed on the newest kernels.
    let progress = pool.first(&["last_progress_ts", "watchdog_ts"]).and_then(Object::number);
    let progress = missing.take_known(format!("the progress of the pool at {at}"), progress);
    let without_progress_ns = progress.and_then(|jiffies| clock.since_jiffies(jiffies));
    let nice = pool.at("attrs.nice").and_then(Object::value);
    let cpu = u32::try_from(pool.at("cpu")?.value()?).ok();
    Ok(Pool {
        id: pool.at("id")?.value()?,
        pool: at.into(),
        cpu,
        nice: missing.take_known(format!("the nice level of the pool at {at}"), nice),
        workers_total: if_known(pool.number_at("nr_workers"))?,
        workers_idle: if_known(pool.number_at("nr_idle"))?,
        without_progress_ns,
        stuck: if waiting.has_none() {
            Some(false)
        } else {
            let complains = watchdog.complains(cpu, without_progress_ns, clock, missing);
            complains.filter(|stuck| !stuck || !waiting.found().is_empty())
        },
        busy,
        waiting,
    })
}

/// What a worker does; `None` of one that is idle.
fn busy_worker(
    worker: Object<'_>,
    snapshot: &Snapshot,
    missing: &mut Collector,
) -> Result<Option<Worker>, InspectError> {
    let at = worker.address();
    let Some(current) = worker.pointer_at("current_work")? else { return Ok(None) };
    let name = missing.take(format!("the workqueue that the worker at {at} works for"), queue_name(worker));
    Ok(Some(Worker {
        worker: at.into(),
        task: worker.pointer_at("task")?.and_then(|task| missing.who(snapshot, task)),
        work: Work {
            work: current.into(),
            function: missing.function(worker.kernel(), worker.at("current_func")?.pointer()?),
            workqueue: name.flatten(),
        },
        scheduled: missing
            .list(format!("works of the worker at {at}"), |missing| works(worker.at("scheduled")?, missing)),
    }))
}

fn queue_name(worker: Object<'_>) -> Result<Option<String>, InspectError> {
    if worker.pointer_at("current_pwq")?.is_none() {
        return Ok(None);
    }
    worker.text_at("current_pwq.wq.name").map(Some)
}

fn works(head: Object<'_>, missing: &mut Collector) -> Result<Vec<Work>, InspectError> {
    let (found, gap) = head.list("struct work_struct", "entry")?;
    missing.note_some(&format!("works at {}", head.address()), gap);
    let mut works = Vec::new();
    for work in found {
        let read = read_work(work, missing);
        works.extend(missing.take(format!("the work at {}", work.address()), read).filter(|work| !work.is_mark()));
    }
    Ok(works)
}

impl Work {
    /// Whether it only marks how far a rescuer has come in the list of its pool, which the newest kernels have
    /// (`pool_workqueue.mayday_cursor`): nobody does it.
    fn is_mark(&self) -> bool {
        self.function.as_deref() == Some("mayday_cursor_func")
    }
}

fn read_work(work: Object<'_>, missing: &mut Collector) -> Result<Work, InspectError> {
    let function = work.at("func")?.pointer()?;
    // `WORK_STRUCT_PWQ`: the low bits are flags, and one of them says that the rest is the pool_workqueue.
    let data = work.number_at("data")?;
    let flags = flag_bits(work.kernel());
    let queue = VirtAddr::new(data >> flags << flags);
    let name = || Object::new(work.kernel(), "struct pool_workqueue", queue)?.text_at("wq.name");
    let workqueue = if data & 4 == 0 {
        None
    } else {
        missing.take(format!("the workqueue of the work at {}", work.address()), name())
    };
    let function = missing.function(work.kernel(), function);
    Ok(Work { work: work.address().into(), function, workqueue })
}

/// How many low bits of a work's `data` are flags and the colour of its flush: nine with `CONFIG_DEBUG_OBJECTS_WORK`.
fn flag_bits(kernel: &Kernel<'_>) -> u32 {
    const USUAL: u32 = 8;
    let types = kernel.vmlinux().types();
    let bits = types.enumerator("WORK_STRUCT_COLOR_SHIFT").zip(types.enumerator("WORK_STRUCT_COLOR_BITS"));
    let bits = bits.and_then(|(shift, colors)| u32::try_from(shift.checked_add(colors)?).ok());
    bits.filter(|bits| (USUAL..=12).contains(bits)).unwrap_or(USUAL)
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
            let held = held_back(queue, pwq, missing);
            queues.extend(missing.take(&what, held).flatten());
        }
    }
    Ok(queues)
}

/// `inactive_works` was `delayed_works` before 5.15 (kernel commit f97a4a1a3f87).
fn held_back(queue: Object<'_>, pwq: Object<'_>, missing: &mut Collector) -> Result<Option<Queue>, InspectError> {
    let head = pwq.first(&["inactive_works", "delayed_works"])?;
    let held_back = missing.list(format!("works at {}", head.address()), |missing| works(head, missing));
    if held_back.has_none() {
        return Ok(None);
    }
    let pool = missing.take(format!("the pool of the pool_workqueue at {}", pwq.address()), pool_id(pwq));
    Ok(Some(Queue {
        name: queue.text_at("name")?,
        workqueue: queue.address().into(),
        pool,
        active: if_known(pwq.number_at("nr_active"))?,
        // Of the whole queue since 6.9.
        max_active: match if_known(pwq.number_at("max_active"))? {
            None => if_known(queue.number_at("max_active"))?,
            own => own,
        },
        held_back,
    }))
}

fn pool_id(pwq: Object<'_>) -> Result<i64, InspectError> {
    pwq.at("pool.id")?.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_in_a_list_of_works_is_no_work() {
        let work = |function: Option<&str>| Work {
            work: VirtAddr::new(0xffff_8880_0100_0000).into(),
            function: function.map(str::to_owned),
            workqueue: None,
        };
        assert!(work(Some("mayday_cursor_func")).is_mark());
        assert!(!work(Some("vmstat_update")).is_mark() && !work(None).is_mark());
    }
}
