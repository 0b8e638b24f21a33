//! What the kernel reports and nobody has to mend: it is named, and the machine is not called ill for it.
//!
//! One policy for a log alone and for the log of a dump: `confidence` is `none` and the exit status 0 where nothing else
//! is reported. Somebody asked for the crash; a plain `WARNING:`. A container whose processes are killed for memory and a
//! part that corrects its errors have to be looked after, and are not among them.

use vmcore_console::{Event, Kind, Log, PanicReason};

use super::{issue_of, words};
use crate::{Confidence, Verdict};

fn is_harmless(event: &Event) -> bool {
    // Whatever else begins with `BUG:` is worse: list pointers, scheduling while atomic.
    is_asked_for(event) || event.kind == Kind::Warning && event.text.starts_with("WARNING: ")
}

/// Whether somebody asked for the crash.
pub(super) fn is_asked_for(event: &Event) -> bool {
    match event.kind {
        Kind::CrashRequested => true,
        Kind::Oops => words::is_sysrq(event),
        Kind::Panic => event.panic_reason() == Some(PanicReason::Requested),
        _ => false,
    }
}

/// Nothing is wrong where all reports of what a verdict names are harmless.
pub(super) fn settle(verdict: Verdict, log: &Log) -> Verdict {
    let Some(issue) = verdict.issue else { return verdict };
    let mut about = log
        .events
        .iter()
        .map(|known| &known.event)
        .filter(|event| event.kind.is_problem() && issue_of(event) == issue)
        .peekable();
    if about.peek().is_none() || !about.all(is_harmless) {
        return verdict;
    }
    let summary = format!(
        "{}; nothing else is reported. A machine can hang without a word in its log.",
        verdict.summary.trim_end_matches('.')
    );
    Verdict { confidence: Confidence::None, summary, ..verdict }
}
