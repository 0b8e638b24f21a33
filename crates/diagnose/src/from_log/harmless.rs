//! What the kernel reports and nobody has to mend: it is named, and the machine is not called ill for it.
//!
//! One policy for a log alone and for the log of a dump: `confidence` is `none` and the exit status 0 where nothing else
//! is reported. Somebody asked for the crash; a plain `WARNING:`. A container whose processes are killed for memory and a
//! part that corrects its errors have to be looked after, and are not among them.

use vmcore_console::Weight;

use super::cause::Cause;
use super::issue_of;
use crate::{Confidence, Verdict};

/// Nothing is wrong where the worst that a verdict is about is harmless.
pub(super) fn settle(verdict: Verdict, cause: Option<&Cause<'_>>) -> Verdict {
    let Some(Cause { main, .. }) = cause else { return verdict };
    if main.weight() > Weight::Harmless || verdict.issue != Some(issue_of(&main.event)) {
        return verdict;
    }
    let summary = format!(
        "{}; nothing else is reported. A machine can hang without a word in its log.",
        verdict.summary.trim_end_matches('.')
    );
    Verdict { confidence: Confidence::None, summary, ..verdict }
}
