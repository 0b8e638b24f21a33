//! What a CPU does while its current task is the idle one.
//!
//! Interrupts, softirqs and calls of other CPUs run on top of whatever task a CPU has, without a switch: `rq.curr` stays the
//! idle task for as long as they take (`irq_enter()` in `kernel/softirq.c`; `flush_smp_call_function_queue()` in
//! `kernel/smp.c`, which `do_idle()` calls itself). So a CPU idles only where its innermost code is what waits for an interrupt.
//!
//! Since when it has run something else the scheduler does not keep: the idle task has no `sched_info.last_arrival`
//! (`sched_info_switch()` in `kernel/sched/stats.h` leaves `rq->idle` out). Its clock bounds it. That stands still on an idle
//! CPU as well; but while the watchdog is on, a timer has a thread run on every CPU each `watchdog_thresh` * 2/5 seconds
//! (`kernel/watchdog.c`: the stopper since kernel commit 9cf57731b63e, the watchdog's own before), and a switch advances the clock.

use vmcore_kernel::{Cpu, StackFrame};

use crate::Facts;
use crate::derived::stood_still_ns;
use crate::interrupts::{Flags, flags_at};
use crate::names::{is_idling, is_lock_halt, is_spin_slow_path, own_frame};
use crate::text::seconds;

/// What runs on a CPU whose current task is the idle one.
pub(crate) enum OnIdle<'f> {
    /// It waits for an interrupt.
    Nothing,
    /// Something that cannot have been there for long.
    Briefly(Work<'f>),
    /// Something that keeps the CPU from its watchdog for so long, in nanoseconds.
    Long(Work<'f>, u64),
    /// Something, for how long is not known.
    Unknown(Work<'f>),
}

/// Code that runs on top of an idle task.
#[derive(Clone, Copy)]
pub(crate) struct Work<'f> {
    function: Option<&'f str>,
    /// Its flags.
    pub(crate) flags: Option<Flags>,
    /// For how long the CPU's clock has stood still.
    behind_ns: Option<u64>,
}

impl Work<'_> {
    /// `spin_for_ever`.
    pub(crate) fn code(&self) -> &str {
        self.function.unwrap_or("code without a name")
    }

    /// Why it may have been there for long, in words.
    pub(crate) fn doubt(&self) -> String {
        let since = match self.behind_ns {
            Some(ns) => format!("its clock has stood still for {}, as it does on an idle CPU as well", seconds(ns)),
            None => "when its clock stopped is not known".to_owned(),
        };
        format!("by its run queue it was idle, but it ran {} on top of its idle task; {since}", self.code())
    }
}

/// Whether a CPU's current task is its idle one.
pub(crate) fn has_idle_task(cpu: &Cpu) -> bool {
    cpu.run_queue.as_ref().is_some_and(|queue| queue.current == queue.idle)
}

/// Whether a CPU waits for nothing but an interrupt.
pub(crate) fn waits_for_interrupt(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    has_idle_task(cpu) && matches!(on_idle(facts, cpu), OnIdle::Nothing)
}

/// What runs on a CPU whose current task is the idle one, and whose registers the dump has.
pub(crate) fn on_idle<'f>(facts: &'f Facts<'_>, cpu: &Cpu) -> OnIdle<'f> {
    let stack = facts.running_on(cpu.cpu);
    let at = stack.map(own_frame).unwrap_or_default();
    // A virtual CPU also halts while it waits for a spin lock.
    let mut own =
        stack.and_then(|stack| stack.frames.get(at..)).unwrap_or_default().iter().filter_map(StackFrame::function);
    let lock = own.clone().find(|name| is_lock_halt(name) || is_spin_slow_path(name));
    let function = lock.or_else(|| own.next());
    let is_off = cpu.run_queue.as_ref().is_some_and(vmcore_kernel::RunQueue::is_out_of_service);
    if is_off || function.is_some_and(is_idling) {
        return OnIdle::Nothing;
    }
    let flags = flags_at(facts, cpu.cpu, at);
    let work = Work { function, flags, behind_ns: stood_still_ns(facts, cpu) };
    let is_watched = facts.state.limits.is_watched(cpu.cpu);
    // However long an administrator has the watchdog wait, its thread comes in between.
    let long = facts.state.limits.keeps_idle_ns();
    match work.behind_ns {
        Some(ns) if ns >= long && is_watched => OnIdle::Long(work, ns),
        // With interrupts on the clock goes on, and only the watchdog would tell.
        Some(ns) if ns < long && (is_watched || flags.is_some_and(Flags::off)) => OnIdle::Briefly(work),
        _ => OnIdle::Unknown(work),
    }
}

/// For how long something has kept an idle CPU; `None` where the CPU has a task, idles, or that is not known.
pub(crate) fn kept_ns(facts: &Facts<'_>, cpu: &Cpu) -> Option<u64> {
    if !has_idle_task(cpu) || cpu.registers.is_none() {
        return None;
    }
    match on_idle(facts, cpu) {
        OnIdle::Long(_, ns) => Some(ns),
        _ => None,
    }
}
