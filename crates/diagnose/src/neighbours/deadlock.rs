//! Sleepers in a circle: each waits for a lock that the next one has, or for a work that the next one does.
//!
//! No time has to pass for that: a circle of exclusive locks never opens by itself. Where a lock of the circle is held by
//! readers, the kernel only remembers the last that came, so the circle is probable, not proven.
//!
//! Control: a chain of any length that ends at a task that is not waiting for a lock or work is no circle.

use std::collections::{HashMap, HashSet};

use vmcore_kernel::{Lock, LockWait, Owner, WorkWait};
use vmcore_memory::VirtAddr;

use super::{Neighbour, lock_text, work};
use crate::{Confidence, Evidence, Facts, Finding, Reader, Severity, issue};

/// What a task of a circle waits for.
pub(crate) enum For<'f> {
    Lock(&'f LockWait, &'f Lock),
    Work(&'f WorkWait),
}

/// A task, what it waits for, and who has that.
pub(crate) struct Step<'f> {
    pub(crate) task: VirtAddr,
    pub(crate) waits_for: For<'f>,
    pub(crate) owner: VirtAddr,
    /// The owner is only the reader that came last.
    by_hint: bool,
}

impl Step<'_> {
    /// `mutex 0xffff…, held by pid 12 "name"`.
    fn clause(&self, facts: &Facts<'_>) -> String {
        let owner = lock_text::pid_at(facts, self.owner);
        match &self.waits_for {
            For::Lock(wait, _) => format!("{}, held by {owner}", lock_text::lock(wait.kind, wait.lock)),
            For::Work(wait) => format!("{}, done by {owner}", work::name(&wait.work)),
        }
    }

    fn evidence(&self, facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Evidence> {
        match &self.waits_for {
            For::Lock(wait, lock) => {
                let waits = lock_text::wait_evidence(facts, reader, wait);
                std::iter::once(waits).chain(lock_text::lock_evidence(facts, reader, lock)).collect()
            }
            For::Work(wait) => {
                std::iter::once(work::wait_evidence(facts, wait)).chain(work::worker_evidence(facts, wait)).collect()
            }
        }
    }
}

/// One finding for each circle.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Neighbour> {
    circles(facts).iter().map(|circle| finding(facts, reader, circle)).collect()
}

/// All circles, each beginning with the task of the lowest pid, ordered by that.
pub(crate) fn circles<'f>(facts: &'f Facts<'_>) -> Vec<Vec<Step<'f>>> {
    let waiting = facts.state.lock_waits.iter().map(|wait| wait.task);
    // In the order of the waits, so that the answer does not depend on a hash.
    let waiting: Vec<_> = waiting.chain(facts.state.work_waits.iter().map(|wait| wait.task)).collect();
    let steps: HashMap<VirtAddr, Step<'f>> =
        waiting.iter().filter_map(|&task| Some((task, step(facts, task)?))).collect();
    let mut circles = Vec::new();
    let mut done = HashSet::new();
    for first in waiting {
        let mut path = Vec::new();
        let mut at = first;
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
    circles.into_iter().map(|circle| circle.into_iter().filter_map(|task| step(facts, task)).collect()).collect()
}

/// From a waiter to who has what it waits for, where that is known.
pub(crate) fn step<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> Option<Step<'f>> {
    let Some(wait) = facts.state.wait_of(task) else {
        let wait = facts.state.work_of(task)?;
        let owner = wait.work.worker()?;
        return Some(Step { task, waits_for: For::Work(wait), owner, by_hint: false });
    };
    let lock = facts.state.lock_of(wait)?;
    let (owner, by_hint) = match &lock.owner {
        Owner::Task(task) => (*task, false),
        Owner::Readers { last: Some(last), .. } => (*last, true),
        Owner::Readers { last: None, .. } | Owner::Nobody | Owner::Unknown(_) => return None,
    };
    Some(Step { task, waits_for: For::Lock(wait, lock), owner, by_hint })
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, circle: &[Step<'_>]) -> Neighbour {
    let part = |step: &Step<'_>| format!("{} waits for {}", lock_text::pid_at(facts, step.task), step.clause(facts));
    let parts: Vec<_> = circle.iter().take(lock_text::MAX_NAMED).map(part).collect();
    let who = match circle.len() {
        1 => "1 task waits for a lock that it has itself".to_owned(),
        count if circle.iter().all(|step| matches!(step.waits_for, For::Lock(..))) => {
            format!("{count} tasks wait for each other's locks")
        }
        count => format!("{count} tasks wait for each other"),
    };
    let evidence = circle.iter().flat_map(|step| step.evidence(facts, reader)).collect();
    let by_hint = circle.iter().any(|step| step.by_hint);
    let doubt = if by_hint { " (of readers, the kernel only knows which came last)" } else { "" };
    let finding = Finding {
        id: issue::DEADLOCK,
        severity: Severity::Critical,
        summary: format!("{who}, for ever: {}{doubt}", parts.join("; ")),
        evidence,
    };
    (if by_hint { Confidence::Probable } else { Confidence::Confirmed }, finding)
}
