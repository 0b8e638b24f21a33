//! What time it was, and for how long a task has not run.

use vmcore_kernel::Task;

use crate::evidence::{self, decimal};
use crate::text::seconds;
use crate::{Evidence, Facts, Reader};

/// The kernel's own default for `hung_task_timeout_secs`, for kernels without the watchdog or with it off.
const DEFAULT_PATIENCE_NS: u64 = 120_000_000_000;

/// The latest that any CPU's clock or the log says, in nanoseconds since boot.
pub(crate) fn now_ns(facts: &Facts<'_>) -> Option<u64> {
    let queues = facts.snapshot.cpus.iter().filter_map(|cpu| Some(cpu.run_queue.as_ref()?.clock_ns));
    queues.chain(facts.log.iter().map(|line| line.timestamp_ns)).max()
}

/// How long a task may sleep uninterruptibly before that counts as wrong.
pub(crate) fn patience_ns(facts: &Facts<'_>) -> u64 {
    facts.state.hung_task_timeout_ns.filter(|&timeout| timeout != 0).unwrap_or(DEFAULT_PATIENCE_NS)
}

/// How long a task that is not running has not run: since the scheduler last accounted for it, which it does as the
/// task leaves its CPU.
pub(crate) fn off_cpu_ns(facts: &Facts<'_>, task: &Task) -> Option<u64> {
    let last = task.last_arrival_ns.into_iter().chain(task.exec_start_ns).max().filter(|&last| last != 0)?;
    now_ns(facts)?.checked_sub(last)
}

/// The time of [`off_cpu_ns`] as evidence.
pub(crate) fn off_cpu_evidence(facts: &Facts<'_>, reader: &dyn Reader, task: &Task) -> Option<Evidence> {
    let meaning = format!("pid {} has not run for {}", task.pid, seconds(off_cpu_ns(facts, task)?));
    let (member, value) = match (task.last_arrival_ns, task.exec_start_ns) {
        (Some(arrival), start) if start.is_none_or(|start| start <= arrival) => ("sched_info.last_arrival", arrival),
        (_, start) => ("se.exec_start", start?),
    };
    Some(evidence::member(reader, task.address, ("task_struct", member), decimal(value), meaning))
}
