//! Whether a CPU that waits for another one, or for a lock, has done so for too long.
//!
//! That a CPU is caught waiting is ordinary. What says that it does not go on is a watchdog's report, or that its task has had
//! the CPU for longer than the watchdog allows. A program that computes has, too, where no watchdog comes in between: what it
//! had in user code it did not have in the kernel, but `utime` is of its whole life. One that makes system calls all day adds them up to
//! hours in the kernel; that its time there is one stay shows only where something would have taken the CPU from it on its way out.

use vmcore_kernel::{Cpu, Task};

use crate::clock::{hard_lockup_ns, soft_lockup_ns};
use crate::derived::stood_still_ns;
use crate::evidence::{self, decimal};
use crate::idle::kept_ns;
use crate::interrupts::interrupts_off;
use crate::reports::reported_stuck;
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Reader};

/// How sure it is that a CPU has been stuck; `None` where nothing says so.
pub(crate) fn stuck(facts: &Facts<'_>, cpu: u32) -> Option<Confidence> {
    if reported_stuck(facts, cpu) {
        return Some(Confidence::Confirmed);
    }
    let cpu = facts.snapshot.cpu(cpu)?;
    let limit = soft_lockup_ns(facts);
    let kept = kept_ns(facts, cpu);
    let running = kept.or_else(|| facts.running_ns(cpu)).filter(|&running| running >= limit)?;
    let in_kernel = facts.snapshot.current(cpu).map_or(running, |task| surely_in_kernel(facts, cpu, task, running));
    let surely = in_kernel >= limit && (kept.is_some() || is_one_stay(facts, cpu, running));
    Some(if surely { Confidence::Confirmed } else { Confidence::Possible })
}

/// Whether the time that a task has had its CPU in kernel code is that of one stay, not of many system calls: the watchdog's thread would have
/// come in between two of them, or the CPU has had its interrupts off so long.
pub(crate) fn is_one_stay(facts: &Facts<'_>, cpu: &Cpu, running_ns: u64) -> bool {
    let limits = &facts.state.limits;
    let keeps_watchdog_out = limits.is_watched(cpu.cpu) && running_ns >= limits.keeps_watchdog_out_ns();
    let is_deaf = || stood_still_ns(facts, cpu).is_some_and(|ns| ns >= hard_lockup_ns(facts));
    keeps_watchdog_out || interrupts_off(facts, cpu.cpu) && is_deaf()
}

/// For how long, at least, a task that has had its CPU for so long was in kernel code: as far as it has run in all its life, and
/// without what it had of that in user code.
pub(crate) fn surely_in_kernel(facts: &Facts<'_>, cpu: &Cpu, task: &Task, running_ns: u64) -> u64 {
    let ran_ns = has_run_ns(facts, cpu, task).map_or(running_ns, |ran| ran.min(running_ns));
    ran_ns.saturating_sub(task.accounting.user_ns.unwrap_or_default())
}

/// For how long a CPU's current task has run in all its life, by the task clock, which stands still in interrupts, and while the host
/// does not run the CPU, where it tells the guest so (`update_rq_clock_task()` in `kernel/sched/core.c`). Of idle tasks it is not kept.
pub(crate) fn has_run_ns(facts: &Facts<'_>, cpu: &Cpu, task: &Task) -> Option<u64> {
    let accounted = facts.state.scheduler.task(task.address).run_ns.filter(|_| task.pid != 0)?;
    let accounted_at = task.exec_start_ns.filter(|&at| at != 0)?;
    let since = cpu.run_queue.as_ref()?.task_clock_ns?.saturating_sub(accounted_at);
    Some(accounted.saturating_add(since))
}

/// For how long, at least, a task that has had its CPU for so long was in user code: what it had there in all its life could not be before
/// that alone.
pub(crate) fn surely_in_user(facts: &Facts<'_>, cpu: &Cpu, task: &Task, running_ns: u64) -> u64 {
    let start = facts.state.scheduler.task(task.address).start_ns;
    let life = cpu.run_queue.as_ref().zip(start).and_then(|(queue, start)| queue.clock_ns.checked_sub(start));
    let before = life.map(|life| life.saturating_sub(running_ns));
    let user = task.accounting.user_ns.zip(before).map(|(user, before)| user.saturating_sub(before));
    user.unwrap_or_default().min(running_ns)
}

/// How much of its life a CPU's task had in user code.
pub(crate) fn user_evidence(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Option<Evidence> {
    let task = facts.snapshot.current(cpu)?;
    let user = task.accounting.user_ns?;
    let meaning = format!("pid {} had {} in user code in all its life", task.pid, seconds(user));
    Some(evidence::member(reader, task.address, ("task_struct", "utime"), decimal(user), meaning))
}
