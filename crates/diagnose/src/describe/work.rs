//! Works that tasks wait for, in words and as evidence.

use vmcore_kernel::{AwaitedWork, WorkWait};

use super::pid_at;
use crate::evidence::read_from;
use crate::{Evidence, Facts};

/// `work 0xffff… (function)`.
pub(crate) fn name(work: &AwaitedWork) -> String {
    let function = work.function().map(|function| format!(" ({function})")).unwrap_or_default();
    match work.address() {
        Some(address) => format!("work {address}{function}"),
        None => "a work".to_owned(),
    }
}

/// How it is known that a task waits for a work.
pub(crate) fn wait_evidence(facts: &Facts<'_>, wait: &WorkWait) -> Evidence {
    let who = pid_at(facts, wait.task);
    let meaning = format!(
        "the barrier of {who}, in the frame of {} on its stack; it is queued behind {}",
        wait.function,
        name(&wait.work)
    );
    read_from(&wait.names_task, wait.task.get(), meaning)
}

/// That a worker has begun with a work, or that the work is still on a list.
pub(crate) fn worker_evidence(facts: &Facts<'_>, wait: &WorkWait) -> Option<Evidence> {
    let AwaitedWork::Doing { work, worker, current_work_at, .. } = &wait.work else { return None };
    let meaning = format!("{} has begun it and not finished", pid_at(facts, *worker));
    Some(read_from(current_work_at, work.get(), meaning))
}
