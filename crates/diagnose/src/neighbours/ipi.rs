//! A CPU that waits for another to run a function, and that other one, which does not.
//!
//! The caller spins with interrupts on, so the soft-lockup watchdog sees the caller, not the CPU that is deaf.
//!
//! Control: a call in flight is ordinary. It is a finding where the caller is reported stuck, or waits for long.

use vmcore_kernel::{PendingCall, Stack};

use super::spinlock::on_cpu;
use super::{Neighbour, stuck_in, watchdog};
use crate::names::base_name;
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Place, Severity, Value, issue};

/// Functions in which a CPU waits until its calls are answered.
const WAITING: [&str; 7] = [
    "smp_call_function_many_cond",
    "smp_call_function_many",
    "smp_call_function_single",
    "smp_call_function_single_async",
    "csd_lock_wait",
    "__csd_lock_wait",
    "smp_call_function_any",
];
/// A caller that waits for so long is stuck even where no watchdog looked.
const LONG_NS: u64 = 20_000_000_000;

/// Whether the task of this stack waits for an answer.
pub(crate) fn waits_for_answer(stack: &Stack) -> bool {
    stack.frames.iter().any(|frame| frame.function().is_some_and(|name| WAITING.contains(&base_name(name))))
}

/// One finding for each caller.
pub(crate) fn detect(facts: &Facts<'_>) -> Vec<Neighbour> {
    let mut callers: Vec<_> = facts.state.calls.iter().map(|call| call.from).collect();
    callers.sort_unstable();
    callers.dedup();
    callers.into_iter().filter(|&caller| is_stuck(facts, caller)).map(|caller| finding(facts, caller)).collect()
}

/// Whether a caller has been waiting for too long.
pub(crate) fn is_stuck(facts: &Facts<'_>, caller: u32) -> bool {
    let running = facts.snapshot.cpu(caller).and_then(|cpu| facts.running_ns(cpu));
    watchdog::reported_stuck(facts, caller) || running.is_some_and(|running| running >= LONG_NS)
}

fn finding(facts: &Facts<'_>, caller: u32) -> Neighbour {
    let calls: Vec<_> = facts.state.calls.iter().filter(|call| call.from == caller).collect();
    let deaf =
        |call: &&PendingCall| format!("{}{}{}", on_cpu(facts, call.to), stuck_in(facts, call.to), why(facts, call));
    let deaf: Vec<_> = calls.iter().map(deaf).collect();
    let running = facts.snapshot.cpu(caller).and_then(|cpu| facts.running_ns(cpu));
    let time = running.map(|ns| format!(" for up to {}", seconds(ns))).unwrap_or_default();
    let function = calls.iter().find_map(|call| call.function.as_deref());
    let function = function.map(|name| format!(" {name}")).unwrap_or_default();
    let summary = format!(
        "{} has waited{time} for others to run{function}; not answered by {}",
        on_cpu(facts, caller),
        deaf.join(", ")
    );
    let evidence = calls.iter().map(|call| evidence(call)).collect();
    let finding = Finding { id: issue::UNANSWERED_CALL, severity: Severity::Critical, summary, evidence };
    (Confidence::Confirmed, finding)
}

/// Why a CPU does not answer, as far as its interrupt flag says it.
fn why(facts: &Facts<'_>, call: &PendingCall) -> &'static str {
    if super::hard_lockup::interrupts_off(facts, call.to) { ", with interrupts off" } else { "" }
}

/// That a call has not been answered.
pub(crate) fn evidence(call: &PendingCall) -> Evidence {
    let taken = if call.queued { "it is still in that CPU's queue" } else { "that CPU has taken it and not finished" };
    let meaning = format!("CSD_FLAG_LOCK: CPU {} has not run this call of CPU {}; {taken}", call.to, call.from);
    Evidence::new("call_single_data.flags", meaning).at(Place::Kernel(call.flags_at)).value(Value::Hex(call.flags))
}
