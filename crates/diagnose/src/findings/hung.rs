//! Tasks that sleep uninterruptibly (`D`) for too long, whatever they sleep for.
//!
//! The kernel's watchdog reports them only when it looks, and stops reporting after some; the tasks themselves say all.
//! Its limit is `hung_task_timeout_secs`. Whoever asks for a crash, or takes a dump from outside, saw a machine that did
//! not go on, and did not wait for the watchdog: then what slept for a shorter time ([`patience_ns`]) is shown as well, and
//! is probable.
//!
//! Of a sleep that a deadly signal ends (`TASK_KILLABLE`) the watchdog never complains, so that a dead NFS server goes
//! unnoticed: beyond the limit it is probable. Several that have slept for as long as others may are possible.
//!
//! Nor does it complain of who waits for a disk itself, as the sleep is begun anew before it would: its time says only that it has not been
//! longer. From 10 s on such tasks are possible, and where a disk is late several are probable.
//!
//! Control: a task that slept for less, or idles (`TASK_NOLOAD`), can be woken by a signal, is frozen or was left out by the freezer,
//! waits while its process dumps core, or for the child that it made with `vfork()`.
//!
//! Source: `kernel/hung_task.c`.

use std::cmp::Reverse;

use vmcore_console::Kind;
use vmcore_kernel::{Stack, Task};

use super::{Context, Found};
use crate::clock::{as_the_watchdog, off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::describe::{self, lock, work};
use crate::names::{begins_anew, dumps_core, ends_after_core, is_frozen, sleeps_for_lock, sleeps_in, waits_for_vfork};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, Value, derived, evidence, reports};

/// What a disk that is only slow does not take.
const ANEW_NS: u64 = 10_000_000_000;

/// A task that sleeps for too long.
struct Hung<'f> {
    task: &'f Task,
    asleep_ns: u64,
    /// How long it might.
    limit_ns: u64,
    confidence: Confidence,
    kind: Sleep,
}

/// What may be said of how long a task sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// For too long by itself.
    Long,
    /// It is begun anew now and then.
    Anew,
    /// A deadly signal ends it, and the limit of such has not come.
    Killable,
}

/// One that a deadly signal ends may be as it should be, several of them tell; so do several that wait for disks, where one is late: that
/// each of some commands takes its time, such as those that discard or erase, shows on no disk.
fn settle(facts: &Facts<'_>, hung: &mut Vec<Hung<'_>>) {
    let of_kind = |kind: Sleep| hung.iter().filter(|hung| hung.kind == kind).count();
    let (anew, killable) = (of_kind(Sleep::Anew), of_kind(Sleep::Killable));
    hung.retain(|hung| hung.kind != Sleep::Killable || killable > 1);
    if anew > 1 && !facts.state.late_disks.is_empty() {
        hung.iter_mut().filter(|hung| hung.kind == Sleep::Anew).for_each(|hung| hung.confidence = Confidence::Probable);
    }
}

/// One finding for all of them.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut hung: Vec<_> = facts.blocked.iter().filter_map(|stack| assess(facts, stack)).collect();
    settle(facts, &mut hung);
    // The one that got stuck first is closest to the cause.
    hung.sort_by_key(|hung| (Reverse(hung.confidence), Reverse(hung.asleep_ns), hung.task.pid));
    let Some(longest) = hung.iter().map(|hung| hung.asleep_ns).max() else { return Found::default() };
    let confidence = hung.iter().map(|hung| hung.confidence).max().unwrap_or(Confidence::Probable);
    let named =
        describe::few(hung.iter().map(|hung| format!("{} {}", describe::pid(hung.task), why(facts, hung.task))), "; ");
    let number = if hung.len() == 1 { "1 task sleeps".to_owned() } else { format!("{} tasks sleep", hung.len()) };
    let shortest = hung.iter().map(|hung| hung.limit_ns).min().unwrap_or_default();
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
    let asleep_ns = off_cpu_ns(facts, task)?;
    let (kind, limit_ns) = match () {
        () if asleep_ns >= limit_ns(facts, task) => (Sleep::Long, limit_ns(facts, task)),
        () if begins_anew(stack) && asleep_ns >= ANEW_NS => (Sleep::Anew, ANEW_NS),
        () if !task.state.ignores_signals() && asleep_ns >= patience_ns(facts) => (Sleep::Killable, patience_ns(facts)),
        () => return None,
    };
    let is_left_out = task.state.ignores_signals() && facts.state.left_out.contains(&task.address);
    let waits_for_child = !task.state.ignores_signals() && waits_for_vfork(stack);
    if is_left_out || is_frozen(stack) || waits_for_child || waits_for_core(facts, task, stack) {
        return None;
    }
    let surely = match kind {
        Sleep::Long if task.state.ignores_signals() => Confidence::Confirmed,
        Sleep::Long => Confidence::Probable,
        Sleep::Anew | Sleep::Killable => Confidence::Possible,
    };
    let confidence = as_the_watchdog(facts, asleep_ns, surely);
    Some(Hung { task, asleep_ns, limit_ns, confidence, kind })
}

/// Whether a thread waits while another one of its process dumps core: for as long as that takes. Another one is left that does not wait so,
/// and whatever keeps that is found there.
fn waits_for_core(facts: &Facts<'_>, task: &Task, stack: &Stack) -> bool {
    let dumps = |other: &&Task| {
        let known = facts.stack_of(other.address);
        other.tgid == task.tgid && other.state.exit_state == 0 && known.is_none_or(dumps_core)
    };
    ends_after_core(stack) && facts.snapshot.tasks.iter().any(|other| dumps(&other))
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
