//! What the scheduler counts over time, and what it grants and withholds beside priorities.
//!
//! When a task last began to wait tells little where fair tasks get some milliseconds of every
//! second under real-time load, so that nobody waits for long at a time: from real-time throttling
//! (`sched_rt_runtime_us`), and since 6.12 from the fair class's deadline server. What adds up tells: how long a task has waited in all (`sched_info.run_delay`), how long it has run
//! (`se.sum_exec_runtime`).
//!
//! | reason | where it is kept |
//! |---|---|
//! | the fair class's grant | `rq.fair_server.dl_runtime` of every `dl_period`; 0 where it is turned off |
//! | real-time tasks have used up their share | `rq.rt.rt_throttled`, up to 6.11 |
//! | real-time load of late | `rq.avg_rt.util_avg`, of 1024; half of it is of the last 32 ms |
//! | a group's bandwidth is used up | `cfs_rq.throttle_count` of the task's queue; `task_struct.throttled` since 6.18 |
//! | proxy execution: by whose rank the CPU runs | `rq.donor` (6.13) |
//! | core scheduling: who may not share a core | `task_struct.core_cookie`, `rq.core.core_cookie` |
//! | a deadline task's budget is used up | `task_struct.dl.dl_throttled` |
//! | which CPUs a task may run on | `task_struct.cpus_mask`; `cpus_allowed` before 5.3 |
//!
//! Source: `kernel/sched/sched.h`, `include/linux/sched.h`.

mod counters;
mod throttle;

use std::collections::{HashMap, HashSet};

use vmcore_memory::VirtAddr;

use self::counters::CounterLayout;

use crate::layout::{Field, Resolver};
use crate::{Class, CpuMask, Kernel, Snapshot, Task};

/// `SCHED_CAPACITY_SCALE`: what a load of all the time is.
pub const FULL_LOAD: u64 = 1024;

/// What the scheduler counts and grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulerState {
    /// By the CPU's number. CPUs without a run queue are missing.
    pub cpus: HashMap<u32, CpuGrants>,
    /// By the task's address: those that run or wait for a CPU.
    pub tasks: HashMap<VirtAddr, TaskCounters>,
}

impl SchedulerState {
    /// What a CPU grants and withholds.
    #[must_use]
    pub fn cpu(&self, cpu: u32) -> CpuGrants {
        self.cpus.get(&cpu).copied().unwrap_or_default()
    }

    /// A task's counters.
    #[must_use]
    pub fn task(&self, task: VirtAddr) -> TaskCounters {
        self.tasks.get(&task).cloned().unwrap_or_default()
    }
}

/// What one CPU's scheduler grants and withholds beside priorities. What is not known, or does not exist, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuGrants {
    /// What fair tasks are granted under real-time load.
    pub fair_server: Option<FairServer>,
    /// How much of the CPU real-time tasks have had of late, of [`FULL_LOAD`].
    pub real_time_load: Option<u64>,
    /// Whether real-time tasks have used up their share of this period, and wait for the next (`rq.rt.rt_throttled`, up to 6.11).
    pub real_time_throttled: bool,
    /// The task by whose rank the CPU runs its current one, where that is another (proxy execution).
    pub donor: Option<VirtAddr>,
    /// The cookie that tasks must have to run on this CPU's core now, where cores are scheduled as one.
    pub core_cookie: Option<u64>,
}

/// The deadline server of the fair class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FairServer {
    /// How long fair tasks may run in every period, in nanoseconds.
    pub runtime_ns: u64,
    /// The period, in nanoseconds.
    pub period_ns: u64,
}

/// What is counted of one task, over all its life. `None` where the kernel does not keep it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskCounters {
    /// How long it has waited for a CPU while it could run, in nanoseconds (`sched_info.run_delay`).
    pub run_delay_ns: Option<u64>,
    /// How long it has run, in nanoseconds (`se.sum_exec_runtime`).
    pub run_ns: Option<u64>,
    /// When it was created, in nanoseconds since boot (`start_time`).
    pub start_ns: Option<u64>,
    /// The `cfs_rq` that it is queued in, where that has no bandwidth left: it or a group above it.
    pub throttled_queue: Option<VirtAddr>,
    /// The same, where that is taken off its CPU for what else runs there, and has bandwidth left: the groups of low rank
    /// (`qos_level`) of `openEuler`'s kernels, which an idle CPU would run.
    pub held_back_queue: Option<VirtAddr>,
    /// Its cookie, where cores are scheduled as one.
    pub core_cookie: Option<u64>,
    /// Whether it is a deadline task that has used up its budget: until the next period it is in no queue.
    pub deadline_throttled: Option<bool>,
    /// The CPUs that it may run on.
    pub allowed: Option<CpuMask>,
}

/// Offsets in `struct rq`.
struct GrantLayout {
    runtime: Option<Field>,
    period: Option<Field>,
    real_time_load: Option<Field>,
    real_time_throttled: Option<Field>,
    donor: Option<Field>,
    core: Option<Field>,
    core_enabled: Option<Field>,
    core_cookie: Option<Field>,
}

impl GrantLayout {
    fn resolve(types: Resolver<'_>) -> Self {
        let rq = |path| types.optional("rq", path);
        Self {
            runtime: rq("fair_server.dl_runtime"),
            period: rq("fair_server.dl_period"),
            real_time_load: rq("avg_rt.util_avg"),
            real_time_throttled: rq("rt.rt_throttled"),
            donor: rq("donor"),
            core: rq("core"),
            core_enabled: rq("core_enabled"),
            core_cookie: rq("core_cookie"),
        }
    }

    fn read(&self, kernel: &Kernel<'_>, queue: VirtAddr, current: VirtAddr) -> CpuGrants {
        let read = |field: Option<Field>, object| field?.read(kernel.memory(), object).ok();
        let server = read(self.runtime, queue).zip(read(self.period, queue));
        let donor = read(self.donor, queue).map(VirtAddr::new);
        let core =
            read(self.core, queue).filter(|_| read(self.core_enabled, queue).is_some_and(|enabled| enabled != 0));
        CpuGrants {
            fair_server: server.map(|(runtime_ns, period_ns)| FairServer { runtime_ns, period_ns }),
            real_time_load: read(self.real_time_load, queue),
            real_time_throttled: read(self.real_time_throttled, queue).is_some_and(|throttled| throttled != 0),
            donor: donor.filter(|donor| *donor != current && !donor.is_null()),
            core_cookie: core.and_then(|core| read(self.core_cookie, VirtAddr::new(core))),
        }
    }
}

impl Kernel<'_> {
    /// The CPUs in a variable of the kernel's.
    #[must_use]
    pub fn cpu_mask(&self, name: &str) -> Option<CpuMask> {
        let vmlinux = self.vmlinux();
        // Kernels' own symbol tables have no sizes.
        let size = vmlinux.symbols().size(name).or_else(|| vmlinux.types().size_of("cpumask"))?;
        CpuMask::read(self.memory(), self.symbol(name)?, size).ok()
    }

    /// What the scheduler counts and grants.
    #[must_use]
    pub fn scheduler_state(&self, snapshot: &Snapshot) -> SchedulerState {
        let types = Resolver::new(self.vmlinux().types());
        let (grants, counters) = (GrantLayout::resolve(types), CounterLayout::resolve(self, types));
        let queues = snapshot.cpus.iter().filter_map(|cpu| cpu.run_queue.as_ref());
        let wanted = snapshot.tasks.iter().filter(|task| task.on_cpu || task.waits_for_cpu());
        let in_queues = queues.clone().flat_map(|queue| &queue.queued);
        let extensible: HashSet<_> =
            in_queues.filter(|queued| queued.class == Class::Ext).map(|queued| queued.task).collect();
        let is_fair = |task: &Task| !task.is_above_fair() && !extensible.contains(&task.address);
        SchedulerState {
            cpus: queues.map(|queue| (queue.cpu, grants.read(self, queue.address, queue.current))).collect(),
            tasks: wanted.map(|task| (task.address, counters.read(self, task, is_fair(task)))).collect(),
        }
    }
}
