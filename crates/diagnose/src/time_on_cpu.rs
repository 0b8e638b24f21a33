//! For how long a task has kept its CPU from all that it outranks.
//!
//! `sched_info.last_arrival` says since when a task has been on its CPU. A real-time task leaves it for moments: every
//! `watchdog_thresh` * 2/5 seconds the soft-lockup watchdog has the stopper thread, which outranks everybody, run there
//! (`kernel/watchdog.c`, `softlockup_fn`, since kernel commit 9cf57731b63e). For those that wait for the CPU nothing
//! changes by that, and they show it: a task that has been in the queue all the time kept the CPU from being idle, and
//! of those that the stopper is not, none but the current task has run since.

use std::cmp::Reverse;

use vmcore_kernel::{Cpu, Policy, Task};

use crate::Facts;

/// How long a CPU's current task has kept it.
pub(crate) struct TimeOnCpu<'f> {
    /// In nanoseconds of the run queue's clock.
    pub(crate) ns: u64,
    /// Where tasks of a higher rank came in between: one of a lower rank, which has been waiting all the time.
    pub(crate) witness: Option<&'f Task>,
}

/// How long a CPU's current task has kept it; `None` where the kernel does not keep the time.
pub(crate) fn time_on_cpu<'f>(facts: &'f Facts<'_>, cpu: &Cpu) -> Option<TimeOnCpu<'f>> {
    let running = facts.running_ns(cpu)?;
    let with_breaks = with_breaks(facts, cpu).filter(|time_on_cpu| time_on_cpu.ns > running);
    Some(with_breaks.unwrap_or(TimeOnCpu { ns: running, witness: None }))
}

/// Since when only tasks of a higher rank can have had the CPU besides its current, real-time task.
fn with_breaks<'f>(facts: &'f Facts<'_>, cpu: &Cpu) -> Option<TimeOnCpu<'f>> {
    let queue = cpu.run_queue.as_ref()?;
    let current = facts.snapshot.current(cpu).filter(|task| task.is_above_fair())?;
    let not_above = |task: &&Task| task.prio >= current.prio && task.address != current.address && task.pid != 0;
    let others = || facts.snapshot.tasks.iter().filter(|task| task.cpu == cpu.cpu).filter(not_above);
    let waiting = others().filter(|task| task.prio > current.prio && task.waits_for_cpu());
    let waiting = waiting.filter_map(|task| Some((task, queue.waiting_ns(task)?)));
    let (witness, waited) = waiting.max_by_key(|(task, waited)| (*waited, Reverse(task.pid)))?;
    let idle_ns: Option<Vec<u64>> = others().map(|task| queue.not_run_ns(task)).collect();
    let ns = idle_ns?.into_iter().fold(waited, u64::min);
    Some(TimeOnCpu { ns, witness: Some(witness) })
}

/// Whether a task that waits for a CPU was kept from it by its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outranked {
    /// None but tasks that outrank it have had the CPU for so long, in nanoseconds.
    For(u64),
    /// One that does not outrank it has had the CPU less than that long ago.
    Shortly,
    /// When the others ran is not known.
    Unknown,
}

/// Whether a real-time task, by its own policy or boosted, does not take turns with others of its priority: `task_tick_rt()` in
/// `kernel/sched/rt.c` lets only those of `SCHED_RR` do that, whatever is preempted.
pub(crate) fn keeps_equals_out(task: &Task) -> bool {
    task.is_above_fair() && task.prio >= 0 && task.policy != Policy::RR
}

/// Whether none but tasks that outrank `waiting` have had a CPU for `long_ns`, as far as those say that last ran there.
pub(crate) fn outranked(facts: &Facts<'_>, cpu: &Cpu, waiting: &Task, long_ns: u64) -> Outranked {
    /// `MAX_RT_PRIO`: below it fair tasks take turns whatever their priorities.
    const FAIR: i32 = 100;
    let waited = facts.waiting_on_ns(cpu, waiting);
    let Some((queue, waited)) = cpu.run_queue.as_ref().zip(waited) else { return Outranked::Unknown };
    let rank = waiting.prio.min(FAIR);
    let current = facts.snapshot.current(cpu);
    if current.is_some_and(|task| task.prio > rank || task.prio == rank && !keeps_equals_out(task)) {
        return Outranked::Shortly;
    }
    let these = [Some(waiting.address), current.map(|task| task.address)];
    let others = facts.snapshot.tasks.iter().filter(|task| task.cpu == cpu.cpu && task.prio >= rank);
    let others = others.filter(|task| !these.contains(&Some(task.address)) && task.pid != 0);
    // Who has come from another CPU and not run here yet may have run there a moment ago.
    let here = |task: &Task| task.exec_start_ns.is_some_and(|at| at != 0);
    let ran = others.map(|task| queue.not_run_ns(task).filter(|&ns| ns >= long_ns || here(task)));
    let ran: Vec<_> = ran.collect();
    match ran.iter().flatten().min() {
        Some(&shortest) if shortest < long_ns => Outranked::Shortly,
        _ if waited < long_ns => Outranked::Shortly,
        _ if ran.iter().any(Option::is_none) => Outranked::Unknown,
        shortest => Outranked::For(shortest.map_or(waited, |&shortest| shortest.min(waited))),
    }
}
