//! Tasks that sleep uninterruptibly (`D`) for too long, whatever they sleep for.
//!
//! The kernel's watchdog reports them only when it looks, and stops reporting after some; the tasks themselves say all.
//! Its limit is `hung_task_timeout_secs`. Whoever asks for a crash, or takes a dump from outside, saw a machine that did
//! not go on, and did not wait for the watchdog: then what slept for a shorter time ([`patience_ns`]) is shown as well, and
//! is probable.
//!
//! Of a sleep that a deadly signal ends (`TASK_KILLABLE`) the watchdog never complains, so that a dead NFS server goes
//! unnoticed: beyond the limit it is probable.
//!
//! Control: a task that slept for less, or idles (`TASK_NOLOAD`), can be woken by a signal, is frozen or was left out by the freezer
//! (while its process dumps core), or waits for the child that it made with `vfork()`.
//!
//! Source: `kernel/hung_task.c`.

use std::cmp::Reverse;

use vmcore_console::Kind;
use vmcore_kernel::{Stack, Task};

use super::{Context, Found};
use crate::clock::{as_the_watchdog, off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::describe::{self, lock, work};
use crate::names::{is_frozen, sleeps_for_lock, sleeps_in, waits_for_vfork};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, Value, derived, evidence, reports};

/// A task that sleeps for too long.
struct Hung<'f> {
    task: &'f Task,
    asleep_ns: u64,
    confidence: Confidence,
}

/// One finding for all of them.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut hung: Vec<_> = facts.blocked.iter().filter_map(|stack| assess(facts, stack)).collect();
    // The one that got stuck first is closest to the cause.
    hung.sort_by_key(|hung| (Reverse(hung.confidence), Reverse(hung.asleep_ns), hung.task.pid));
    let Some(longest) = hung.iter().map(|hung| hung.asleep_ns).max() else { return Found::default() };
    let confidence = hung.iter().map(|hung| hung.confidence).max().unwrap_or(Confidence::Probable);
    let named =
        describe::few(hung.iter().map(|hung| format!("{} {}", describe::pid(hung.task), why(facts, hung.task))), "; ");
    let number = if hung.len() == 1 { "1 task sleeps".to_owned() } else { format!("{} tasks sleep", hung.len()) };
    let shortest = hung.iter().map(|hung| limit_ns(facts, hung.task)).min().unwrap_or_default();
    let summary =
        format!("{number} uninterruptibly for longer than {}, up to {}: {named}", seconds(shortest), seconds(longest),);
    let first = hung.iter().take(describe::MAX_NAMED);
    let mut evidence: Vec<_> = first.flat_map(|hung| task_evidence(facts, reader, hung.task)).collect();
    let said = facts.reports_of(Kind::HungTask).next();
    evidence.extend(said.and_then(|said| reports::evidence(facts, said)));
    let tasks = hung.iter().map(|hung| hung.task.address);
    Finding::new(Issue::HungTask, confidence, summary, evidence).from_log(said.is_some()).about(tasks).into()
}

fn assess<'f>(facts: &'f Facts<'_>, stack: &Stack) -> Option<Hung<'f>> {
    let task = facts.task(stack).filter(|task| task.sleeps_uninterruptibly() && !task.state.is_frozen())?;
    let asleep_ns = off_cpu_ns(facts, task).filter(|&asleep| asleep >= limit_ns(facts, task))?;
    let is_left_out = task.state.ignores_signals() && facts.state.left_out.contains(&task.address);
    if is_left_out || is_frozen(stack) || !task.state.ignores_signals() && waits_for_vfork(stack) {
        return None;
    }
    let surely = if task.state.ignores_signals() { Confidence::Confirmed } else { Confidence::Probable };
    let confidence = as_the_watchdog(facts, asleep_ns, surely);
    Some(Hung { task, asleep_ns, confidence })
}

/// How long this task may sleep. Of killable sleeps even the watchdog thinks that they may take their time.
fn limit_ns(facts: &Facts<'_>, task: &Task) -> u64 {
    if task.state.ignores_signals() { patience_ns(facts) } else { facts.state.limits.hung_task_ns() }
}

fn why(facts: &Facts<'_>, task: &Task) -> String {
    if let Some(wait) = derived::lock_wait(facts, task.address) {
        return format!("for {}", lock::name(wait.kind, wait.lock));
    }
    if let Some(wait) = derived::page_wait(facts, task.address) {
        return format!("for page {}", wait.page);
    }
    if let Some(wait) = derived::work_wait(facts, task.address) {
        return format!("for {}", work::name(&wait.work));
    }
    let stack = facts.stack_of(task.address);
    let lock = if stack.is_some_and(sleeps_for_lock) { "for a lock that could not be told, " } else { "" };
    match stack.and_then(sleeps_in) {
        Some(function) => format!("{lock}in {function}"),
        None => "for what is not known".to_owned(),
    }
}

fn task_evidence(facts: &Facts<'_>, reader: &dyn Reader, task: &Task) -> Vec<Evidence> {
    let state = Value::Hex(task.state.state);
    let how = if task.state.ignores_signals() { "uninterruptibly" } else { "until it is woken or killed" };
    let meaning = format!("pid {} sleeps {how}", task.pid);
    let state = evidence::renamed(reader, task.address, "task_struct", &["__state", "state"], state, meaning);
    std::iter::once(state).chain(off_cpu_evidence(facts, reader, task)).collect()
}
