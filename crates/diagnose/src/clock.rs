//! What time it was, and for how long a task has not run.

use vmcore_console::PanicReason;
use vmcore_kernel::{Cpu, Task};

use crate::evidence::{self, decimal};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Limits, Reader, derived};

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

/// How long kernel code may keep a CPU. An administrator may have the watchdog wait for longer than it does by default
/// (`kernel.watchdog_thresh`, up to a minute), as some machine has too much to do; but what those who gave up on it saw was no machine that
/// is well.
pub(crate) fn soft_lockup_ns(facts: &Facts<'_>) -> u64 {
    by_default_at_most(facts, facts.state.limits.soft_lockup_ns(), Limits::default().soft_lockup_ns())
}

/// The same with interrupts off.
pub(crate) fn hard_lockup_ns(facts: &Facts<'_>) -> u64 {
    by_default_at_most(facts, facts.state.limits.hard_lockup_ns(), Limits::default().hard_lockup_ns())
}

fn by_default_at_most(facts: &Facts<'_>, by_kernel: u64, by_default: u64) -> u64 {
    let gave_up = facts.death().is_none_or(PanicReason::is_from_outside);
    if gave_up { by_kernel.min(by_default) } else { by_kernel }
}

/// How sure it is that who waited for so long waited for too long.
pub(crate) fn as_the_watchdog(facts: &Facts<'_>, waited_ns: u64, confidence: Confidence) -> Confidence {
    if waited_ns >= facts.state.limits.hung_task_ns() { confidence } else { confidence.min(Confidence::Probable) }
}

/// For how long, at least, a task that is not running has not run, and what of its `task_struct` says so.
struct OffCpu {
    ns: u64,
    member: &'static str,
    value: u64,
}

impl OffCpu {
    /// Its last stint began at `last_arrival`, by the clock of its run queue; its run time was last accounted, at the end of that
    /// stint at the latest, at `exec_start`, by the task clock, which stands still in interrupts and while the host runs
    /// something else. What is shorter bounds it. Without the task clock the later of the two does.
    fn of(facts: &Facts<'_>, task: &Task) -> Option<Self> {
        let now = derived::now_ns(facts)?;
        let arrival = task.last_arrival_ns.filter(|&at| at != 0);
        let arrival = arrival.and_then(|at| Some(Self::since(now.checked_sub(at)?, "sched_info.last_arrival", at)));
        let queue = facts.snapshot.cpu(task.cpu).and_then(|cpu| cpu.run_queue.as_ref());
        let accounted = task.exec_start_ns.filter(|&at| at != 0).and_then(|at| {
            let by_task_clock = queue.and_then(|queue| {
                let behind = now.saturating_sub(queue.clock_ns);
                Some(queue.task_clock_ns?.saturating_sub(at).saturating_add(behind))
            });
            Some(Self::since(by_task_clock.or_else(|| now.checked_sub(at))?, "se.exec_start", at))
        });
        arrival.into_iter().chain(accounted).min_by_key(|off| off.ns)
    }

    const fn since(ns: u64, member: &'static str, value: u64) -> Self {
        Self { ns, member, value }
    }
}

/// For how long a task that is not running has not run, in nanoseconds; `None` where that is not known.
pub(crate) fn off_cpu_ns(facts: &Facts<'_>, task: &Task) -> Option<u64> {
    Some(OffCpu::of(facts, task)?.ns)
}

/// The time of [`off_cpu_ns`] as evidence.
pub(crate) fn off_cpu_evidence(facts: &Facts<'_>, reader: &dyn Reader, task: &Task) -> Option<Evidence> {
    let OffCpu { ns, member, value } = OffCpu::of(facts, task)?;
    let meaning = format!("pid {} has not run for {}", task.pid, seconds(ns));
    Some(evidence::member(reader, task.address, ("task_struct", member), decimal(value), meaning))
}
