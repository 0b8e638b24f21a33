//! A CPU that waits for another to run a function, and that other one, which does not.
//!
//! The caller spins with interrupts on, so the soft-lockup watchdog sees the caller, not the CPU that is deaf.
//!
//! Control: a call in flight is ordinary. It is a finding where the caller is [stuck](crate::stuck). A CPU that has interrupts on, and has just
//! had a tick, takes calls: that it has not taken this one may be because the call is new, unless a watchdog complained of the caller.

use std::collections::BTreeSet;

use vmcore_kernel::PendingCall;

use super::{Context, Found};
use crate::derived::stood_still_ns;
use crate::describe::{on_cpu, stuck_in};
use crate::evidence::read_from;
use crate::graph::{Edge, EdgeKind, Node};
use crate::reports::reported_stuck;
use crate::stuck::{stuck, user_evidence};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, interrupts, wait_edges};

/// One finding for each caller.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let facts = context.facts;
    let callers: BTreeSet<u32> = facts.state.calls.iter().map(|call| call.from).collect();
    let findings = callers.into_iter().filter_map(|caller| Some(finding(context, caller, waits(facts, caller)?)));
    Found { findings: findings.collect(), edges: edges(facts, context.reader) }
}

/// The CPUs that surely have been waiting for an answer for too long.
pub(super) fn stuck_callers(facts: &Facts<'_>) -> BTreeSet<u32> {
    let is_stuck = |caller: &u32| waits(facts, *caller) == Some(Confidence::Confirmed);
    facts.state.calls.iter().map(|call| call.from).filter(is_stuck).collect()
}

/// How sure it is that a caller has been waiting for its answer for too long; `None` where nothing says so.
fn waits(facts: &Facts<'_>, caller: u32) -> Option<Confidence> {
    let is_stuck = stuck(facts, caller)?;
    let mut calls = facts.state.calls.iter().filter(|call| call.from == caller);
    let may_be_new = !reported_stuck(facts, caller) && calls.all(|call| takes_calls(facts, call.to));
    Some(if may_be_new { is_stuck.min(Confidence::Possible) } else { is_stuck })
}

/// Whether a CPU has interrupts on and had a tick a moment ago.
fn takes_calls(facts: &Facts<'_>, cpu: u32) -> bool {
    const MOMENT_NS: u64 = 1_000_000_000;
    let Some(cpu) = facts.snapshot.cpu(cpu) else { return false };
    let ticks = stood_still_ns(facts, cpu).is_some_and(|ns| ns <= MOMENT_NS);
    let in_user_code = || cpu.registers.is_some_and(|known| known.registers.user_mode());
    ticks && interrupts::flags(facts, cpu.cpu).map_or_else(in_user_code, |flags| !flags.off())
}

fn finding(context: &Context<'_>, caller: u32, is_stuck: Confidence) -> Finding {
    let Context { facts, reader, .. } = *context;
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
    let mut evidence: Vec<_> = calls.iter().map(|call| evidence(call)).collect();
    if is_stuck == Confidence::Possible {
        evidence.extend(facts.snapshot.cpu(caller).and_then(|cpu| user_evidence(facts, reader, cpu)));
    }
    let cpus = calls.iter().map(|call| call.to).chain([caller]);
    let tasks = cpus.filter_map(|cpu| Some(facts.snapshot.current(facts.snapshot.cpu(cpu)?)?.address));
    Finding::new(Issue::UnansweredCall, is_stuck, summary, evidence).about(tasks)
}

/// Why a CPU does not answer, as far as its interrupt flag says it.
fn why(facts: &Facts<'_>, call: &PendingCall) -> &'static str {
    if interrupts::interrupts_off(facts, call.to) { ", with interrupts off" } else { "" }
}

/// That a call has not been answered.
fn evidence(call: &PendingCall) -> Evidence {
    let taken = if call.queued { "it is still in that CPU's queue" } else { "that CPU has taken it and not finished" };
    let meaning = format!("CSD_FLAG_LOCK: CPU {} has not run this call of CPU {}; {taken}", call.to, call.from);
    read_from(&call.flags_at, call.flags, meaning)
}

/// The caller to the CPU that does not answer, and that CPU to what it runs.
fn edges(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Edge> {
    let mut edges = Vec::new();
    for call in facts.state.calls.iter().filter(|call| waits(facts, call.from).is_some()) {
        let Some(caller) = facts.snapshot.cpu(call.from).and_then(|cpu| facts.snapshot.current(cpu)) else { continue };
        let why = "spins until that CPU has run its call";
        let deaf = Node::Cpu { cpu: call.to };
        let waits = Edge::new(Node::task(caller), EdgeKind::WaitsForIpi, deaf, why).shown_by([evidence(call)]);
        edges.push(waits);
        edges.extend(wait_edges::runs(facts, reader, call.to));
    }
    for &from in facts.state.unknown_calls.iter().filter(|from| stuck(facts, **from).is_some()) {
        let Some(caller) = facts.snapshot.cpu(from).and_then(|cpu| facts.snapshot.current(cpu)) else { continue };
        let reason =
            "its call may lie with a CPU on which it ran before, and neither its registers nor its stack say which";
        let deaf = Node::unknown(format!("the CPU that does not answer CPU {from}"), reason);
        edges.push(Edge::new(Node::task(caller), EdgeKind::WaitsForIpi, deaf, "spins until others have run its call"));
    }
    edges
}
