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

    fn judged(filler: usize, rest: &str) -> Verdict {
        let mut text = String::from("[    1.000000] Linux version 6.1.0-9-amd64 (x@y) #1 SMP\n[    2.000000] x: ");
        text.push_str(&"A".repeat(filler));
        text.push_str(rest);
        from_log::from_log(&Log::read(text.as_bytes()).unwrap()).verdict
    }

    #[test]
    fn what_is_beyond_the_end_of_a_long_line_is_not_healthy() {
        let panic = " [    3.000000] Kernel panic - not syncing: Fatal exception\n";
        assert_eq!(judged(4000, panic).confidence, Confidence::Probable);
        let cut = judged(16_000, panic);
        assert_eq!(cut.confidence, Confidence::Insufficient);
        assert!(cut.summary.ends_with("But 1 line is longer than 8 KiB, and what is beyond that was not looked at."));
    }

    #[test]
    fn a_long_line_without_a_word_of_a_report_takes_nothing_away() {
        assert_eq!(judged(16_000, "\n").confidence, Confidence::None);
    }

    /// A console as clouds give it: one string of JSON.
    #[test]
    fn a_whole_console_on_one_line_is_read() {
        let mut console = String::from("[    1.000000] Linux version 6.1.0-9-amd64 (x@y) #1 SMP\\r\\n");
        for at in 2..2000 {
            console.push_str(&format!("[{at:>5}.000000] usb 1-1: new device\\r\\n"));
        }
        console.push_str("[ 2001.000000] Kernel panic - not syncing: Fatal exception\\r\\n");
        let text = format!("{{\"InstanceId\": \"i-1\", \"Output\": \"{console}\"}}\n");
        let found = from_log::from_log(&Log::read(text.as_bytes()).unwrap());
        assert_eq!(found.verdict.confidence, Confidence::Probable);
        assert!(found.unknown.is_empty(), "{:?}", found.unknown);
    }
}
