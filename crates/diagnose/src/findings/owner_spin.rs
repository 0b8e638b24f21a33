//! A mutex or semaphore whose owner runs and does not give it back, and the CPUs that spin until it does.
//!
//! Control: a CPU that is caught so is ordinary. Where it is [stuck](crate::stuck) it may have been so all the time, or have come
//! back again and again: a watchdog's thread would have ended the spin, so that there is none that tells, and it is possible only.
//! Where the owner is stuck, that is the finding, and those who spin are its victims.

use std::collections::BTreeMap;

use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::clock::patience_ns;
use crate::describe::{self, lock as lock_text, on_cpu};
use crate::evidence::read_from;
use crate::graph::{Edge, EdgeKind, Node};
use crate::queue::Queue;
use crate::stuck::{stuck, user_evidence};
use crate::text::seconds;
use crate::wait_edges::{lock_kind, task};
use crate::{Confidence, Evidence, Facts, Finding, Issue, OwnerSpin, OwnerSpinTie, Reader};

/// One finding for each lock.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut found = Found::default();
    for spins in by_lock(facts).values() {
        let is_stuck = spins.iter().any(|spin| stuck(facts, spin.cpu).is_some());
        let owner_is_stuck =
            || spins.first().and_then(|spin| owner_cpu(facts, spin)).is_some_and(|cpu| stuck(facts, cpu).is_some());
        if is_stuck || owner_is_stuck() {
            found.edges.extend(spins.iter().flat_map(|spin| edges(facts, spin)));
        }
        found.findings.extend(is_stuck.then(|| finding(facts, reader, spins)).flatten());
    }
    found
}

/// The CPUs that surely spin for such a lock for too long.
pub(super) fn stuck_cpus(facts: &Facts<'_>) -> Vec<u32> {
    let cpus = facts.state.owner_spins.iter().map(|spin| spin.cpu);
    cpus.filter(|cpu| stuck(facts, *cpu) == Some(Confidence::Confirmed)).collect()
}

/// The spinners of each lock.
fn by_lock<'f>(facts: &'f Facts<'_>) -> BTreeMap<VirtAddr, Vec<&'f OwnerSpin>> {
    let mut locks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for spin in &facts.state.owner_spins {
        locks.entry(spin.lock).or_default().push(spin);
    }
    locks
}

fn owner_cpu(facts: &Facts<'_>, spin: &OwnerSpin) -> Option<u32> {
    Some(facts.snapshot.cpu_running(facts.snapshot.task(spin.owner)?)?.cpu)
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, spins: &[&OwnerSpin]) -> Option<Finding> {
    let first = spins.first()?;
    let sleepers = facts.state.locks.iter().find(|lock| (lock.address, lock.kind) == (first.lock, first.kind));
    if sleepers.and_then(|lock| Queue::of(facts, lock)).is_some_and(|queue| queue.waited_ns >= patience_ns(facts)) {
        // Who sleeps for it says as much.
        return None;
    }
    let spinners = describe::few(spins.iter().map(|spin| on_cpu(facts, spin.cpu)), ", ");
    let longest = spins.iter().filter_map(|spin| facts.running_ns(facts.snapshot.cpu(spin.cpu)?)).max();
    let time = longest.map(|ns| format!(", for up to {}", seconds(ns))).unwrap_or_default();
    let doing = facts.snapshot.task(first.owner).map(|owner| describe::doing(facts, owner)).unwrap_or_default();
    let place = owner_cpu(facts, first).map(|cpu| describe::stuck_in(facts, cpu)).unwrap_or_default();
    let summary = format!(
        "{} is held by {}, which {doing}{place}; spinning for it until it is given back{time}: {spinners}",
        lock_text::name(first.kind, first.lock),
        describe::pid_at(facts, first.owner),
    );
    let mut evidence = vec![owner_evidence(facts, first)];
    evidence.extend(spins.iter().take(describe::MAX_NAMED).map(|spin| tie_evidence(facts, spin)));
    let cpus = spins.iter().take(describe::MAX_NAMED).filter_map(|spin| facts.snapshot.cpu(spin.cpu));
    evidence.extend(cpus.filter_map(|cpu| user_evidence(facts, reader, cpu)));
    let current = |spin: &&OwnerSpin| Some(facts.snapshot.current(facts.snapshot.cpu(spin.cpu)?)?.address);
    let tasks = std::iter::once(first.owner).chain(spins.iter().filter_map(current));
    Some(Finding::new(Issue::LockHeld, Confidence::Possible, summary, evidence).about(tasks))
}

/// Who has the lock.
fn owner_evidence(facts: &Facts<'_>, spin: &OwnerSpin) -> Evidence {
    let (source, word) = &spin.names_owner;
    read_from(source, *word, format!("held by {}", describe::pid_at(facts, spin.owner)))
}

/// That a CPU spins for it.
fn tie_evidence(facts: &Facts<'_>, spin: &OwnerSpin) -> Evidence {
    let who = on_cpu(facts, spin.cpu);
    let lock = lock_text::name(spin.kind, spin.lock);
    match &spin.tied {
        OwnerSpinTie::Register(register) => {
            let owner = describe::pid_at(facts, spin.owner);
            let meaning = format!("{who} keeps checking whether {owner} still holds {lock}");
            Evidence::new(format!("register {register}"), meaning).value(crate::Value::Hex(spin.lock.get()))
        }
        OwnerSpinTie::Behind(front, source, node) => {
            let meaning = format!("the node with which {who} waits behind CPU {front} in the queue of {lock}");
            read_from(source, node.get(), meaning)
        }
    }
}

/// The spinner to the lock, and the lock to who has it.
fn edges(facts: &Facts<'_>, spin: &OwnerSpin) -> Vec<Edge> {
    let spinner = facts.snapshot.cpu(spin.cpu).and_then(|cpu| facts.snapshot.current(cpu)).map(Node::task);
    let Some(spinner) = spinner else { return Vec::new() };
    let lock = Node::Lock { kind: lock_kind(spin.kind), address: spin.lock };
    let spins = Edge::new(spinner, EdgeKind::SpinsOn, lock.clone(), "spins until its owner gives it back");
    let owned = Edge::new(lock, EdgeKind::OwnedBy, task(facts, spin.owner), "has it, and runs");
    vec![spins.shown_by([tie_evidence(facts, spin)]), owned.shown_by([owner_evidence(facts, spin)])]
}
