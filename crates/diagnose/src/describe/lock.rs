//! Locks, their owners and their waiters in words and as evidence.

use vmcore_kernel::{Found, Lock, LockKind, LockWait, Owner};
use vmcore_memory::VirtAddr;

use super::pid_at;
use crate::evidence::read_from;
use crate::{Evidence, Facts, Reader, Value};

/// `mutex 0xffff…`.
pub(crate) fn name(kind: LockKind, address: VirtAddr) -> String {
    format!("{} {address}", kind.name())
}

/// How it is known that a task waits for its lock.
pub(crate) fn wait_evidence(facts: &Facts<'_>, reader: &dyn Reader, wait: &LockWait) -> Evidence {
    let who = pid_at(facts, wait.task);
    let what = name(wait.kind, wait.lock);
    match &wait.found {
        Found::OnStack { function, names_task, .. } => {
            let meaning = format!(
                "the waiter of {who}, in the frame of {function} on its stack; it is linked into the queue of {what}"
            );
            read_from(names_task, wait.task.get(), meaning)
        }
        Found::Member { name, value } => {
            let meaning = format!("{who} waits for {what}, which has it in its queue");
            crate::evidence::member(reader, wait.task, ("task_struct", name), Value::Hex(*value), meaning)
        }
    }
}

/// The members of a lock that say who has it.
pub(crate) fn lock_evidence(facts: &Facts<'_>, reader: &dyn Reader, lock: &Lock) -> Vec<Evidence> {
    let types = lock.kind.type_names();
    let words = lock.words.iter().map(|word| {
        let has = |name: &&&'static str| reader.member(lock.address, name, word.member).is_some();
        let type_name = types.iter().find(has).or(types.first()).copied().unwrap_or_default();
        let flags = if word.flags.is_empty() { String::new() } else { format!("; {}", word.flags.join(" | ")) };
        let meaning = format!("{}{flags}", owner(facts, &lock.owner));
        crate::evidence::member(reader, lock.address, (type_name, word.member), Value::Hex(word.value), meaning)
    });
    words.collect()
}

/// Who has a lock, as a clause.
pub(crate) fn owner(facts: &Facts<'_>, owner: &Owner) -> String {
    match owner {
        Owner::Task(task) => format!("held by {}", pid_at(facts, *task)),
        Owner::Readers { count, last } => {
            let count = count.map_or_else(
                || "readers".to_owned(),
                |count| match count {
                    1 => "1 reader".to_owned(),
                    count => format!("{count} readers"),
                },
            );
            let last = last.map(|last| format!(", the last that came is {}", pid_at(facts, last))).unwrap_or_default();
            format!("held by {count}{last}")
        }
        Owner::Nobody => "held by nobody at this moment".to_owned(),
        Owner::Unknown(why) => format!("held, by whom is not known: {why}"),
    }
}
