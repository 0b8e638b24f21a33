//! The diagnosis of a dump of which nothing but the log can be read: there is no debug information.
//!
//! The log is judged as `log` judges one. What makes the difference to a healthy machine is that nothing else was looked
//! at: a log without a word of trouble is no answer here.

use std::collections::BTreeMap;
use std::fmt::Write;

use vmcore_console as console;
use vmcore_kernel::{Caller, Gap, LogRecord};

use crate::graph::Graph;
use crate::{Confidence, Diagnosis, LogDiagnosis, Verdict, from_log};

/// Judges a dump by its log; `why` says why there is no more.
#[must_use]
pub fn by_log_alone(log: &[LogRecord], gaps: &[Gap], why: &str) -> Diagnosis {
    // Reading from memory cannot fail.
    let read = console::Log::read(text(log).as_bytes()).unwrap_or_default();
    let LogDiagnosis { verdict, mut unknown, known_issue, remedy, .. } = from_log(&read);
    unknown.insert(0, format!("stacks, tasks, run queues, locks and page tables, which need debug information: {why}"));
    unknown.extend(gaps.iter().map(ToString::to_string));
    Diagnosis {
        verdict: with_doubt(verdict, log),
        spinners: Vec::new(),
        splitters: Vec::new(),
        graph: Graph::default(),
        page_frames: BTreeMap::new(),
        findings: Vec::new(),
        refutations: Vec::new(),
        unknown,
        known_issue,
        remedy,
        stacks: Vec::new(),
    }
}

/// By the log alone nobody is healthy.
fn with_doubt(verdict: Verdict, log: &[LogRecord]) -> Verdict {
    let summary = match verdict.confidence {
        _ if log.is_empty() => "The kernel's log could not be read, and nothing else can be looked at.".to_owned(),
        Confidence::None => format!("{} Nothing but the log could be looked at.", verdict.summary),
        _ => format!("{} This is by the log alone: nothing else could be looked at.", verdict.summary),
    };
    let confidence = match verdict.confidence {
        Confidence::None => Confidence::Insufficient,
        sure => sure,
    };
    Verdict { summary, confidence, ..verdict }
}

/// The log as `dmesg` prints it where the kernel keeps who printed a line. What user space wrote is left out: anybody may
/// write to `/dev/kmsg`; and so is what was still being written.
fn text(log: &[LogRecord]) -> String {
    let mut text = String::new();
    for record in log.iter().filter(|record| record.facility == 0 && !record.unfinished) {
        let (seconds, rest) = (record.timestamp_ns / 1_000_000_000, record.timestamp_ns % 1_000_000_000);
        let caller = match record.caller {
            None => String::new(),
            Some(Caller::Task(pid)) => format!("[{:>6}]", format!("T{pid}")),
            Some(Caller::Cpu(cpu)) => format!("[{:>6}]", format!("C{cpu}")),
        };
        for line in record.text.split('\n') {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "[{seconds:>5}.{:06}]{caller} {line}", rest / 1000);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Issue;

    fn record(timestamp_ns: u64, text: &str) -> LogRecord {
        LogRecord {
            seq: 0,
            timestamp_ns,
            level: 6,
            facility: 0,
            caller: None,
            text: text.to_owned(),
            device: None,
            unfinished: false,
        }
    }

    fn judge(log: &[LogRecord]) -> Diagnosis {
        by_log_alone(log, &[], "no vmlinux was found")
    }

    #[test]
    fn lines_are_those_of_dmesg() {
        let log = [
            record(14_957_393_123, "one\ntwo"),
            LogRecord { caller: Some(Caller::Cpu(1)), ..record(1, "three") },
            LogRecord { caller: Some(Caller::Task(123)), ..record(100_000_000_000_000, "four") },
            LogRecord { facility: 1, ..record(2, "from user space") },
            LogRecord { unfinished: true, ..record(2, "unfinished") },
        ];
        let expected = "[   14.957393] one\n[   14.957393] two\n[    0.000000][    C1] three\n\
                        [100000.000000][  T123] four\n";
        assert_eq!(text(&log), expected);
    }

    #[test]
    fn a_panic_is_found_and_what_is_missing_said() {
        let log = [
            record(1, "Linux version 4.19.90-x (gcc) #1 SMP"),
            record(2, "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [fstat/3:154]"),
            record(3, "Kernel panic - not syncing: softlockup: hung tasks"),
        ];
        let found = judge(&log);
        assert_eq!((found.verdict.issue, found.verdict.confidence), (Some(Issue::SoftLockup), Confidence::Probable));
        assert!(found.verdict.summary.ends_with("nothing else could be looked at."), "{}", found.verdict.summary);
        assert!(found.unknown.iter().any(|line| line.contains("no vmlinux was found")));
    }

    #[test]
    fn silence_is_not_health() {
        let quiet = judge(&[record(1, "Linux version 4.19.90-x (gcc) #1 SMP")]);
        assert_eq!((quiet.verdict.issue, quiet.verdict.confidence), (None, Confidence::Insufficient));
        let nothing = judge(&[]);
        assert_eq!((nothing.verdict.issue, nothing.verdict.confidence), (None, Confidence::Insufficient));
        assert!(nothing.verdict.summary.contains("could not be read"));
    }

    #[test]
    fn who_writes_to_the_log_does_not_crash_a_machine() {
        let forged = LogRecord { facility: 1, ..record(3, "Kernel panic - not syncing: forged") };
        assert_eq!(judge(&[record(1, "Linux version 4.19.90-x (gcc)"), forged]).verdict.issue, None);
    }
}
