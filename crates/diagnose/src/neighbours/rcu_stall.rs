//! An RCU grace period that does not end, and the CPU or task that holds it up.
//!
//! The log says that there is a stall; the kernel's own state says which CPUs the grace period still waits for, and their
//! stacks what they do instead of passing a quiescent state; and which tasks lost their CPU within a read-side section.
//!
//! Control: a grace period that is going on is ordinary. Without a warning in the log only one that is older than the
//! kernel's own patience (21 s by default) counts.

use vmcore_kernel::{GraceHoldout, GracePeriod, GraceReader, StackFrame};

use super::spinlock::on_cpu;
use super::{Neighbour, lock_text, stuck_in, watchdog};
use crate::evidence::member;
use crate::graph::{Edge, EdgeKind, Node};
use crate::names::base_name;
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Place, Reader, Severity, Value, issue};

/// `RCU_STALL_DELAY` by default, and then some.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Functions that sleep until a grace period has ended.
const WAITING: [&str; 4] = ["__wait_rcu_gp", "synchronize_rcu", "synchronize_rcu_normal", "synchronize_sched"];

/// The stall, if there is one.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Option<Neighbour> {
    let said = watchdog::stall(facts);
    let period = facts.state.grace_period.as_ref();
    let age = period.filter(|period| period.running).and_then(|period| period.age_ns);
    let is_old = age.is_some_and(|age| age >= PATIENCE_NS);
    let holdouts: Vec<u32> = period.map(|period| period.cpus.iter().map(|held| held.cpu).collect()).unwrap_or_default();
    let readers: Vec<_> = period.iter().flat_map(|period| &period.readers).collect();
    let named = watchdog::stalled_cpus(facts);
    // A warning about a grace period that has ended since is no stall any more.
    let same_cpus = named.is_empty() || named.iter().any(|cpu| holdouts.contains(cpu));
    let lasts = !readers.is_empty() || !holdouts.is_empty() && same_cpus;
    if said.is_none() && (!is_old || holdouts.is_empty() && readers.is_empty()) {
        return None;
    }
    let (confidence, severity) = match (said.is_some(), lasts) {
        (true, true) => (Confidence::Confirmed, Severity::Critical),
        (false, true) => (Confidence::Probable, Severity::Critical),
        (_, false) if period.is_some() => (Confidence::None, Severity::Warning),
        (_, false) => (Confidence::Probable, Severity::Critical),
    };
    let cpus = if holdouts.is_empty() && readers.is_empty() { &named } else { &holdouts };
    let cpus = cpus.iter().map(|&cpu| format!("{}{}", on_cpu(facts, cpu), stuck_in(facts, cpu)));
    let readers = readers.iter().take(lock_text::MAX_NAMED);
    let who: Vec<_> = cpus.chain(readers.map(|reader| reader_text(facts, reader))).collect();
    let who = if who.is_empty() { "nobody that could be told".to_owned() } else { who.join(", ") };
    let age = age.map(|age| format!(" for {}", seconds(age))).unwrap_or_default();
    let over = if confidence == Confidence::None { "; it had ended when the machine stopped" } else { "" };
    let summary = format!("an RCU grace period has not ended{age}: it waits for {who}{over}");
    let running = period.filter(|period| period.running);
    let mut evidence = running.map(|period| state(facts, reader, period)).unwrap_or_default();
    evidence.extend(said.map(|(_, line)| {
        Evidence::new("kernel log", format!("logged {} after boot", seconds(line.timestamp_ns)))
            .value(Value::Text(line.text.clone()))
    }));
    Some((confidence, Finding { id: issue::RCU_STALL, severity, summary, evidence }))
}

/// `pid 12 "name", which lost its CPU within a read-side section and …`.
fn reader_text(facts: &Facts<'_>, reader: &GraceReader) -> String {
    let who = lock_text::pid_at(facts, reader.task);
    let does = facts.snapshot.task(reader.task).map(|task| format!(" and {}", lock_text::doing(facts, task)));
    format!("{who}, which lost its CPU within a read-side section{}", does.unwrap_or_default())
}

/// Who waits for the grace period, and what holds it up.
pub(crate) fn edges(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Edge> {
    let Some(period) = facts.state.grace_period.as_ref().filter(|period| period.running) else { return Vec::new() };
    if watchdog::stall(facts).is_none() && period.age_ns.is_none_or(|age| age < PATIENCE_NS) {
        return Vec::new();
    }
    let node = Node::GracePeriod { flavor: period.name.clone().unwrap_or_else(|| "rcu".to_owned()) };
    let mut edges = Vec::new();
    for held in &period.cpus {
        let why = "has passed no quiescent state";
        let cpu = Node::Cpu { cpu: held.cpu };
        edges.push(Edge::new(node.clone(), EdgeKind::HeldUpBy, cpu, why).shown_by([holdout(reader, held)]));
        edges.extend(super::edges::runs(facts, reader, held.cpu));
    }
    for reader in &period.readers {
        let why = "lost its CPU within a read-side section and has not left it";
        let task = super::edges::task(facts, reader.task);
        edges.push(Edge::new(node.clone(), EdgeKind::HeldUpBy, task, why).shown_by([reader_evidence(facts, reader)]));
    }
    if edges.is_empty() {
        let unknown = Node::unknown(format!("who holds up the {node}"), "no CPU and no task of its nodes is named");
        let edge = Edge::new(node.clone(), EdgeKind::HeldUpBy, unknown, "has not ended");
        edges.push(edge.shown_by([sequence(reader, period)]));
    }
    for stack in &facts.blocked {
        let waits = |frame: &&StackFrame| frame.function().is_some_and(|name| WAITING.contains(&base_name(name)));
        let (Some(task), Some(frame)) = (facts.task(stack), stack.frames.iter().find(waits)) else { continue };
        let function = frame.function().unwrap_or_default();
        let shown = Evidence::new("return address", format!("{function} is on the stack of pid {}", task.pid))
            .at(Place::Kernel(frame.sp.wrapping_sub(8)))
            .value(Value::Hex(frame.pc.get()));
        let edge =
            Edge::new(Node::task(task), EdgeKind::WaitsForGracePeriod, node.clone(), "sleeps until it has ended");
        edges.push(edge.shown_by([shown]));
    }
    edges
}

fn reader_evidence(facts: &Facts<'_>, reader: &GraceReader) -> Evidence {
    let who = lock_text::pid_at(facts, reader.task);
    let meaning = format!("leads to the rcu_node_entry of {who}, which the grace period waits for");
    Evidence::new("rcu_node.gp_tasks", meaning).at(Place::Kernel(reader.named_at)).value(Value::Hex(reader.entry.get()))
}

fn holdout(reader: &dyn Reader, held: &GraceHoldout) -> Evidence {
    let meaning = format!("the bit of CPU {} is set: it has passed no quiescent state", held.cpu);
    member(reader, held.node, ("rcu_node", "qsmask"), Value::Hex(held.qsmask), meaning)
}

fn sequence(reader: &dyn Reader, period: &GracePeriod) -> Evidence {
    let name = period.name.as_deref().unwrap_or("rcu");
    let going = format!("a grace period of {name} is going on");
    member(reader, period.state, ("rcu_state", "gp_seq"), Value::Hex(period.seq), going)
}

fn state(facts: &Facts<'_>, reader: &dyn Reader, period: &GracePeriod) -> Vec<Evidence> {
    let cpus = period.cpus.iter().map(|held| holdout(reader, held));
    let tasks = period.readers.iter().take(lock_text::MAX_NAMED).map(|held| reader_evidence(facts, held));
    std::iter::once(sequence(reader, period)).chain(cpus).chain(tasks).collect()
}
