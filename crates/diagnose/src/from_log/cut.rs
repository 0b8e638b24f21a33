//! Lines that are too long to be read in full: what is beyond may be a report, as in a whole log on one line of JSON.

use vmcore_console::Log;

use crate::{Confidence, Verdict};

/// Nothing is well where a part of the log was not looked at.
pub(super) fn settle(verdict: Verdict, log: &Log) -> Verdict {
    let cut = log.extent.cut_lines;
    if cut == 0 || verdict.confidence != Confidence::None {
        return verdict;
    }
    let lines = if cut == 1 { "1 line is" } else { &format!("{cut} lines are") };
    let summary =
        format!("{} But {lines} longer than 8 KiB, and what is beyond that was not looked at.", verdict.summary);
    Verdict { confidence: Confidence::Insufficient, summary, ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_log;

    fn judged(filler: usize) -> Verdict {
        let mut text = String::from("[    1.000000] Linux version 6.1.0-9-amd64 (x@y) #1 SMP\n[    2.000000] x: ");
        text.push_str(&"A".repeat(filler));
        text.push_str(" [    3.000000] Kernel panic - not syncing: Fatal exception\n");
        from_log::from_log(&Log::read(text.as_bytes()).unwrap()).verdict
    }

    #[test]
    fn what_is_beyond_the_end_of_a_long_line_is_not_healthy() {
        assert_eq!(judged(4000).confidence, Confidence::Probable);
        let cut = judged(16_000);
        assert_eq!(cut.confidence, Confidence::Insufficient);
        assert!(cut.summary.ends_with("But 1 line is longer than 8 KiB, and what is beyond that was not looked at."));
    }
}
