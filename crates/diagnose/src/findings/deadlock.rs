//! Sleepers in a circle: each waits for a lock that the next one has, or for a work that the next one does.
//!
//! No time has to pass for that: a circle of exclusive locks never opens by itself. Where a lock of the circle is held by
//! readers, the kernel only remembers the last that came, so the circle is probable, not proven; and none is seen where a task
//! of it has only just begun to wait; it is possible where one has waited for no longer than tasks may.
//!
//! It does not matter how they sleep: a signal may end a wait that it can interrupt, and with it the circle, but nothing that the
//! tasks themselves do.
//!
//! Control: a chain of any length that ends at a task that is not waiting for a lock or work is no circle.

use vmcore_kernel::TaskState;

use super::{Context, Found};
use crate::chain::{For, Step, circles, is_as_old_as, lasts};
use crate::{Confidence, Facts, Finding, Issue, Reader, describe};

/// Who reads has a lock for less.
const READ_NS: u64 = 5_000_000_000;

/// One finding for each circle.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let finding = |circle: &Vec<Step<'_>>| finding(context.facts, context.reader, circle);
    let may_last = |circle: &&Vec<Step<'_>>| is_as_old_as(context.facts, circle, READ_NS);
    circles(context.facts).iter().filter(may_last).map(finding).collect::<Vec<_>>().into()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, circle: &[Step<'_>]) -> Finding {
    let part = |step: &Step<'_>| format!("{} waits for {}", describe::pid_at(facts, step.task), step.clause(facts));
    let parts: Vec<_> = circle.iter().take(describe::MAX_NAMED).map(part).collect();
    let who = match circle.len() {
        1 => "1 task waits for a lock that it has itself".to_owned(),
        count if circle.iter().all(|step| matches!(step.waits_for, For::Lock(..))) => {
            format!("{count} tasks wait for each other's locks")
        }
        count => format!("{count} tasks wait for each other"),
    };
    let evidence = circle.iter().flat_map(|step| step.evidence(facts, reader)).collect();
    let by_hint = circle.iter().any(|step| step.by_hint);
    let lasts = lasts(facts, circle);
    let (confidence, doubt) = match (by_hint, lasts) {
        (false, _) => (Confidence::Confirmed, ""),
        (true, true) => (Confidence::Probable, " (of readers, the kernel only knows which came last)"),
        (true, false) => (
            Confidence::Possible,
            " (of readers, the kernel only knows which came last, and not all of these tasks have waited for longer than tasks may: that \
             reader may have given the lock back)",
        ),
    };
    let (until, ends) = ends(facts, circle);
    let perhaps = if lasts { "" } else { "perhaps " };
    let summary = format!("{who}, {perhaps}{until}: {}{ends}{doubt}", parts.join("; "));
    let advice = (until != FOR_EVER).then_some(SIGNAL);
    Finding::new(Issue::Deadlock, confidence, summary, evidence)
        .about(circle.iter().map(|step| step.task))
        .helped_by(advice)
}

/// How long a circle lasts that nothing ends.
const FOR_EVER: &str = "for ever";
/// What ends a circle whose tasks can be woken.
const SIGNAL: (&str, &str) = (
    "on a machine that still runs, send the signal to the task that it wakes; report the stacks of these tasks to the maintainers of the \
     code that takes the locks",
    "a circle of locks is a bug of the code on these stacks; a signal opens it until the next time",
);

/// How long a circle lasts, and who of it can be woken by a signal.
fn ends(facts: &Facts<'_>, circle: &[Step<'_>]) -> (&'static str, String) {
    let tasks: Vec<_> = circle.iter().filter_map(|step| facts.snapshot.task(step.task)).collect();
    let by = |signal: &str, wakes: fn(TaskState) -> bool| {
        let woken: Vec<_> = tasks.iter().filter(|task| wakes(task.state)).copied().collect();
        let whose = if woken.len() == tasks.len() {
            "each of these waits".to_owned()
        } else {
            format!("the wait of {}", describe::pids(woken.iter().copied()))
        };
        (!woken.is_empty()).then(|| format!("{signal} may end {whose}"))
    };
    let ways = [
        by("a signal", TaskState::is_interruptible),
        by("a deadly signal", |state| state.is_uninterruptible() && !state.ignores_signals()),
    ];
    match ways.into_iter().flatten().collect::<Vec<_>>().as_slice() {
        [] => (FOR_EVER, String::new()),
        ways => ("until a signal ends it", format!(" ({})", ways.join(", and "))),
    }
}
