//! Locks, their owners and their waiters in words and as evidence.

use vmcore_kernel::{Found, Lock, LockKind, LockWait, Owner, Stack, StackFrame, Task};
use vmcore_memory::VirtAddr;

use super::clock::off_cpu_ns;
use crate::involved::stack_of;
use crate::names::base_name;
use crate::text::seconds;
use crate::{Evidence, Facts, Place, Reader, Value};

/// How many tasks are named one by one.
pub(crate) const MAX_NAMED: usize = 8;

/// Functions that only put a task to sleep: what it sleeps for is the first that is none of these. By the beginnings of
/// their names.
const SLEEPING: [&str; 24] = [
    "__schedule",
    "schedule",
    "io_schedule",
    "__switch_to",
    "__mutex_lock",
    "mutex_lock",
    "__ww_mutex_lock",
    "ww_mutex_lock",
    "rwsem_down_",
    "__rwsem_down_",
    "call_rwsem_down_",
    "down_",
    "__down",
    "___down",
    "rt_mutex",
    "__rt_mutex",
    "rwbase_",
    "bit_wait",
    "__wait_on_bit",
    "do_wait_for_common",
    "wait_for_completion",
    "__wait_for_common",
    "__flush_work",
    "flush_work",
];

/// Those of them that sleep for a lock.
const LOCKING: [&str; 13] = [
    "__mutex_lock",
    "mutex_lock",
    "__ww_mutex_lock",
    "ww_mutex_lock",
    "rwsem_down_",
    "__rwsem_down_",
    "call_rwsem_down_",
    "down_",
    "__down",
    "___down",
    "rt_mutex",
    "__rt_mutex",
    "rwbase_",
];

/// `mutex 0xffff…`.
pub(crate) fn lock(kind: LockKind, address: VirtAddr) -> String {
    format!("{} {address}", kind.name())
}

/// `pid 12 "name"`.
pub(crate) fn pid(task: &Task) -> String {
    format!("pid {} \"{}\"", task.pid, task.comm)
}

/// The same for the task at an address.
pub(crate) fn pid_at(facts: &Facts<'_>, task: VirtAddr) -> String {
    facts.snapshot.task(task).map_or_else(|| format!("the task at {task}"), pid)
}

/// `pid 1 "a", pid 2 "b" and 3 more`.
pub(crate) fn pids<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> String {
    let all: Vec<_> = tasks.into_iter().map(pid).collect();
    let named: Vec<_> = all.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = all.len().saturating_sub(named.len());
    let named = named.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn is_sleeping(name: &str) -> bool {
    SLEEPING.iter().any(|begin| base_name(name).starts_with(begin))
}

/// The innermost function that is not about sleeping itself.
pub(crate) fn sleeps_in(stack: &Stack) -> Option<&str> {
    stack.frames.iter().filter_map(StackFrame::function).find(|name| !is_sleeping(name))
}

/// Whether the task of this stack sleeps for a lock, by the functions on it.
pub(crate) fn sleeps_for_lock(stack: &Stack) -> bool {
    let is_lock = |name: &str| LOCKING.iter().any(|begin| base_name(name).starts_with(begin));
    let asleep = stack.frames.iter().filter_map(StackFrame::function).take_while(|name| is_sleeping(name));
    asleep.into_iter().any(is_lock)
}

/// What a task was doing, after its name: `runs on CPU 1`, `sleeps (D) in msleep`.
pub(crate) fn doing(facts: &Facts<'_>, task: &Task) -> String {
    if let Some(cpu) = facts.snapshot.cpu_running(task) {
        return format!("runs on CPU {}", cpu.cpu);
    }
    if task.waits_for_cpu() {
        return format!("is runnable and waits for CPU {}", task.cpu);
    }
    if let Some(wait) = facts.state.wait_of(task.address) {
        return format!("itself waits for {}", lock(wait.kind, wait.lock));
    }
    if let Some(wait) = facts.state.page_of(task.address) {
        return format!("itself waits for page {}", wait.page);
    }
    if let Some(wait) = facts.state.work_of(task.address) {
        return format!("itself waits for {}", super::work::name(&wait.work));
    }
    let function = stack_of(facts, task.address).and_then(sleeps_in);
    let place = function.map(|function| format!(" in {function}")).unwrap_or_default();
    let time = off_cpu_ns(facts, task).map(|ns| format!(" for {}", seconds(ns))).unwrap_or_default();
    format!("sleeps ({}){place}{time}", task.state.letter())
}

/// How it is known that a task waits for its lock.
pub(crate) fn wait_evidence(facts: &Facts<'_>, reader: &dyn Reader, wait: &LockWait) -> Evidence {
    let who = pid_at(facts, wait.task);
    let what = lock(wait.kind, wait.lock);
    match &wait.found {
        Found::OnStack { function, names_task, .. } => {
            let waiter = match wait.kind {
                LockKind::Mutex => "mutex_waiter",
                LockKind::RwSemaphore => "rwsem_waiter",
                LockKind::Semaphore => "semaphore_waiter",
                LockKind::RtMutex => "rt_mutex_waiter",
            };
            let meaning = format!(
                "the waiter of {who}, in the frame of {function} on its stack; it is linked into the queue of {what}"
            );
            Evidence::new(format!("{waiter}.task"), meaning)
                .at(Place::Kernel(*names_task))
                .value(Value::Hex(wait.task.get()))
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
        let has = |name: &&&str| reader.member(lock.address, name, word.member).is_some();
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
        Owner::Unknown(why) => format!("holder not known: {why}"),
    }
}
