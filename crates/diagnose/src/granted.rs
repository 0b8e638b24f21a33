//! Moments that the scheduler takes from real-time tasks and grants to fair ones.
//!
//! Real-time throttling, and since 6.12 the deadline server of the fair class, hand fair tasks some milliseconds of every second, and
//! a dump may be taken in them. Whose CPU it is then shows on every version: in one `__schedule()`, who leaves (`sched_info_depart()`) and who
//! comes (`sched_info_arrive()`, `kernel/sched/stats.h`) copy the same `rq.clock`. So where a fair task has a CPU in whose queue a real-time task
//! has been since that one came, or longer, the scheduler chose the fair task over it. One that was queued later has only just woken,
//! and takes the CPU at once.
//!
//! It is the policy that counts, not only the priority, which may be borrowed: a task that was queued as a fair one and boosted meanwhile
//! (`rt_mutex_setprio()`) was not passed over.

use std::cmp::Reverse;

use vmcore_kernel::{Class, Cpu, Task};

use crate::evidence::{decimal, member};
use crate::text::seconds;
use crate::{Evidence, Facts, Reader, describe};

/// By default fair tasks are granted 50 ms of every second.
const MOMENT_NS: u64 = 1_000_000_000;

/// A moment that a fair task has a CPU before real-time tasks that could run.
#[derive(Clone, Debug)]
pub(crate) struct Grant<'f> {
    pub(crate) cpu: u32,
    /// Who has the CPU.
    pub(crate) current: &'f Task,
    /// For how long it has had it.
    pub(crate) moment_ns: u64,
    /// Who was passed over, the highest rank first.
    pub(crate) displaced: Vec<&'f Task>,
    /// Cores are scheduled as one, which passes tasks over for another reason as well.
    pub(crate) is_core_scheduled: bool,
}

/// The moment that a CPU is in; `None` where its current task has it by its own right, or for longer than for a moment.
pub(crate) fn grant<'f>(facts: &'f Facts<'_>, cpu: &Cpu) -> Option<Grant<'f>> {
    let current = facts.snapshot.current(cpu).filter(|task| task.pid != 0 && !task.is_above_fair())?;
    let since = current.last_arrival_ns.filter(|&at| at != 0)?;
    let moment_ns = facts.running_ns(cpu).filter(|&running| running <= MOMENT_NS)?;
    let queued = cpu.run_queue.iter().flat_map(|queue| &queue.queued);
    let real_time = queued.filter(|queued| queued.class == Class::RealTime);
    let tasks = real_time.filter_map(|queued| facts.snapshot.task(queued.task));
    let is_displaced = |task: &&Task| {
        let has_waited = task.last_queued_ns.is_some_and(|queued| queued != 0 && queued <= since);
        is_real_time(task) && task.waits_for_cpu() && has_waited
    };
    let mut displaced: Vec<_> = tasks.filter(is_displaced).collect();
    displaced.sort_by_key(|task| (task.prio, task.last_queued_ns, Reverse(task.pid)));
    let is_core_scheduled = facts.state.scheduler.cpu(cpu.cpu).core_cookie.is_some();
    let grant = Grant { cpu: cpu.cpu, current, moment_ns, displaced, is_core_scheduled };
    (!grant.displaced.is_empty()).then_some(grant)
}

fn is_real_time(task: &Task) -> bool {
    task.is_above_fair() && task.prio >= 0 && task.policy.is_real_time()
}

impl<'f> Grant<'f> {
    /// The first of those that were passed over.
    pub(crate) fn first(&self) -> Option<&'f Task> {
        self.displaced.first().copied()
    }

    /// `pid 5 has it for a moment of 20 ms, granted before pid 6 (SCHED_FIFO priority 50)`.
    pub(crate) fn words(&self) -> String {
        let before = self.first().map(|task| format!(", granted before {}", ranked(task))).unwrap_or_default();
        format!("pid {} has it for a moment of {} only{before}", self.current.pid, seconds(self.moment_ns))
    }

    /// That one of them was passed over.
    pub(crate) fn evidence(&self, displaced: &Task, reader: &dyn Reader) -> Evidence {
        let arrival = self.current.last_arrival_ns.unwrap_or_default();
        let meaning = format!(
            "{} has been in the queue of CPU {} since before that was given to pid {}, a fair task (sched_info.last_arrival {arrival}), or since \
             then: it was passed over, for a moment that fair tasks are granted",
            ranked(displaced),
            self.cpu,
            self.current.pid
        );
        let queued = decimal(displaced.last_queued_ns.unwrap_or_default());
        member(reader, displaced.address, ("task_struct", "sched_info.last_queued"), queued, meaning)
    }
}

fn ranked(task: &Task) -> String {
    format!("pid {} ({})", task.pid, describe::rank(task))
}
