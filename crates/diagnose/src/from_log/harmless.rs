//! What the kernel reports and nobody has to mend: it is named, and the machine is not called ill for it.
//!
//! One policy for a log alone and for the log of a dump: `confidence` is `none` and the exit status 0 where nothing else
//! is reported. Somebody asked for the crash; a plain `WARNING:`.
//!
//! A container whose processes are killed for memory, a part that corrects its errors, and a driver that gets no pages next to each
//! other are as ordinary on healthy machines, and yet may be what a machine suffers from. Shortly before its end, or where no time tells, that is `possible`;
//! long before, it is as harmless as the others.

use vmcore_console::{Log, Occurrence, Weight};

use super::cause::{Cause, passed_ns, time_of};
use super::{issue_of, words};
use crate::reports::RECENT_NS;
use crate::text::seconds;
use crate::{Confidence, Verdict};

/// What a summary says behind the report itself.
const NOTHING_ELSE: &str = "; nothing else is reported";
const NOTHING_WORSE: &str = "; nothing worse is reported";
const HALF_YEAR_NS: u64 = 183 * 24 * 3600 * 1_000_000_000;
/// A machine can hang without a word.
const SILENT_HANG: &str = "A machine can hang without a word in its log.";

/// Nothing is wrong where the worst that a verdict is about is harmless, or routine and long past; `now_ns` is when the machine
/// stopped, where that is known of more than its log.
pub(super) fn settle(verdict: Verdict, cause: Option<&Cause<'_>>, log: &Log, now_ns: Option<u64>) -> Verdict {
    let Some(cause) = cause.filter(|cause| verdict.issue == Some(issue_of(&cause.main.event))) else { return verdict };
    match cause.main.weight() {
        Weight::Routine => routine(verdict, cause, log, now_ns),
        weight if weight <= Weight::Harmless => {
            let summary = format!("{}{NOTHING_ELSE}. {SILENT_HANG}", verdict.summary.trim_end_matches('.'));
            Verdict { confidence: Confidence::None, summary, ..verdict }
        }
        _ => verdict,
    }
}

/// What a summary says of the report itself.
pub(crate) fn report_alone(summary: &str) -> &str {
    let rest = [NOTHING_ELSE, NOTHING_WORSE].iter().find_map(|rest| summary.split_once(rest));
    rest.map_or(summary, |(what, _)| what)
}

fn routine(verdict: Verdict, cause: &Cause<'_>, log: &Log, now_ns: Option<u64>) -> Verdict {
    let main = cause.main;
    let (end, what) = match cause.request {
        Some(request) => (time_of(request), words::request(&request.event)),
        None => (log_end(log, now_ns), if now_ns.is_some() { "the machine stopped" } else { "the log ends" }),
    };
    // Dates have no year: an end that seems to be more than half of one later is earlier, in a log that was put together anyhow.
    let passed = passed_ns(time_of(main), end).filter(|passed| main.timestamp_ns.is_some() || *passed < HALF_YEAR_NS);
    let at = main.timestamp_ns.map(|ns| format!(" at {},", seconds(ns))).unwrap_or_default();
    let reported = words::summary(cause);
    let reported = reported.trim_end_matches('.');
    let count = log.events.iter().filter(|known| issue_of(&known.event) == issue_of(&main.event)).count();
    let which = if count > 1 { format!("That was the last of {count} such reports") } else { "That was".to_owned() };
    let when = match passed {
        Some(passed) => {
            let comma = if count > 1 { "," } else { "" };
            let before = if passed < 1_000_000_000 { "just".to_owned() } else { seconds(passed) };
            format!("{which}{comma}{at} {before} before {what}")
        }
        None => format!("How long before {what} that was, the log does not say"),
    };
    let is_past = passed.is_some_and(|passed| passed > RECENT_NS);
    let summary = if is_past {
        let is_other = |known: &&Occurrence| {
            known.weight() > Weight::Nothing && !known.is_asked_for && issue_of(&known.event) != issue_of(&main.event)
        };
        let rest = if log.events.iter().any(|known| is_other(&known)) { NOTHING_WORSE } else { NOTHING_ELSE };
        format!("{reported}. {when}{rest}. Healthy machines report that, too. {SILENT_HANG}")
    } else {
        format!(
            "{reported}. {when}. Healthy machines report that, too; whether this one suffered from it, the log does not say."
        )
    };
    let confidence = if is_past { Confidence::None } else { Confidence::Possible };
    Verdict { confidence, summary, ..verdict }
}

/// When the log ends, or the machine stopped.
fn log_end(log: &Log, now_ns: Option<u64>) -> (Option<u64>, Option<u32>) {
    (log.last_ns.max(now_ns), log.last_second_of_year)
}
