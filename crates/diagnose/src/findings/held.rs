//! A lock that others have been waiting for too long: who has it, what that task does instead of giving it back, and
//! where a chain of such locks ends.
//!
//! Control: waits shorter than the kernel's own limit for hung tasks are ordinary contention.

use std::collections::{HashMap, HashSet};

use vmcore_kernel::{Lock, LockWait, Owner, Task};
use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::chain::{For, chain_end, circles, last_reader, step};
use crate::clock::{as_the_watchdog, off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::describe::{self, lock as lock_text};
use crate::graph::{Edge, EdgeKind, LockKind, Node};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Reader, derived, wait_edges};

/// One finding for each lock that is held too long and is not part of a circle: first those at the ends of chains, of
/// these first those with most waiters.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let waits = context.facts.state.lock_waits.iter().filter(|wait| context.lasts(wait.task));
    Found {
        findings: findings(context.facts, context.reader),
        edges: waits.flat_map(|wait| edges(context.facts, context.reader, wait)).collect(),
    }
}

fn findings(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Finding> {
    let circles = circles(facts);
    let in_circles = circles.iter().flatten().filter_map(|step| match step.waits_for {
        For::Lock(_, lock) => Some((lock.address, lock.kind)),
        For::Work(_) => None,
    });
    let in_circles: HashSet<_> = in_circles.collect();
    let locks = facts.state.locks.iter().filter(|lock| !in_circles.contains(&(lock.address, lock.kind)));
    let mut held: Vec<_> = locks.filter_map(|lock| Some((lock, longest_wait(facts, lock)?))).collect();
    held.retain(|(_, (_, waited))| *waited >= patience_ns(facts));
    let owner_waits_too = |lock: &Lock| owner_task(&lock.owner).is_some_and(|owner| step(facts, owner).is_some());
    held.sort_by_key(|(lock, _)| (owner_waits_too(lock), std::cmp::Reverse(lock.waiters.len()), lock.address));
    let mut waits: HashMap<_, Vec<&LockWait>> = HashMap::new();
    for wait in &facts.state.lock_waits {
        waits.entry((wait.lock, wait.kind)).or_default().push(wait);
    }
    let waits = |lock: &Lock| waits.get(&(lock.address, lock.kind)).map(Vec::as_slice).unwrap_or_default();
    held.into_iter().map(|(lock, longest)| finding(facts, reader, lock, waits(lock), longest)).collect()
}

/// The waiter that has not run for longest.
fn longest_wait<'f>(facts: &'f Facts<'_>, lock: &Lock) -> Option<(&'f Task, u64)> {
    let waits = lock.waiters.iter().filter_map(|waiter| {
        let task = facts.snapshot.task(waiter.task)?;
        Some((task, off_cpu_ns(facts, task)?))
    });
    waits.max_by_key(|(task, waited)| (*waited, std::cmp::Reverse(task.pid)))
}

fn finding(
    facts: &Facts<'_>,
    reader: &dyn Reader,
    lock: &Lock,
    waits: &[&LockWait],
    (longest, waited): (&Task, u64),
) -> Finding {
    let waiters: Vec<_> = lock.waiters.iter().filter_map(|waiter| facts.snapshot.task(waiter.task)).collect();
    let owner = owner_task(&lock.owner).and_then(|owner| facts.snapshot.task(owner));
    let doing = owner.map(|owner| format!(", which {}", describe::doing(facts, owner))).unwrap_or_default();
    let end = owner_task(&lock.owner)
        .and_then(|owner| chain_end(facts, owner))
        .map(|end| format!("; at the end of the chain, {end}"))
        .unwrap_or_default();
    let mut evidence = lock_text::lock_evidence(facts, reader, lock);
    evidence.extend(waits.iter().take(describe::MAX_NAMED).map(|wait| lock_text::wait_evidence(facts, reader, wait)));
    evidence.extend(off_cpu_evidence(facts, reader, longest));
    let summary = format!(
        "{} is {}{doing}{end}; waiting for it, for up to {}: {}",
        lock_text::name(lock.kind, lock.address),
        lock_text::owner(facts, &lock.owner),
        seconds(waited),
        describe::pids(waiters.iter().copied()),
    );
    let confidence = match lock.owner {
        Owner::Task(_) => Confidence::Confirmed,
        Owner::Readers { .. } | Owner::Nobody | Owner::Unknown(_) => Confidence::Probable,
    };
    let tasks = owner_task(&lock.owner).into_iter().chain(waiters.iter().map(|task| task.address));
    Finding::new(Issue::LockHeld, as_the_watchdog(facts, waited, confidence), summary, evidence).about(tasks)
}

fn owner_task(owner: &Owner) -> Option<VirtAddr> {
    match owner {
        Owner::Task(task) => Some(*task),
        Owner::Readers { last, .. } => *last,
        Owner::Nobody | Owner::Unknown(_) => None,
    }
}

/// The waiter to the lock, and the lock to who has it.
fn edges(facts: &Facts<'_>, reader: &dyn Reader, wait: &LockWait) -> Vec<Edge> {
    let lock = Node::Lock { kind: kind(wait.kind), address: wait.lock };
    let why = if wait.shared { "sleeps until it may read" } else { "sleeps until it gets it" };
    let shown = lock_text::wait_evidence(facts, reader, wait);
    let waits = Edge::new(wait_edges::task(facts, wait.task), EdgeKind::SleepsOn, lock.clone(), why).shown_by([shown]);
    let owner = derived::lock(facts, wait).map(|state| owned(facts, reader, lock, state));
    std::iter::once(waits).chain(owner).collect()
}

fn owned(facts: &Facts<'_>, reader: &dyn Reader, lock: Node, state: &Lock) -> Edge {
    let shown = lock_text::lock_evidence(facts, reader, state);
    let unknown = |why: &str| Node::unknown(format!("owner of {lock}"), why);
    let (kind, to, why) = match &state.owner {
        Owner::Task(owner) => (EdgeKind::OwnedBy, wait_edges::task(facts, *owner), "has it"),
        Owner::Readers { last, .. } => match last_reader(facts, state.address, *last) {
            Some(last) => (EdgeKind::ReadBy, wait_edges::task(facts, last), "is the reader that came last"),
            None => (EdgeKind::ReadBy, unknown("readers are not recorded"), "readers have it"),
        },
        Owner::Nobody => (EdgeKind::OwnedBy, unknown("nobody has it at this moment"), "is to be given to a waiter"),
        Owner::Unknown(why) => (EdgeKind::OwnedBy, unknown(why), "somebody has it"),
    };
    Edge::new(lock.clone(), kind, to, why).shown_by(shown)
}

fn kind(kind: vmcore_kernel::LockKind) -> LockKind {
    match kind {
        vmcore_kernel::LockKind::Mutex => LockKind::Mutex,
        vmcore_kernel::LockKind::RwSemaphore => LockKind::RwSemaphore,
        vmcore_kernel::LockKind::Semaphore => LockKind::Semaphore,
        vmcore_kernel::LockKind::RtMutex => LockKind::RtMutex,
    }
}
