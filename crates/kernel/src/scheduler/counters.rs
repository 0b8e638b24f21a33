//! What is counted of a task.

use vmcore_memory::VirtAddr;

use super::TaskCounters;
use super::throttle::{ThrottleLayout, Throttled};
use crate::layout::{Field, Number, Resolver};
use crate::other_class::OtherClass;
use crate::{CpuMask, Kernel, Task};

/// Offsets in `struct task_struct` and below.
pub(super) struct CounterLayout {
    run_delay: Option<Field>,
    run: Option<Field>,
    start: Option<Field>,
    /// An int in old kernels, a bit-field since.
    deadline_throttled: Option<Number>,
    allowed: Option<Field>,
    throttle: ThrottleLayout,
    core_cookie: Option<Field>,
    other_class: Option<OtherClass>,
}

impl CounterLayout {
    pub(super) fn resolve(kernel: &Kernel<'_>, types: Resolver<'_>) -> Self {
        let task = |path| types.optional("task_struct", path);
        Self {
            run_delay: task("sched_info.run_delay"),
            run: task("se.sum_exec_runtime"),
            start: task("start_time"),
            deadline_throttled: types.number("task_struct", "dl.dl_throttled"),
            // Renamed by kernel commit 3bd3706251ee (5.3).
            allowed: task("cpus_mask").or_else(|| task("cpus_allowed")),
            throttle: ThrottleLayout::resolve(types),
            core_cookie: task("core_cookie"),
            other_class: OtherClass::of(kernel),
        }
    }

    /// `is_fair`: whether the fair class runs it. Every task has a `se.cfs_rq`, of its cgroup (`set_task_rq()`), but the limit of that is
    /// on no other class.
    pub(super) fn read(&self, kernel: &Kernel<'_>, task: &Task, is_fair: bool) -> TaskCounters {
        let is_deadline = task.prio < 0;
        let task = task.address;
        let read = |field: Option<Field>| field?.read(kernel.memory(), task).ok();
        let throttled = self.throttle.of(kernel.memory(), task).filter(|_| is_fair);
        let deadline_throttled = self.deadline_throttled.and_then(|flag| flag.read(kernel.memory(), task).ok());
        let deadline_throttled = deadline_throttled.map(|flag| flag != 0);
        let is_other = self.other_class.as_ref().is_some_and(|class| class.has(kernel, task));
        TaskCounters {
            run_delay_ns: read(self.run_delay),
            run_ns: read(self.run).filter(|_| !is_other),
            start_ns: read(self.start),
            throttled_queue: throttled.and_then(Throttled::by_bandwidth),
            held_back_queue: throttled.and_then(Throttled::by_rank),
            core_cookie: read(self.core_cookie),
            deadline_throttled: deadline_throttled.filter(|_| is_deadline),
            allowed: self.allowed(kernel, task),
        }
    }

    fn allowed(&self, kernel: &Kernel<'_>, task: VirtAddr) -> Option<CpuMask> {
        let mask = self.allowed?;
        CpuMask::read(kernel.memory(), mask.address(task), mask.size).ok()
    }
}
