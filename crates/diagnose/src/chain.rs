//! Chains of tasks: each waits for a lock that the next one has, or for a work that the next one does.

use std::collections::{HashMap, HashSet};

use vmcore_kernel::{Lock, LockKind, LockWait, Owner, WorkWait};
use vmcore_memory::VirtAddr;

use crate::clock::{off_cpu_ns, patience_ns};
use crate::describe::{self, lock, work};
use crate::{Evidence, Facts, Reader, derived};

/// Chains of owners are followed so far.
const MAX_CHAIN: usize = 64;

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
    pub(crate) by_hint: bool,
}

impl Step<'_> {
    /// Whether the task has waited for at least so many nanoseconds; so, too, where the kernel does not say how long.
    fn has_waited(&self, facts: &Facts<'_>, ns: u64) -> bool {
        let waited = facts.snapshot.task(self.task).and_then(|task| off_cpu_ns(facts, task));
        waited.is_none_or(|waited| waited >= ns)
    }

    /// The lock, where it is one.
    pub(crate) const fn lock(&self) -> Option<(VirtAddr, LockKind)> {
        match self.waits_for {
            For::Lock(_, lock) => Some((lock.address, lock.kind)),
            For::Work(_) => None,
        }
    }

    /// `mutex 0xffff…, held by pid 12 "name"`.
    pub(crate) fn clause(&self, facts: &Facts<'_>) -> String {
        let owner = describe::pid_at(facts, self.owner);
        match &self.waits_for {
            For::Lock(wait, _) => format!("{}, held by {owner}", lock::name(wait.kind, wait.lock)),
            For::Work(wait) => format!("{}, done by {owner}", work::name(&wait.work)),
        }
    }

    pub(crate) fn evidence(&self, facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Evidence> {
        match &self.waits_for {
            For::Lock(wait, lock) => {
                let waits = lock::wait_evidence(facts, reader, wait);
                std::iter::once(waits).chain(lock::lock_evidence(facts, reader, lock)).collect()
            }
            For::Work(wait) => {
                std::iter::once(work::wait_evidence(facts, wait)).chain(work::worker_evidence(facts, wait)).collect()
            }
        }
    }
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

/// Whether a circle can be one. In that of a lock that readers have, the reader that came last may have given it back since, and wait for
/// something else as anybody does: only where all of its tasks wait for too long by themselves does it count.
pub(crate) fn lasts(facts: &Facts<'_>, circle: &[Step<'_>]) -> bool {
    is_as_old_as(facts, circle, patience_ns(facts))
}

/// Whether each task of a circle in which there are readers has waited for so many nanoseconds; so it is with any other.
pub(crate) fn is_as_old_as(facts: &Facts<'_>, circle: &[Step<'_>], ns: u64) -> bool {
    !circle.iter().any(|step| step.by_hint) || circle.iter().all(|step| step.has_waited(facts, ns))
}

/// From a waiter to who has what it waits for, where that is known.
pub(crate) fn step<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> Option<Step<'f>> {
    let Some(wait) = derived::lock_wait(facts, task) else {
        let wait = derived::work_wait(facts, task)?;
        let owner = wait.work.worker()?;
        return Some(Step { task, waits_for: For::Work(wait), owner, by_hint: false });
    };
    // Who only has to pick a lock up waits for nobody.
    let lock = derived::lock(facts, wait).filter(|lock| !lock.is_handed_to(task))?;
    let (owner, by_hint) = match &lock.owner {
        Owner::Task(task) => (*task, false),
        Owner::Readers { last, .. } => (last_reader(facts, wait.lock, *last)?, true),
        Owner::Nobody | Owner::Unknown(_) => return None,
    };
    Some(Step { task, waits_for: For::Lock(wait, lock), owner, by_hint })
}

/// The reader that came last, unless it waits for the lock itself: the kernel does not note that a reader leaves, and who asks
/// for a lock once more has most likely given it back, so that another reader has it.
pub(crate) fn last_reader(facts: &Facts<'_>, lock: VirtAddr, last: Option<VirtAddr>) -> Option<VirtAddr> {
    last.filter(|last| derived::lock_wait(facts, *last).is_none_or(|wait| wait.lock != lock))
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
    Some(format!("{} {}", describe::pid(task), describe::doing(facts, task)))
}
