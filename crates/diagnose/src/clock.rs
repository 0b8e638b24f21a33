//! What time it was, and for how long a task has not run.

use vmcore_console::PanicReason;
use vmcore_kernel::{Cpu, Task};

use crate::evidence::{self, decimal};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Reader, derived};

/// How far the clock of a CPU is behind the newest. The tick drives it, so that it stops while interrupts are off, or while
/// the host does not run the CPU. CPUs that a panic stopped are offline and do not count, but one without registers need not
/// have been stopped by that.
pub(crate) fn lag_ns(facts: &Facts<'_>, cpu: &Cpu) -> Option<u64> {
    let clock = cpu.run_queue.as_ref().filter(|_| cpu.online || cpu.is_unseen())?.clock_ns;
    derived::newest_clock_ns(facts)?.checked_sub(clock)
}

/// What somebody notices who asks for a crash, and did not wait for the kernel's watchdog.
const SEEN_NS: u64 = 10_000_000_000;
/// The same for a dump that was taken from outside: it may be of a machine that only has much to do.
const SEEN_FROM_OUTSIDE_NS: u64 = 60_000_000_000;

/// How long a task may be kept waiting in a sleep that no signal ends: until the kernel's own watchdog would complain, but
/// not as long where somebody gave up on the machine before.
pub(crate) fn patience_ns(facts: &Facts<'_>) -> u64 {
    let by_kernel = facts.state.limits.hung_task_ns();
    match facts.death() {
        Some(PanicReason::Requested | PanicReason::Nmi) => by_kernel.min(SEEN_NS),
        // A watchdog that programs reset waits for about as long.
        None | Some(PanicReason::Watchdog) => by_kernel.min(SEEN_FROM_OUTSIDE_NS),
        Some(_) => by_kernel,
    }
}

/// How sure it is that who waited for so long waited for too long.
pub(crate) fn as_the_watchdog(facts: &Facts<'_>, waited_ns: u64, confidence: Confidence) -> Confidence {
    if waited_ns >= facts.state.limits.hung_task_ns() { confidence } else { confidence.min(Confidence::Probable) }
}

/// How long a task that is not running has not run: since the scheduler last accounted for it, which it does as the
/// task leaves its CPU.
pub(crate) fn off_cpu_ns(facts: &Facts<'_>, task: &Task) -> Option<u64> {
    let last = task.last_arrival_ns.into_iter().chain(task.exec_start_ns).max().filter(|&last| last != 0)?;
    derived::now_ns(facts)?.checked_sub(last)
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
