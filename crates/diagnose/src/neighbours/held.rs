//! A lock that others have been waiting for too long: who has it, what that task does instead of giving it back, and
//! where a chain of such locks ends.
//!
//! Control: waits shorter than the kernel's own limit for hung tasks are ordinary contention.

use vmcore_kernel::{Lock, Owner, Task};
use vmcore_memory::VirtAddr;

use super::clock::{off_cpu_evidence, off_cpu_ns, patience_ns};
use super::deadlock::{For, circles, step};
use super::{Neighbour, lock_text};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Reader, Severity, issue};

/// Chains of owners are followed so far.
const MAX_CHAIN: usize = 64;

/// One finding for each lock that is held too long and is not part of a circle: first those at the ends of chains, of
/// these first those with most waiters.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Neighbour> {
    let circles = circles(facts);
    let in_circles = circles.iter().flatten().filter_map(|step| match step.waits_for {
        For::Lock(_, lock) => Some((lock.address, lock.kind)),
        For::Work(_) => None,
    });
    let in_circles: Vec<_> = in_circles.collect();
    let locks = facts.state.locks.iter().filter(|lock| !in_circles.contains(&(lock.address, lock.kind)));
    let mut held: Vec<_> = locks.filter_map(|lock| Some((lock, longest_wait(facts, lock)?))).collect();
    held.retain(|(_, (_, waited))| *waited >= patience_ns(facts));
    let owner_waits_too = |lock: &Lock| owner_task(&lock.owner).is_some_and(|owner| step(facts, owner).is_some());
    held.sort_by_key(|(lock, _)| (owner_waits_too(lock), std::cmp::Reverse(lock.waiters.len()), lock.address));
    held.into_iter().map(|(lock, (task, waited))| finding(facts, reader, lock, task, waited)).collect()
}

/// The waiter that has not run for longest.
fn longest_wait<'f>(facts: &'f Facts<'_>, lock: &Lock) -> Option<(&'f Task, u64)> {
    let waits = lock.waiters.iter().filter_map(|waiter| {
        let task = facts.snapshot.task(waiter.task)?;
        Some((task, off_cpu_ns(facts, task)?))
    });
    waits.max_by_key(|(task, waited)| (*waited, std::cmp::Reverse(task.pid)))
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, lock: &Lock, longest: &Task, waited: u64) -> Neighbour {
    let waiters: Vec<_> = lock.waiters.iter().filter_map(|waiter| facts.snapshot.task(waiter.task)).collect();
    let owner = owner_task(&lock.owner).and_then(|owner| facts.snapshot.task(owner));
    let doing = owner.map(|owner| format!(", which {}", lock_text::doing(facts, owner))).unwrap_or_default();
    let end = owner_task(&lock.owner)
        .and_then(|owner| chain_end(facts, owner))
        .map(|end| format!("; at the end of the chain, {end}"))
        .unwrap_or_default();
    let mut evidence = lock_text::lock_evidence(facts, reader, lock);
    let waits = facts.state.lock_waits.iter().filter(|wait| wait.lock == lock.address && wait.kind == lock.kind);
    evidence.extend(waits.take(lock_text::MAX_NAMED).map(|wait| lock_text::wait_evidence(facts, reader, wait)));
    evidence.extend(off_cpu_evidence(facts, reader, longest));
    let finding = Finding {
        id: issue::LOCK_HELD,
        severity: Severity::Critical,
        summary: format!(
            "{} is {}{doing}{end}; waiting for it, for up to {}: {}",
            lock_text::lock(lock.kind, lock.address),
            lock_text::owner(facts, &lock.owner),
            seconds(waited),
            lock_text::pids(waiters),
        ),
        evidence,
    };
    let confidence = match lock.owner {
        Owner::Task(_) => Confidence::Confirmed,
        Owner::Readers { .. } | Owner::Nobody | Owner::Unknown(_) => Confidence::Probable,
    };
    (confidence, finding)
}

fn owner_task(owner: &Owner) -> Option<VirtAddr> {
    match owner {
        Owner::Task(task) => Some(*task),
        Owner::Readers { last, .. } => *last,
        Owner::Nobody | Owner::Unknown(_) => None,
    }
}

/// Where the chain of who has what the task before waits for ends, if it has more than this link: the task that everybody
/// waits for, and what it does.
pub(crate) fn chain_end(facts: &Facts<'_>, first: VirtAddr) -> Option<String> {
    let next = |task: VirtAddr| step(facts, task).map(|step| step.owner);
    let mut last = next(first)?;
    for _ in 0..MAX_CHAIN {
        let Some(further) = next(last).filter(|further| *further != first) else { break };
        last = further;
    }
    let task = facts.snapshot.task(last).filter(|_| last != first)?;
    Some(format!("{} {}", lock_text::pid(task), lock_text::doing(facts, task)))
}
