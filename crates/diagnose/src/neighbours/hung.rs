//! Tasks that sleep uninterruptibly (`D`) for longer than `hung_task_timeout_secs`, whatever they sleep for.
//!
//! The kernel's watchdog reports them only when it looks, and stops reporting after some; the tasks themselves say all.
//!
//! Control: a task that slept for less, or idles (`TASK_NOLOAD`), or can be woken by a signal.
//!
//! Source: `kernel/hung_task.c`.

use vmcore_kernel::{Stack, Task};

use super::clock::{off_cpu_evidence, off_cpu_ns, patience_ns};
use super::{Neighbour, lock_text, work};
use crate::evidence;
use crate::involved::stack_of;
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Reader, Severity, Value, issue};

/// One finding for all of them.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Neighbour> {
    let patience = patience_ns(facts);
    let hung = |stack: &Stack| {
        let task = facts.task(stack).filter(|task| task.state.ignores_signals())?;
        Some((task, off_cpu_ns(facts, task).filter(|&asleep| asleep >= patience)?))
    };
    let mut tasks: Vec<_> = facts.blocked.iter().filter_map(hung).collect();
    // The one that got stuck first is closest to the cause.
    tasks.sort_by_key(|(task, asleep)| (std::cmp::Reverse(*asleep), task.pid));
    let Some((_, longest)) = tasks.first() else { return Vec::new() };
    let named = tasks.iter().take(lock_text::MAX_NAMED);
    let list: Vec<_> =
        named.clone().map(|(task, _)| format!("{} {}", lock_text::pid(task), why(facts, task))).collect();
    let more = tasks.len().saturating_sub(list.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let number = if tasks.len() == 1 { "1 task sleeps".to_owned() } else { format!("{} tasks sleep", tasks.len()) };
    let summary = format!(
        "{number} uninterruptibly for longer than {}, up to {}: {}{more}",
        seconds(patience),
        seconds(*longest),
        list.join("; ")
    );
    let mut evidence: Vec<_> = named.flat_map(|(task, _)| task_evidence(facts, reader, task)).collect();
    evidence.extend(reported(facts));
    vec![(Confidence::Confirmed, Finding { id: issue::HUNG_TASK, severity: Severity::Critical, summary, evidence })]
}

fn why(facts: &Facts<'_>, task: &Task) -> String {
    if let Some(wait) = facts.state.wait_of(task.address) {
        return format!("for {}", lock_text::lock(wait.kind, wait.lock));
    }
    if let Some(wait) = facts.state.page_of(task.address) {
        return format!("for page {}", wait.page);
    }
    if let Some(wait) = facts.state.work_of(task.address) {
        return format!("for {}", work::name(&wait.work));
    }
    let stack = stack_of(facts, task.address);
    let lock = if stack.is_some_and(lock_text::sleeps_for_lock) { "for a lock that could not be told, " } else { "" };
    match stack.and_then(lock_text::sleeps_in) {
        Some(function) => format!("{lock}in {function}"),
        None => "for what is not known".to_owned(),
    }
}

fn task_evidence(facts: &Facts<'_>, reader: &dyn Reader, task: &Task) -> Vec<Evidence> {
    let state = Value::Hex(task.state.state);
    let meaning = format!("pid {} sleeps uninterruptibly", task.pid);
    let state = evidence::renamed(reader, task.address, "task_struct", &["__state", "state"], state, meaning);
    std::iter::once(state).chain(off_cpu_evidence(facts, reader, task)).collect()
}

/// What the watchdog printed: `INFO: task NAME:PID blocked for more than N seconds.`
fn reported(facts: &Facts<'_>) -> Option<Evidence> {
    let is_report = |text: &str| text.starts_with("INFO: task ") && text.contains(" blocked for more than ");
    let line = facts.log.iter().find(|line| is_report(&line.text))?;
    let meaning = format!("the kernel's own watchdog reported it {} after boot", seconds(line.timestamp_ns));
    Some(Evidence::new("kernel log", meaning).value(Value::Text(line.text.clone())))
}
