//! A spin lock that is not given back, and the CPUs that spin for it.
//!
//! That a CPU is caught spinning is ordinary. It is a finding only where one of these CPUs is [stuck](crate::stuck).
//!
//! Control: contention that no watchdog complained of.

use std::collections::BTreeMap;

use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::describe::on_cpu;
use crate::evidence::member;
use crate::graph::{Edge, EdgeKind, LockKind, Node};
use crate::reports::reported_stuck;
use crate::stuck::{stuck, user_evidence};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Holder, HolderFound, Issue, Place, Reader, Spin, Value, describe};

/// One finding for each lock.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut found = Found::default();
    for (lock, spins) in &by_lock(facts) {
        let Some(surely) = any_stuck(facts, spins) else { continue };
        found.findings.push(finding(facts, reader, (*lock, spins), surely));
        found.edges.extend(spins.iter().flat_map(|spin| edges(facts, reader, spin)));
    }
    found
}

/// The CPUs that surely spin for a lock for too long.
pub(super) fn stuck_cpus(facts: &Facts<'_>) -> Vec<u32> {
    let is_stuck = |spins: &Vec<&Spin>| any_stuck(facts, spins) == Some(Confidence::Confirmed);
    by_lock(facts).into_values().filter(is_stuck).flatten().map(|spin| spin.cpu).collect()
}

/// How sure it is that one of those who spin for a lock, or who has it, is stuck.
fn any_stuck(facts: &Facts<'_>, spins: &[&Spin]) -> Option<Confidence> {
    let mut holders = spins.iter().flat_map(|spin| &spin.holders);
    if holders.any(|holder| reported_stuck(facts, holder.cpu)) {
        return Some(Confidence::Confirmed);
    }
    spins.iter().filter_map(|spin| stuck(facts, spin.cpu)).max()
}

/// The spinners of each lock.
fn by_lock<'f>(facts: &'f Facts<'_>) -> BTreeMap<VirtAddr, Vec<&'f Spin>> {
    let mut locks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for spin in &facts.state.spins {
        locks.entry(spin.lock).or_default().push(spin);
    }
    locks
}

/// The CPU that has the lock, where only one can be meant.
fn holder<'f>(spins: &[&'f Spin]) -> Option<&'f Holder> {
    match spins.first()?.holders.as_slice() {
        [holder] => Some(holder),
        _ => None,
    }
}

fn finding(
    facts: &Facts<'_>,
    reader: &dyn Reader,
    (lock, spins): (VirtAddr, &[&Spin]),
    is_stuck: Confidence,
) -> Finding {
    let spinners: Vec<_> = spins.iter().take(describe::MAX_NAMED).map(|spin| on_cpu(facts, spin.cpu)).collect();
    let more = spins.len().saturating_sub(spinners.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let longest = spins.iter().filter_map(|spin| facts.running_ns(facts.snapshot.cpu(spin.cpu)?)).max();
    let time = longest.map(|ns| format!(", for up to {}", seconds(ns))).unwrap_or_default();
    let mut evidence: Vec<_> =
        spins.iter().take(describe::MAX_NAMED).flat_map(|spin| spin_evidence(facts, reader, spin)).collect();
    let holder_text = match holder(spins) {
        Some(holder) => {
            evidence.push(holder_evidence(facts, reader, holder, lock));
            let surely = if holder.found == HolderFound::Recorded { "has it" } else { "seems to have it" };
            format!("{} {surely}{}", on_cpu(facts, holder.cpu), describe::stuck_in(facts, holder.cpu))
        }
        None => "who has it is not known: a spin lock does not record it".to_owned(),
    };
    let spin = if spins.len() == 1 { "spins" } else { "spin" };
    let summary =
        format!("spin lock {lock} is not released: {}{more} {spin} for it{time}; {holder_text}", spinners.join(", "));
    let recorded = holder(spins).is_some_and(|holder| holder.found == HolderFound::Recorded);
    let confidence = if recorded { Confidence::Confirmed } else { Confidence::Probable }.min(is_stuck);
    if confidence == Confidence::Possible {
        let cpus = spins.iter().take(describe::MAX_NAMED).filter_map(|spin| facts.snapshot.cpu(spin.cpu));
        evidence.extend(cpus.filter_map(|cpu| user_evidence(facts, reader, cpu)));
    }
    let cpus = holder(spins).map(|holder| holder.cpu).into_iter().chain(spins.iter().map(|spin| spin.cpu));
    let tasks = cpus.filter_map(|cpu| Some(facts.snapshot.current(facts.snapshot.cpu(cpu)?)?.address));
    Finding::new(Issue::SpinlockHeld, confidence, summary, evidence).about(tasks)
}

/// What a CPU reads while it spins, and its place in the queue.
fn spin_evidence(facts: &Facts<'_>, reader: &dyn Reader, spin: &Spin) -> Vec<Evidence> {
    let Spin { cpu, lock, word, polled, node, behind, .. } = spin;
    let who = on_cpu(facts, *cpu);
    let tail = word.tail().map(|(cpu, _)| format!("; CPU {cpu} is the last in its queue")).unwrap_or_default();
    let pending = if word.is_pending() { "; one CPU waits in front of the queue" } else { "" };
    let mut evidence = Vec::new();
    if polled != lock {
        let front = behind.map(|cpu| format!(" behind CPU {cpu}")).unwrap_or_default();
        let meaning = format!("the node with which {who} waits in the lock's queue{front}");
        let next = node.map(|node| node.next.get()).unwrap_or_default();
        let at = node.map_or(*polled, |node| node.address);
        evidence.push(member(reader, at, ("mcs_spinlock", "next"), Value::Hex(next), meaning));
    }
    let meaning = format!("the lock's word, for which {who} spins: taken{pending}{tail}");
    evidence.push(member(reader, *lock, ("qspinlock", "val"), Value::Hex(word.0.into()), meaning));
    evidence
}

/// How it is known who has the lock.
fn holder_evidence(facts: &Facts<'_>, reader: &dyn Reader, holder: &Holder, lock: VirtAddr) -> Evidence {
    let who = on_cpu(facts, holder.cpu);
    let value = Value::Hex(lock.get());
    match holder.found {
        HolderFound::Recorded => {
            let task = facts.snapshot.cpu(holder.cpu).and_then(|cpu| facts.snapshot.current(cpu));
            let value = Value::Hex(task.map(|task| task.address.get()).unwrap_or_default());
            member(reader, lock, ("raw_spinlock", "owner"), value, format!("held by {who}"))
        }
        HolderFound::Register(name) => Evidence::new(
            format!("register {name}"),
            format!(
                "{who}, the only CPU that does not spin for it, has the lock's address at hand, as if to unlock it"
            ),
        )
        .value(value),
        HolderFound::OnStack(at) => Evidence::new(
            "stack word",
            format!("{who}, the only CPU that does not spin for it, has the lock's address on its stack"),
        )
        .at(Place::Kernel(at))
        .value(value),
    }
}

/// The spinner to the lock and to who is in front of it, and the lock to who has it.
fn edges(facts: &Facts<'_>, reader: &dyn Reader, spin: &Spin) -> Vec<Edge> {
    let on = |cpu: u32| facts.snapshot.cpu(cpu).and_then(|cpu| facts.snapshot.current(cpu)).map(Node::task);
    let Some(spinner) = on(spin.cpu) else { return Vec::new() };
    let lock = Node::Lock { kind: LockKind::Spinlock, address: spin.lock };
    let shown = spin_evidence(facts, reader, spin);
    let mut edges =
        vec![Edge::new(spinner.clone(), EdgeKind::SpinsOn, lock.clone(), "spins for it").shown_by(shown.clone())];
    if let Some(front) = spin.behind.and_then(on) {
        let why = "is behind it in the lock's queue";
        edges.push(Edge::new(spinner, EdgeKind::QueuedBehind, front, why).shown_by(shown.clone()));
    }
    let holder = match spin.holders.as_slice() {
        [holder] => on(holder.cpu).map(|node| (holder, node)),
        _ => None,
    };
    edges.push(match holder {
        Some((holder, node)) => {
            let surely = holder.found == HolderFound::Recorded;
            let why = if surely { "has it" } else { "seems to have it: only it has the lock's address at hand" };
            let shown: [Evidence; 1] = [holder_evidence(facts, reader, holder, spin.lock)];
            Edge::new(lock, EdgeKind::OwnedBy, node, why).shown_by(shown)
        }
        None => {
            let unknown = Node::unknown(format!("owner of {lock}"), "a spin lock does not record it");
            Edge::new(lock, EdgeKind::OwnedBy, unknown, "somebody has it").shown_by(shown)
        }
    });
    edges
}
