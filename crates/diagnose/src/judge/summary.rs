//! The livelock in a sentence.

use std::collections::BTreeSet;

use crate::livelock::Livelock;
use crate::names::moves_page;
use crate::text::seconds;
use crate::{CheckResult, Confidence, Finding, Issue, Splitter};

/// What is said besides another verdict where the livelock is possible, and how sure that may be: who keeps a CPU may be who waits for the
/// one that does not get it.
pub(super) fn beside_livelock(finding: &Finding, livelock: &Livelock) -> (&'static str, Confidence) {
    const MAY_BE: &str = " (it may be the huge-page livelock, which could not be shown)";
    if livelock.confidence != Confidence::Possible {
        return ("", Confidence::Confirmed);
    }
    let may_spin = livelock.spinners.iter().any(|spinner| finding.tasks.first() == Some(&spinner.task));
    let most =
        if finding.issue == Issue::Starvation && may_spin { Confidence::Probable } else { Confidence::Confirmed };
    (MAY_BE, most)
}

/// Who spins for what, for how long, and who would put it back.
pub(super) fn livelock_summary(livelock: &Livelock) -> String {
    let cpus = livelock.spinners.len();
    if cpus == 0 {
        return "A CPU may be spinning in page faults on a huge page that is being split: what would prove it cannot \
                be read."
            .to_owned();
    }
    let plural = if cpus == 1 { "CPU has" } else { "CPUs have" };
    let longest = livelock.spinners.iter().filter_map(|spinner| spinner.kept_ns).max().filter(|_| !livelock.granted);
    let time = longest.map(|ns| format!(" for up to {}", seconds(ns))).unwrap_or_default();
    let spin = format!("{cpus} {plural} been spinning{time} in page faults on {}", pages(livelock));
    let sentence = match livelock.splitters.as_slice() {
        [] => format!("{spin}; no runnable task that splits it was found."),
        [splitter] => format!(
            "{spin}, while pid {} \"{}\", which is {} {}, {}.",
            splitter.pid,
            splitter.comm,
            if moves_page(&splitter.split_function) { "moving" } else { "splitting" },
            if splitter.is_tied { "it" } else { "a huge page of the same process (whether this one is not known)" },
            match (splitter.on_cpu, livelock.granted) {
                _ if livelock.sleeps.contains_key(&splitter.task) => sleeps(livelock, splitter),
                (true, _) => format!("has CPU {} for a moment, and gets no more than moments of it", splitter.cpu),
                (false, true) => format!("is runnable on CPU {} and gets moments of it only", splitter.cpu),
                (false, false) => format!("is runnable on CPU {} and never scheduled", splitter.cpu),
            }
        ),
        several => {
            let pids: Vec<_> = several.iter().map(|splitter| splitter.pid.to_string()).collect();
            let gets = if livelock.granted { "get moments of a CPU only" } else { "never scheduled" };
            format!("{spin}, while those that split (pids {}) are runnable and {gets}.", pids.join(", "))
        }
    };
    let against = livelock.refutations.iter().find(|refutation| refutation.result == CheckResult::Holds);
    let against = against.map(|refutation| format!(" But {}: {}.", refutation.claim, refutation.checked));
    sentence + &against.unwrap_or_default()
}

/// That a splitter sleeps for what a task has that gets no CPU.
fn sleeps(livelock: &Livelock, splitter: &Splitter) -> String {
    let Some((words, waiter)) = livelock.sleeps.get(&splitter.task) else { return String::new() };
    let gets = if livelock.granted { "gets moments of it only" } else { "is never scheduled" };
    format!("{words}, and pid {waiter} waits for CPU {} and {gets}", splitter.cpu)
}

/// What spinners wait for, in words.
fn pages(livelock: &Livelock) -> String {
    let heads: BTreeSet<_> = livelock.spinners.iter().filter_map(|spinner| spinner.head_page).collect();
    let moved = !livelock.splitters.is_empty() && livelock.splitters.iter().all(|one| moves_page(&one.split_function));
    match (heads.len(), livelock.splitters.is_empty()) {
        (2.., _) if moved => format!("{} huge pages that are being moved", heads.len()),
        (_, false) if moved => "a huge page that is being moved".to_owned(),
        (2.., _) => format!("{} huge pages that are being split", heads.len()),
        (_, true) => "a page whose entry says that it is being moved or split".to_owned(),
        (_, false) => "a huge page that is being split".to_owned(),
    }
}
