//! The diagnosis of a dump of which nothing but the log can be read: there is no debug information.
//!
//! The log is judged as `log` judges one. What makes the difference to a healthy machine is that nothing else was looked
//! at: a log without a word of trouble is no answer here.

use std::collections::BTreeMap;
use std::fmt::Write;

use vmcore_console as console;
use vmcore_kernel::{Caller, Gap, LogRecord};

use crate::from_log::from_log_in_dump;
use crate::graph::Graph;
use crate::{Confidence, Diagnosis, LogDiagnosis, Remedy, Verdict};

/// A dump that nothing describes: what can be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Undescribed<'a> {
    /// Its path.
    pub path: &'a str,
    /// The release of its kernel.
    pub release: Option<&'a str>,
    /// The build-id of its kernel, in hexadecimal.
    pub build_id: Option<&'a str>,
    /// Why nothing describes it.
    pub why: &'a str,
}

/// Judges a dump by its log.
#[must_use]
pub fn by_log_alone(log: &[LogRecord], gaps: &[Gap], dump: &Undescribed<'_>) -> Diagnosis {
    // Reading from memory cannot fail.
    let read = console::Log::read(text(log).as_bytes()).unwrap_or_default();
    let LogDiagnosis { verdict, mut unknown, known_issue, mut remedy, .. } = from_log_in_dump(&read);
    let why = dump.why;
    unknown.insert(0, format!("stacks, tasks, run queues, locks and page tables, which need debug information: {why}"));
    remedy.splice(0..0, [describe(dump), read_log(dump)]);
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

/// What makes the rest of the dump readable.
fn describe(dump: &Undescribed<'_>) -> Remedy {
    let release = dump.release.unwrap_or("exactly the kernel that crashed");
    let build_id = dump.build_id.map(|id| format!(" (build-id {id})")).unwrap_or_default();
    let path = in_command(dump);
    Remedy {
        action: format!("get the vmlinux of {release}{build_id} from the kernel's debug package, and judge this dump with it"),
        command: Some(format!("vmcore-thp analyze {path} VMLINUX")),
        why: "the dump has far more than its log, and debug information makes it readable: who runs, who waits for whom, and why"
            .to_owned(),
    }
}

/// What there is to see before that.
fn read_log(dump: &Undescribed<'_>) -> Remedy {
    Remedy {
        action: "look at what the log itself has: each CPU's trace, and a time line".to_owned(),
        command: Some(format!("vmcore-thp dmesg {} | vmcore-thp log -", in_command(dump))),
        why: "this verdict is taken from it".to_owned(),
    }
}

/// The dump's path, where it goes into a command line as it is.
fn in_command<'d>(dump: &Undescribed<'d>) -> &'d str {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%".contains(letter);
    if dump.path.chars().all(is_plain) { dump.path } else { "DUMP" }
}

/// By the log alone nobody is healthy.
fn with_doubt(verdict: Verdict, log: &[LogRecord]) -> Verdict {
    let summary = match verdict.confidence {
        _ if log.is_empty() => {
            "The kernel's log could not be read, and nothing else can be without debug information.".to_owned()
        }
        Confidence::None => format!("{} Only the log could be read.", verdict.summary),
        _ => format!("{} This is based on the log alone; nothing else could be read.", verdict.summary),
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
        by_log_alone(log, &[], &UNDESCRIBED)
    }

    const UNDESCRIBED: Undescribed<'_> = Undescribed {
        path: "/var/crash/vmcore",
        release: Some("4.19.90-x"),
        build_id: Some("0aff"),
        why: "no vmlinux was found",
    };

    #[test]
    fn what_to_do_first_is_to_get_the_vmlinux() {
        let lockup = record(2, "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [fstat/3:154]");
        for log in [&[record(1, "Linux version 6.1.0 (gcc)"), lockup][..], &[]] {
            let remedy = judge(log).remedy;
            let first = remedy.first().unwrap();
            assert!(first.action.contains("the vmlinux of 4.19.90-x (build-id 0aff)"), "{}", first.action);
            assert_eq!(first.command.as_deref(), Some("vmcore-thp analyze /var/crash/vmcore VMLINUX"));
        }
        let odd = by_log_alone(&[], &[], &Undescribed { path: "a;reboot", ..UNDESCRIBED });
        assert_eq!(odd.remedy[0].command.as_deref(), Some("vmcore-thp analyze DUMP VMLINUX"));
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
        assert!(found.verdict.summary.ends_with("nothing else could be read."), "{}", found.verdict.summary);
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
