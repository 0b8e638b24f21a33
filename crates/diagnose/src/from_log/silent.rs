//! Kernels that died without a word of why: a log with such an end is not that of a healthy machine.
//!
//! A crash kernel's start is the clearest sign: nothing but a crash starts one. What the kernel before it printed last may
//! never have reached the console.

use vmcore_console::{Ending, Log, Occurrence, Weight};

use super::words;
use crate::{Confidence, Verdict};

/// Why the kernel that a log is about stopped is not in it.
pub(super) fn settle(verdict: Verdict, log: &Log) -> Verdict {
    if verdict.confidence != Confidence::None {
        return verdict;
    }
    let Some(summary) = summary(log) else { return verdict };
    Verdict { issue: None, confidence: Confidence::Insufficient, summary }
}

fn summary(log: &Log) -> Option<String> {
    let nothing = "No lockup, panic, oops, hung task, stall or failing device is reported";
    if log.is_crash_kernel {
        return Some(format!(
            "This is the log of a crash kernel: the kernel before it died, and what it said is not in here. {nothing} by the \
             crash kernel itself."
        ));
    }
    let unsaid = !says_why(log);
    let of_before =
        log.reset_before.as_ref().map(|why| format!("of the boot before this one the processor says: {why}"));
    let how = match log.ending {
        Ending::CrashKernel if unsaid => "it crashed: a crash kernel was started after it",
        Ending::Reset if unsaid => "it said that it resets the machine at once, and nothing was shut down before",
        Ending::CutOff if unsaid => "the next kernel starts in the middle of one of its lines",
        Ending::Unsaid if unsaid => "the next kernel starts without a word of a shutdown before",
        _ if of_before.is_some() => of_before.as_deref().unwrap_or_default(),
        _ if log.extent.silent_ends > 0 => "another boot than the last: it reported nothing and was not shut down",
        _ => return None,
    };
    Some(format!(
        "The kernel died or was reset, and the log does not say why ({how}). {nothing}; the last lines may never have reached \
         the console."
    ))
}

/// What cannot be told of the ends of kernels, beside a verdict.
pub(super) fn unknown(log: &Log) -> Vec<String> {
    let mut unknown = Vec::new();
    if log.ending.is_abrupt() && !says_why(log) {
        unknown.push("why the kernel died or was reset: the log has no report that says so".to_owned());
    }
    if log.is_crash_kernel {
        unknown
            .push("what the crash kernel was started for: the log of the kernel before it is not in here".to_owned());
    }
    if let Some(reason) = &log.reset_before {
        unknown.push(format!("why the boot before this one was reset, of which the processor says: {reason}"));
    }
    if log.extent.silent_ends > 0 {
        let ends = log.extent.silent_ends;
        unknown.push(format!(
            "why {ends} of the other boots in the log ended: nothing was reported, and nothing shut down"
        ));
    }
    unknown.extend(of_crash_kernel(log));
    unknown
}

fn of_crash_kernel(log: &Log) -> Option<String> {
    let Occurrence { event, line, .. } = log.of_crash_kernel.as_ref()?;
    let what = words::short(event);
    Some(format!(
        "what the dump has, if there is one: the crash kernel itself reports in line {}: {}",
        line.saturating_add(1),
        what.trim_end_matches('.')
    ))
}

/// Whether a report says why a kernel stopped. Not every one does: it goes on after a warning.
fn says_why(log: &Log) -> bool {
    log.events.iter().any(|known| known.is_asked_for || known.weight() == Weight::Stopped)
}
