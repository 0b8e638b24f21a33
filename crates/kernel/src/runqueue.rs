//! Run queues: who runs on a CPU, who waits for it, for how long.
//!
//! `struct rq` is per CPU. Fair tasks wait in a red-black tree (`cfs.tasks_timeline`; entities that are groups have a
//! tree of their own), real-time tasks in one list a priority (`rt.active.queue`; so have groups), deadline tasks in a tree, those of a
//! scheduler that is a BPF program (`sched_ext`) in a list of their own (`scx.runnable_list`).
//!
//! Source: `kernel/sched/sched.h`.

mod fair;
mod real_time;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::HashSet;

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use self::fair::{FairLayout, Groups};
use self::real_time::RealTimeGroup;

use crate::layout::{Field, Resolver};
use crate::list::{Listed, Places, list, rb_tree};
use crate::task::TaskLayout;
use crate::{Gap, LayoutError, Task};

/// More tasks than one run queue holds on any machine this tool was meant for.
const MAX_QUEUED: usize = 1 << 17;
/// Nodes that are followed in the queues of all CPUs together: those of a damaged dump may share theirs.
const MAX_QUEUED_IN_ALL: usize = 1 << 20;
/// More task groups than are runnable on one CPU at once; they also bound how deep groups nest.
const MAX_GROUPS: usize = 1024;

/// Offsets in `struct rq` and below.
pub(crate) struct RunQueueLayout {
    curr: Field,
    idle: Field,
    stop: Option<Field>,
    clock: Field,
    task_clock: Option<Field>,
    nr_running: Field,
    online: Option<Field>,
    donor: Option<Field>,
    fair: FairLayout,
    rt_queue: Option<Field>,
    rt_group: Option<RealTimeGroup>,
    dl_root: Option<Field>,
    /// Entities of the deadline queue that are no tasks.
    dl_servers: Vec<Field>,
    ext_list: Option<Field>,
}

impl RunQueueLayout {
    pub(crate) fn resolve(types: Resolver<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            curr: types.field("rq", "curr")?,
            idle: types.field("rq", "idle")?,
            stop: types.optional("rq", "stop"),
            clock: types.field("rq", "clock")?,
            task_clock: types.optional("rq", "clock_task"),
            nr_running: types.field("rq", "nr_running")?,
            online: types.optional("rq", "online"),
            donor: types.optional("rq", "donor"),
            fair: FairLayout::resolve(types)?,
            rt_queue: types.optional("rq", "rt.active.queue"),
            rt_group: RealTimeGroup::resolve(types),
            dl_root: types
                .optional("rq", "dl.root.rb_root.rb_node")
                .or_else(|| types.optional("rq", "dl.rb_root.rb_node")),
            // Since 6.8 and 7.0 (`struct rq` in `kernel/sched/sched.h`).
            dl_servers: ["fair_server.rb_node", "ext_server.rb_node"]
                .into_iter()
                .filter_map(|path| types.optional("rq", path))
                .collect(),
            // Since 6.12, where it is configured.
            ext_list: types.optional("rq", "scx.runnable_list"),
        })
    }
}

impl RunQueueLayout {
    /// The idle task of the run queue at `queue`.
    pub(crate) fn idle<M: ReadVirtual + ?Sized>(&self, memory: &M, queue: VirtAddr) -> Result<VirtAddr, ReadError> {
        self.idle.read_pointer(memory, queue)
    }
}

/// The scheduling class a queued task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The stop class, above all others: `migration/N`.
    Stop,
    /// Deadline.
    Deadline,
    /// Real-time.
    RealTime,
    /// Fair (CFS or EEVDF).
    Fair,
    /// A scheduler that is a BPF program. It ranks below the fair class.
    Ext,
}

impl Class {
    /// All of them, as they are declared.
    pub const ALL: [Self; 5] = [Self::Stop, Self::Deadline, Self::RealTime, Self::Fair, Self::Ext];

    /// The name used in output: `stop`, `dl`, `rt`, `fair` or `ext`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Deadline => "dl",
            Self::RealTime => "rt",
            Self::Fair => "fair",
            Self::Ext => "ext",
        }
    }
}

/// A task in a run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// Its class.
    pub class: Class,
}

/// One CPU's run queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunQueue {
    /// The CPU.
    pub cpu: u32,
    /// The address of its `struct rq`.
    pub address: VirtAddr,
    /// The task that the CPU was executing.
    pub current: VirtAddr,
    /// The CPU's idle task.
    pub idle: VirtAddr,
    /// The run queue's clock in nanoseconds since boot. It stops while interrupts stay off.
    pub clock_ns: u64,
    /// The clock of `se.exec_start` (`rq.clock_task`): the other one less the time spent in interrupts, where the kernel
    /// accounts that.
    pub task_clock_ns: Option<u64>,
    /// `rq.nr_running`: runnable tasks, the current one among them. Some kernels count the [`servers`](Self::servers), too.
    pub nr_running: u64,
    /// Deadline servers in the deadline queue: the fair class's is there while fair tasks wait.
    pub servers: u64,
    /// `rq.online`: whether the scheduler uses the CPU. A panic that stops the CPU leaves it as it was, other than the mask
    /// of online CPUs. `None` where it cannot be read.
    pub online: Option<bool>,
    /// Who waits, in the order of the queues: deadline, real-time by priority, fair by the tree, `sched_ext` by its list.
    /// Without the current task.
    pub queued: Vec<Queued>,
}

impl RunQueue {
    /// Whether the CPU is known to have been out of service, never started or switched off, when the machine stopped. One that is being
    /// switched off or on does work for that, in its thread `cpuhp/N`, while `rq.online` is 0 already, or still: `sched_cpu_deactivate()`
    /// and `sched_cpu_activate()` in `kernel/sched/core.c`.
    #[must_use]
    pub fn is_out_of_service(&self) -> bool {
        let never_started = self.current == self.idle && self.clock_ns == 0;
        self.online.map_or(never_started, |online| !online && self.current == self.idle)
    }

    /// How long the task has been running without being scheduled out, by this queue's clock; `None` where the kernel
    /// does not keep the time (`CONFIG_SCHED_INFO`).
    #[must_use]
    pub fn running_ns(&self, task: &Task) -> Option<u64> {
        self.clock_ns.checked_sub(task.last_arrival_ns.filter(|&at| at != 0)?)
    }

    /// How long the task has been waiting in this queue. Of one that was preempted as it was about to sleep the scheduler does not note
    /// since when (`sched_info_depart()` in `kernel/sched/stats.h`): it is how long it has not run.
    #[must_use]
    pub fn waiting_ns(&self, task: &Task) -> Option<u64> {
        match task.last_queued_ns.filter(|&at| at != 0) {
            Some(queued) => self.clock_ns.checked_sub(queued),
            None if task.waits_for_cpu() && !task.state.is_running() => self.not_run_ns(task),
            None => None,
        }
    }

    /// For how long, at least, a task of this CPU that is not on it has not been. Its stint began at `last_arrival`, and its run time
    /// was last accounted at `exec_start`, when it ended at the latest; that is a time of the task clock, which stands still
    /// in interrupts. `None` where that cannot be told.
    #[must_use]
    pub fn not_run_ns(&self, task: &Task) -> Option<u64> {
        // 0 in one that never ran, and in all where the kernel could keep times and does not (`sched_info_on()`, up to 5.13).
        let since_arrival = self.clock_ns.checked_sub(task.last_arrival_ns.filter(|&at| at != 0)?)?;
        // Reset when the task was moved here, where it has not run then.
        let Some(accounted) = task.exec_start_ns.filter(|&at| at != 0) else {
            return task.exec_start_ns.map(|_| since_arrival);
        };
        Some(self.task_clock_ns?.saturating_sub(accounted).min(since_arrival))
    }
}

/// Reads run queues; `tasks` are the tasks that are on the task list, so that group and server entities are not taken for
/// tasks.
pub(crate) struct RunQueueReader<'a, M: ?Sized> {
    pub(crate) memory: &'a M,
    pub(crate) layout: &'a RunQueueLayout,
    pub(crate) task_layout: &'a TaskLayout,
    pub(crate) tasks: &'a Places,
    pub(crate) nodes: NodesLeft,
}

/// How many more nodes are followed.
pub(crate) struct NodesLeft(Cell<usize>);

impl Default for NodesLeft {
    fn default() -> Self {
        Self(Cell::new(MAX_QUEUED_IN_ALL))
    }
}

impl NodesLeft {
    /// What `walk` finds with the limit that it is given, at most `limit`.
    fn bound(&self, limit: usize, walk: impl FnOnce(usize) -> Listed) -> Listed {
        let listed = walk(limit.min(self.0.get()));
        self.0.set(self.0.get().saturating_sub(listed.nodes.len()));
        listed
    }
}

impl<M: ReadVirtual + ?Sized> RunQueueReader<'_, M> {
    pub(crate) fn read(&self, cpu: u32, address: VirtAddr, gaps: &mut Vec<Gap>) -> Result<RunQueue, ReadError> {
        let Self { memory, layout, .. } = *self;
        let current = layout.curr.read_pointer(memory, address)?;
        let mut queued = Vec::new();
        self.stopper(address, &mut queued);
        let servers = self.deadline(address, cpu, &mut queued, gaps);
        if let Some(queue) = layout.rt_queue {
            self.real_time(queue.address(address), cpu, &mut HashSet::new(), &mut queued, gaps);
        }
        self.fair(layout.fair.queue.address(address), cpu, &mut Groups::default(), &mut queued, gaps);
        self.extensible(address, cpu, &mut queued, gaps);
        queued.retain(|entry| entry.task != current);
        let idle = layout.idle.read_pointer(memory, address)?;
        let queue = RunQueue {
            cpu,
            address,
            current,
            idle,
            clock_ns: layout.clock.read(memory, address)?,
            task_clock_ns: layout.task_clock.and_then(|clock| clock.read(memory, address).ok()),
            nr_running: layout.nr_running.read(memory, address)?,
            servers,
            online: layout.online.and_then(|online| online.read(memory, address).ok()).map(|online| online != 0),
            queued,
        };
        gaps.extend(self.unknown_queues(&queue));
        Ok(queue)
    }

    /// That the scheduler counts more runnable tasks than its queues had: a vendor's kernel may have classes and trees of its own.
    fn unknown_queues(&self, queue: &RunQueue) -> Option<Gap> {
        // By whose rank the CPU runs its current one (proxy execution): it is in no tree, either.
        let donor = self.layout.donor.and_then(|donor| donor.read_pointer(self.memory, queue.address).ok());
        let is_more = |task: &VirtAddr| *task != queue.current && *task != queue.idle && !task.is_null();
        let running = u64::from(queue.current != queue.idle) + u64::from(donor.filter(is_more).is_some());
        let known = queue.queued.len() as u64 + queue.servers + running;
        let more = queue.nr_running.checked_sub(known).filter(|&more| more > 0)?;
        let why = format!("rq.nr_running counts {more} more than were found in the queues that are known");
        Some(Gap::new(format!("run queue of CPU {}", queue.cpu), why))
    }

    /// The task whose member `node` is at this address, if it is a known task.
    fn task(&self, member: Field, node: VirtAddr) -> Option<VirtAddr> {
        Some(member.container(node)).filter(|task| self.tasks.contains_key(task))
    }

    fn tree(&self, root: VirtAddr, cpu: u32, limit: usize, gaps: &mut Vec<Gap>) -> Vec<VirtAddr> {
        let what = format!("run queue of CPU {cpu}");
        match self.memory.read_pointer(root) {
            Ok(root) => {
                let listed = self.nodes.bound(limit, |limit| rb_tree(self.memory, root, limit, &what));
                gaps.extend(listed.gap);
                listed.nodes
            }
            Err(error) => {
                gaps.push(Gap::new(what, error));
                Vec::new()
            }
        }
    }

    /// The stop class above all others has one task, `migration/N`, and no queue.
    fn stopper(&self, rq: VirtAddr, queued: &mut Vec<Queued>) {
        let stop = self.layout.stop.and_then(|stop| stop.read_pointer(self.memory, rq).ok());
        let waits = |task: &VirtAddr| {
            self.tasks.contains_key(task)
                && self.task_layout.on_rq.read(self.memory, *task).is_ok_and(|on_rq| on_rq == 1)
        };
        queued.extend(stop.filter(waits).map(|task| Queued { task, class: Class::Stop }));
    }

    /// Adds the tasks of the deadline queue; how many servers are in it.
    fn deadline(&self, rq: VirtAddr, cpu: u32, queued: &mut Vec<Queued>, gaps: &mut Vec<Gap>) -> u64 {
        let (Some(root), Some(member)) = (self.layout.dl_root, self.task_layout.dl_node) else { return 0 };
        let nodes = self.tree(root.address(rq), cpu, MAX_QUEUED, gaps);
        let is_queued = |server: &&Field| nodes.contains(&server.address(rq));
        let servers = self.layout.dl_servers.iter().filter(is_queued).map(|_| 1u64).sum();
        let tasks = nodes.into_iter().filter_map(|node| self.task(member, node));
        queued.extend(tasks.map(|task| Queued { task, class: Class::Deadline }));
        servers
    }

    /// The list has the current task, too.
    fn extensible(&self, rq: VirtAddr, cpu: u32, queued: &mut Vec<Queued>, gaps: &mut Vec<Gap>) {
        let (Some(head), Some(member)) = (self.layout.ext_list, self.task_layout.ext_node) else { return };
        let what = format!("sched_ext queue of CPU {cpu}");
        let head = head.address(rq);
        // Never set up where no such scheduler was ever loaded.
        if self.memory.read_pointer(head).is_ok_and(VirtAddr::is_null) {
            return;
        }
        let listed = self.nodes.bound(MAX_QUEUED, |limit| list(self.memory, head, limit, &what));
        let tasks = listed.nodes.into_iter().filter_map(|node| self.task(member, node));
        queued.extend(tasks.map(|task| Queued { task, class: Class::Ext }));
        gaps.extend(listed.gap);
    }

    /// The task of an entity that owns no queue, though it is on no task list: one that exits leaves the list some time
    /// before it is switched out for good (`release_task()` in `kernel/exit.c`), and may be preempted in between.
    ///
    /// It may be a real-time task for that time: RCU lends it its priority. Deadline entities may be the kernel's own
    /// servers, so those are not asked.
    fn exiting(&self, member: Field, node: VirtAddr, cpu: u32) -> Option<VirtAddr> {
        let task = member.container(node);
        let read = self.task_layout.read(self.memory, task).ok()?;
        (read.on_rq == 1 && read.cpu == cpu && !read.on_cpu).then_some(task)
    }
}
