//! Sleepers in a circle: each waits for a lock that the next one has.
//!
//! No time has to pass for that: a circle of exclusive locks never opens by itself. Where a lock of the circle is held by
//! readers, the kernel only remembers the last that came, so the circle is probable, not proven.
//!
//! Control: a chain of any length that ends at a task that is not waiting for a lock is no circle.

use std::collections::{HashMap, HashSet};

use vmcore_kernel::{Lock, LockWait, Owner};
use vmcore_memory::VirtAddr;

use super::{Neighbour, lock_text};
use crate::{Confidence, Facts, Finding, Reader, Severity, issue};

/// A task, the lock it waits for, and who has that.
pub(crate) struct Step<'f> {
    pub(crate) wait: &'f LockWait,
    pub(crate) lock: &'f Lock,
    pub(crate) owner: VirtAddr,
    /// The owner is only the reader that came last.
    pub(crate) by_hint: bool,
}

/// One finding for each circle.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Neighbour> {
    circles(facts).iter().map(|circle| finding(facts, reader, circle)).collect()
}

/// All circles, each beginning with the task of the lowest pid, ordered by that.
pub(crate) fn circles<'f>(facts: &'f Facts<'_>) -> Vec<Vec<Step<'f>>> {
    let steps: HashMap<VirtAddr, Step<'f>> =
        facts.state.lock_waits.iter().filter_map(|wait| Some((wait.task, step(facts, wait)?))).collect();
    let mut circles = Vec::new();
    let mut done = HashSet::new();
    // In the order of the waits, so that the answer does not depend on a hash.
    for wait in &facts.state.lock_waits {
        let mut path = Vec::new();
        let mut at = wait.task;
        while let Some(step) = steps.get(&at).filter(|_| done.insert(at)) {
            path.push(at);
            at = step.owner;
        }
        if let Some(begin) = path.iter().position(|task| *task == at) {
            circles.push(path.split_off(begin));
        }
    }
    let pid = |task: &VirtAddr| facts.snapshot.task(*task).map_or(i32::MAX, |task| task.pid);
    for circle in &mut circles {
        let first = (0..circle.len()).min_by_key(|&at| circle.get(at).map(pid)).unwrap_or_default();
        circle.rotate_left(first);
    }
    circles.sort_by_key(|circle| circle.first().map(pid));
    let step_at = |task: VirtAddr| facts.state.wait_of(task).and_then(|wait| step(facts, wait));
    circles.into_iter().map(|circle| circle.into_iter().filter_map(step_at).collect()).collect()
}

/// From a waiter to who has its lock, where that is known.
fn step<'f>(facts: &'f Facts<'_>, wait: &'f LockWait) -> Option<Step<'f>> {
    let lock = facts.state.lock_of(wait)?;
    let (owner, by_hint) = match &lock.owner {
        Owner::Task(task) => (*task, false),
        Owner::Readers { last: Some(last), .. } => (*last, true),
        Owner::Readers { last: None, .. } | Owner::Nobody | Owner::Unknown(_) => return None,
    };
    Some(Step { wait, lock, owner, by_hint })
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, circle: &[Step<'_>]) -> Neighbour {
    let part = |step: &Step<'_>| {
        let waiter = lock_text::pid_at(facts, step.wait.task);
        let lock = lock_text::lock(step.wait.kind, step.wait.lock);
        format!("{waiter} waits for {lock}, held by {}", lock_text::pid_at(facts, step.owner))
    };
    let parts: Vec<_> = circle.iter().take(lock_text::MAX_NAMED).map(part).collect();
    let who = match circle.len() {
        1 => "1 task waits for a lock that it has itself".to_owned(),
        count => format!("{count} tasks wait for each other's locks"),
    };
    let mut evidence = Vec::new();
    for step in circle {
        evidence.push(lock_text::wait_evidence(facts, reader, step.wait));
        evidence.extend(lock_text::lock_evidence(facts, reader, step.lock));
    }
    let by_hint = circle.iter().any(|step| step.by_hint);
    let doubt = if by_hint { " (of readers, the kernel only knows which came last)" } else { "" };
    let finding = Finding {
        id: issue::DEADLOCK,
        severity: Severity::Critical,
        summary: format!("deadlock: {who}, for ever: {}{doubt}", parts.join("; ")),
        evidence,
    };
    (if by_hint { Confidence::Probable } else { Confidence::Confirmed }, finding)
}
