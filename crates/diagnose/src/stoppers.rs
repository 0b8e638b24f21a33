//! CPUs that wait for each other's stopper threads.
//!
//! `multi_cpu_stop()` in `kernel/stop_machine.c` has the `migration/N` threads of several CPUs come together: each keeps its CPU, above
//! all other tasks, until the last of them has come. So where one does not get its CPU, all others seem to be kept by a thread of
//! the highest rank, which is itself only a victim. The same goes, by then with interrupts off, where one of them does not come back from
//! what it calls for all of them, or from an interrupt on top of it.

use vmcore_kernel::{Class, Cpu, Stack};

use crate::Facts;
use crate::interrupts::kept_at;
use crate::names::{base_name, is_stopper_waiting};

/// What `multi_cpu_stop()` calls as it waits, in any version; `kernel/stop_machine.c`, `kernel/watchdog.c`, `kernel/workqueue.c`,
/// `kernel/rcu/tree.c`, `kernel/rcu/tree_plugin.h`.
const WAITS_IN: [&str; 14] = [
    "multi_cpu_stop",
    "stop_machine_yield",
    "ack_state",
    "set_state",
    "touch_nmi_watchdog",
    "arch_touch_nmi_watchdog",
    "touch_softlockup_watchdog",
    "touch_softlockup_watchdog_sched",
    "wq_watchdog_touch",
    "rcu_momentary_dyntick_idle",
    "rcu_momentary_eqs",
    "rcu_dynticks_momentary_idle",
    "rcu_preempt_deferred_qs",
    "rcu_preempt_need_deferred_qs",
];

/// Whether what a CPU runs only waits for the stopper thread of another one.
pub(crate) fn waits_for_another(facts: &Facts<'_>, cpu: u32) -> bool {
    waits_for(facts, cpu).is_some()
}

/// The CPU for whose stopper thread that of another one waits: the first that has not got its CPU, else the first that does not come back.
pub(crate) fn waits_for(facts: &Facts<'_>, cpu: u32) -> Option<u32> {
    if !facts.running_on(cpu).is_some_and(|stack| only_waits(facts, cpu, stack)) {
        return None;
    }
    let mut others = facts.snapshot.cpus.iter().filter(|other| other.cpu != cpu);
    let held_up = others.clone().find(|other| has_stopper_waiting(facts, other));
    held_up.or_else(|| others.find(|other| is_at_work(facts, other.cpu))).map(|other| other.cpu)
}

/// `waits for the stopper thread of CPU 2`.
pub(crate) fn waits_text(cpu: u32) -> String {
    format!("waits for the stopper thread of CPU {cpu}")
}

fn has_stopper_waiting(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let queued = cpu.run_queue.iter().flat_map(|queue| &queue.queued);
    let mut stoppers = queued.filter(|queued| queued.class == Class::Stop);
    stoppers.any(|queued| facts.snapshot.task(queued.task).is_some_and(vmcore_kernel::Task::waits_for_cpu))
}

/// Whether a stopper thread that came to the others does something else than to wait for them.
fn is_at_work(facts: &Facts<'_>, cpu: u32) -> bool {
    facts.running_on(cpu).is_some_and(|stack| is_stopper_waiting(stack) && !only_waits(facts, cpu, stack))
}

/// Whether the code that keeps a CPU is the loop in which its stopper waits.
fn only_waits(facts: &Facts<'_>, cpu: u32, stack: &Stack) -> bool {
    let Some(frames) = kept_at(facts, cpu).and_then(|at| stack.frames.get(at..)) else { return false };
    let mut functions = frames.iter().map(|frame| frame.function().map(base_name));
    let mut waits = functions.by_ref().take_while(|name| name.is_none_or(|name| WAITS_IN.contains(&name)));
    waits.any(|name| name == Some("multi_cpu_stop"))
}
