//! A CPU that waits for another to run a function, and that other one, which does not.
//!
//! The caller spins with interrupts on, so the soft-lockup watchdog sees the caller, not the CPU that is deaf.
//!
//! Control: a call in flight is ordinary. It is a finding where the caller is [stuck](crate::stuck).

use std::collections::BTreeSet;

use vmcore_kernel::PendingCall;

use super::{Context, Found};
use crate::describe::{on_cpu, stuck_in};
use crate::evidence::read_from;
use crate::graph::{Edge, EdgeKind, Node};
use crate::stuck::{stuck, user_evidence};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, interrupts, wait_edges};

/// One finding for each caller.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let facts = context.facts;
    let callers: BTreeSet<u32> = facts.state.calls.iter().map(|call| call.from).collect();
    let findings = callers.into_iter().filter_map(|caller| Some(finding(context, caller, stuck(facts, caller)?)));
    Found { findings: findings.collect(), edges: edges(facts, context.reader) }
}

/// The CPUs that surely have been waiting for an answer for too long.
pub(super) fn stuck_callers(facts: &Facts<'_>) -> BTreeSet<u32> {
    let is_stuck = |caller: &u32| stuck(facts, *caller) == Some(Confidence::Confirmed);
    facts.state.calls.iter().map(|call| call.from).filter(is_stuck).collect()
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
    for call in facts.state.calls.iter().filter(|call| stuck(facts, call.from).is_some()) {
        let Some(caller) = facts.snapshot.cpu(call.from).and_then(|cpu| facts.snapshot.current(cpu)) else { continue };
        let why = "spins until that CPU has run its call";
        let deaf = Node::Cpu { cpu: call.to };
        let waits = Edge::new(Node::task(caller), EdgeKind::WaitsForIpi, deaf, why).shown_by([evidence(call)]);
        edges.push(waits);
        edges.extend(wait_edges::runs(facts, reader, call.to));
    }
    edges
}
