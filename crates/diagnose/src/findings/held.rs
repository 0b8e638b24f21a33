//! A lock that others have been waiting for too long: who has it, what that task does instead of giving it back, and
//! where a chain of such locks ends.
//!
//! Control: waits shorter than the kernel's own limit for hung tasks are ordinary contention, and such as any signal ends may
//! last.

use std::collections::{HashMap, HashSet};

use vmcore_kernel::{Lock, LockKind, LockWait, Owner};
use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::chain::{Step, chain_end, circles, last_reader, lasts, step};
use crate::clock::{as_the_watchdog, off_cpu_evidence, patience_ns};
use crate::describe::{self, lock as lock_text};
use crate::graph::{Edge, EdgeKind, Node};
use crate::names::is_hidden;
use crate::queue::Queue;
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Reader, derived, wait_edges};

/// One finding for each lock that is held too long and is not part of a circle: first those at the ends of chains, of
/// these first those with most waiters.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let (circles, broken): (Vec<_>, Vec<_>) = circles(facts).into_iter().partition(|circle| lasts(facts, circle));
    let doubted: HashSet<_> = broken.iter().flatten().filter(|step| step.by_hint).filter_map(Step::lock).collect();
    let counts = behind_hangs(context, &circles);
    let waits = facts.state.lock_waits.iter().filter(|wait| counts.contains(&wait.task));
    Found {
        findings: findings(facts, reader, &circles),
        edges: waits.flat_map(|wait| edges(facts, reader, wait, &doubted)).collect(),
    }
}

/// The tasks whose waits are part of a hang: those in circles that are proven, and those that sleep uninterruptibly for longer
/// than a queue that moves takes, with all that they wait for over others, however those sleep.
fn behind_hangs(context: &Context<'_>, circles: &[Vec<Step<'_>>]) -> HashSet<VirtAddr> {
    let facts = context.facts;
    let proven = circles.iter().filter(|circle| !circle.iter().any(|step| step.by_hint));
    let mut all: HashSet<_> = proven.flatten().map(|step| step.task).collect();
    let is_blocked =
        |task: &VirtAddr| facts.snapshot.task(*task).is_some_and(vmcore_kernel::Task::sleeps_uninterruptibly);
    let blocked = facts.state.lock_waits.iter().map(|wait| wait.task).filter(is_blocked);
    for first in blocked.filter(|task| context.lasts(*task)) {
        let mut next = Some(first);
        while let Some(task) = next.filter(|task| context.lasts(*task) && all.insert(*task)) {
            next = step(facts, task).map(|step| step.owner);
        }
    }
    all
}

fn findings(facts: &Facts<'_>, reader: &dyn Reader, circles: &[Vec<Step<'_>>]) -> Vec<Finding> {
    let in_circles: HashSet<_> = circles.iter().flatten().filter_map(Step::lock).collect();
    let locks = facts.state.locks.iter().filter(|lock| !in_circles.contains(&(lock.address, lock.kind)));
    let held = locks.filter_map(|lock| Some((lock, Queue::of(facts, lock)?)));
    let mut held: Vec<_> = held.filter(|(_, queue)| queue.waited_ns >= patience_ns(facts)).collect();
    let owner_waits_too = |lock: &Lock| owner_task(&lock.owner).is_some_and(|owner| step(facts, owner).is_some());
    held.sort_by_key(|(lock, _)| (owner_waits_too(lock), std::cmp::Reverse(lock.waiters.len()), lock.address));
    let mut waits: HashMap<_, Vec<&LockWait>> = HashMap::new();
    for wait in &facts.state.lock_waits {
        waits.entry((wait.lock, wait.kind)).or_default().push(wait);
    }
    let waits = |lock: &Lock| waits.get(&(lock.address, lock.kind)).map(Vec::as_slice).unwrap_or_default();
    held.into_iter().map(|(lock, queue)| finding(facts, reader, lock, waits(lock), &queue)).collect()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, lock: &Lock, waits: &[&LockWait], queue: &Queue<'_>) -> Finding {
    let owner = owner_task(&lock.owner).and_then(|owner| facts.snapshot.task(owner));
    let doing = owner.map(|owner| format!(", which {}", describe::doing(facts, owner))).unwrap_or_default();
    let end = owner_task(&lock.owner)
        .and_then(|owner| chain_end(facts, owner))
        .map(|end| format!("; at the end of the chain, {end}"))
        .unwrap_or_default();
    let mut evidence = lock_text::lock_evidence(facts, reader, lock);
    evidence.extend(waits.iter().take(describe::MAX_NAMED).map(|wait| lock_text::wait_evidence(facts, reader, wait)));
    evidence.extend(off_cpu_evidence(facts, reader, queue.longest));
    let summary = format!(
        "{} is {}{doing}{end}; waiting for it, for up to {}: {}",
        lock_text::name(lock.kind, lock.address),
        lock_text::owner(facts, &lock.owner),
        seconds(queue.waited_ns),
        queue.names(),
    );
    let confidence = match lock.owner {
        // It may wait for one of those who wait for it.
        Owner::Task(owner) if facts.stack_of(owner).is_some_and(is_hidden) => Confidence::Probable,
        Owner::Task(_) => Confidence::Confirmed,
        Owner::Readers { .. } | Owner::Nobody | Owner::Unknown(_) => Confidence::Probable,
    };
    let tasks = owner_task(&lock.owner).into_iter().chain(queue.tasks().map(|task| task.address));
    Finding::new(Issue::LockHeld, as_the_watchdog(facts, queue.waited_ns, confidence), summary, evidence).about(tasks)
}

fn owner_task(owner: &Owner) -> Option<VirtAddr> {
    match owner {
        Owner::Task(task) => Some(*task),
        Owner::Readers { last, .. } => *last,
        Owner::Nobody | Owner::Unknown(_) => None,
    }
}

/// The waiter to the lock, and the lock to who has it.
/// `doubted` are locks of which the reader that came last is not who has them.
fn edges(
    facts: &Facts<'_>,
    reader: &dyn Reader,
    wait: &LockWait,
    doubted: &HashSet<(VirtAddr, LockKind)>,
) -> Vec<Edge> {
    let lock = Node::Lock { kind: wait_edges::lock_kind(wait.kind), address: wait.lock };
    let why = if wait.shared { "sleeps waiting to read" } else { "sleeps waiting for it" };
    let shown = lock_text::wait_evidence(facts, reader, wait);
    let waits = Edge::new(wait_edges::task(facts, wait.task), EdgeKind::SleepsOn, lock.clone(), why).shown_by([shown]);
    let owner = derived::lock(facts, wait)
        .map(|state| owned(facts, reader, lock, state, doubted.contains(&(wait.lock, wait.kind))));
    std::iter::once(waits).chain(owner).collect()
}

fn owned(facts: &Facts<'_>, reader: &dyn Reader, lock: Node, state: &Lock, is_doubted: bool) -> Edge {
    let shown = lock_text::lock_evidence(facts, reader, state);
    let unknown = |why: &str| Node::unknown(format!("owner of {lock}"), why);
    let (kind, to, why) = match &state.owner {
        Owner::Task(owner) => (EdgeKind::OwnedBy, wait_edges::task(facts, *owner), "holds it"),
        Owner::Readers { last, .. } => match last_reader(facts, state.address, *last).filter(|_| !is_doubted) {
            Some(last) => (EdgeKind::ReadBy, wait_edges::task(facts, last), "is the reader that came last"),
            None => (EdgeKind::ReadBy, unknown("readers are not recorded"), "readers hold it"),
        },
        Owner::Nobody => (EdgeKind::OwnedBy, unknown("nobody holds it at this moment"), "is to be given to a waiter"),
        Owner::Unknown(why) => (EdgeKind::OwnedBy, unknown(why), "somebody holds it"),
    };
    Edge::new(lock.clone(), kind, to, why).shown_by(shown)
}
