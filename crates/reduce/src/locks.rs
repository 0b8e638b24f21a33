//! Locks that tasks sleep for, and their waiters.

use vmcore_kernel::{Found, Lock, LockKind, Owner};
use vmcore_memory::VirtAddr;
use vmcore_synth::scenario::Word;

use crate::Source;
use crate::cast::Cast;
use crate::objects::{Objects, frame_of, task};

/// `MUTEX_FLAGS`, `RWSEM_OWNER_FLAGS_MASK`.
const FLAGS: u64 = 7;

pub(crate) fn add(source: &Source<'_, '_>, cast: &Cast, objects: &mut Objects, unsaid: &mut Vec<String>) {
    for (number, lock) in (1..).zip(&source.facts.state.locks) {
        let waiters = lock.waiters.iter().filter_map(|waiter| Some((waiter.task, cast.pid(source, waiter.task)?)));
        let waiters: Vec<_> = waiters.collect();
        if waiters.is_empty() {
            continue;
        }
        let name = format!("{}-{number}", lock.kind.name().replace('_', "-"));
        let (type_name, waiter_type) = match lock.kind {
            LockKind::Mutex => ("mutex", "mutex_waiter"),
            LockKind::RwSemaphore => ("rw_semaphore", "rwsem_waiter"),
            LockKind::Semaphore => ("semaphore", "semaphore_waiter"),
            LockKind::RtMutex => {
                unsaid.push(format!("{name}: the tree of its waiters"));
                continue;
            }
        };
        objects.add(&name, type_name, None, words(source, cast, lock));
        let mut nodes = vec![format!("{name}.wait_list")];
        for (address, pid) in waiters {
            let Some((function, shared)) = found(source, address, lock) else { continue };
            let Some(on) = frame_of(source, address, pid, function.as_deref()) else { continue };
            let waiter = format!("{name}-waiter-{pid}");
            let reads = (lock.kind == LockKind::RwSemaphore && shared).then_some(("type", Word::Number(1)));
            objects.add(&waiter, waiter_type, Some(on), [("task", task(pid, 0))].into_iter().chain(reads));
            nodes.push(format!("{waiter}.list"));
        }
        objects.link(nodes);
    }
}

/// The function in whose frame a task's waiter is, and whether it wants to read.
fn found(source: &Source<'_, '_>, address: VirtAddr, lock: &Lock) -> Option<(Option<String>, bool)> {
    let wait = source.facts.state.lock_waits.iter().find(|wait| wait.task == address && wait.lock == lock.address)?;
    let function = match &wait.found {
        Found::OnStack { function, .. } => Some(function.clone()),
        Found::Member { .. } => None,
    };
    Some((function, wait.shared))
}

/// The words that say who has a lock.
fn words(source: &Source<'_, '_>, cast: &Cast, lock: &Lock) -> Vec<(&'static str, Word)> {
    let owner = match lock.owner {
        Owner::Task(owner) => Some(owner),
        Owner::Readers { last, .. } => last,
        Owner::Nobody | Owner::Unknown(_) => None,
    };
    let owner = owner.and_then(|owner| cast.pid(source, owner));
    let mut words = Vec::new();
    for word in &lock.words {
        let flags = word.value & FLAGS;
        words.extend(match (word.member, lock.kind) {
            ("count.counter", LockKind::RwSemaphore) => Some(("count.counter", Word::Number(word.value))),
            (member, LockKind::Mutex | LockKind::RwSemaphore) if member.starts_with("owner") => {
                let value = owner.map_or(Word::Number(flags), |pid| task(pid, flags));
                Some(("owner.counter|owner", value))
            }
            _ => None,
        });
    }
    words
}
