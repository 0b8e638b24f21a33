//! The lines of the log that report something.

use std::collections::{BTreeMap, BTreeSet};

use vmcore_console::{Caller, Kind, Log, PanicReason, Record, panic_message};
use vmcore_diagnose::{Confidence, Issue, from_log};
use vmcore_synth::scenario::{LogLine, LoggedAt};

use crate::Source;
use crate::seconds;

/// A report's lines that say something; a stack in the log goes on for longer, and is known already.
const MAX_REPORT: usize = 40;
/// Reports of one kind: the first and the last say what there is to be said.
const MAX_OF_A_KIND: usize = 4;
/// What the buffer of a synthetic log has room for.
const MAX_BYTES: usize = 48 << 10;
/// Its header, and what records are aligned to.
const RECORD: usize = 64;

/// The lines without which something else would be reported.
pub(crate) fn lines(source: &Source<'_, '_>) -> Vec<LogLine> {
    let facts = source.facts;
    let mut kinds: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for known in &facts.reports.events {
        let (Ok(first), Ok(last)) = (usize::try_from(known.line), usize::try_from(known.last_line)) else { continue };
        let last = last.min(first.saturating_add(MAX_REPORT)).max(first);
        kinds.entry(format!("{:?}", known.event.kind)).or_default().push((first, last));
    }
    let mut wanted = BTreeSet::new();
    for reports in kinds.values() {
        let skipped = reports.len().saturating_sub(MAX_OF_A_KIND);
        let kept = reports.iter().take(1).chain(reports.iter().skip(skipped.max(1)));
        wanted.extend(kept.flat_map(|(first, last)| *first..=*last));
    }
    let mut room = MAX_BYTES;
    let mut lines = Vec::new();
    // The last lines matter most.
    for line in wanted.into_iter().rev().filter_map(|index| facts.log.get(index)) {
        let Some(left) = room.checked_sub(line.text.len() + RECORD) else { break };
        room = left;
        let (cpu, pid) = match line.caller {
            Some(Caller::Cpu(cpu)) => (Some(cpu), None),
            Some(Caller::Task(pid)) => (None, Some(pid)),
            None => (None, None),
        };
        let at = Some(seconds(line.timestamp_ns));
        lines.push(LogLine::At(LoggedAt { at, cpu, pid, text: line.text.clone() }));
    }
    lines.reverse();
    without_idle_lines(lines)
}

/// What a line reports: of what kind, about which CPUs and task, for how long.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    kind: Kind,
    cpus: Vec<u32>,
    pid: Option<i32>,
    seconds: Option<u64>,
    jiffies: Option<u64>,
}

/// What a log reports, as far as a verdict can rest on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    events: Vec<Said>,
    death: Option<PanicReason>,
    verdict: (Option<Issue>, Confidence),
}

/// Reads lines as a log.
pub(crate) fn reported(lines: &[LogLine]) -> Reported {
    let caller = |line: &LogLine| match line {
        LogLine::At(line) => line.cpu.map(Caller::Cpu).or(line.pid.map(Caller::Task)),
        LogLine::Text(_) => None,
    };
    let log = Log::of_records(lines.iter().map(|line| Record {
        timestamp_ns: None,
        caller: caller(line),
        text: line.text(),
    }));
    let judged = from_log(&log).verdict;
    let events = log.events.iter().map(|known| {
        let event = &known.event;
        let (pid, seconds, jiffies) = (event.pid, event.seconds, event.jiffies);
        Said { kind: event.kind, cpus: event.cpus.clone(), pid, seconds, jiffies }
    });
    Reported {
        events: events.collect(),
        death: lines.iter().find_map(|line| panic_message(line.text())).map(PanicReason::of),
        verdict: (judged.issue, judged.confidence),
    }
}

/// Without the lines that change nothing of what is reported: in halves, quarters and so on, so that most are looked at
/// together.
pub(crate) fn without_idle_lines(mut lines: Vec<LogLine>) -> Vec<LogLine> {
    let wanted = reported(&lines);
    let mut size = lines.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < lines.len() {
            let end = at.saturating_add(size).min(lines.len());
            let rest: Vec<_> = lines.iter().take(at).chain(lines.iter().skip(end)).cloned().collect();
            if reported(&rest) == wanted {
                lines = rest;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_say_something_are_left() {
        let lines = [
            "eth0: link up",
            "watchdog: BUG: soft lockup - CPU#3 stuck for 23s! [a b:77]",
            "Call Trace:",
            " vfs_ioctl+0x10/0x20",
            "Kernel panic - not syncing: softlockup: hung tasks",
        ];
        let lines: Vec<_> = lines.iter().map(|text| LogLine::Text((*text).to_owned())).collect();
        let wanted = reported(&lines);
        assert_eq!((wanted.events.len(), wanted.death), (2, Some(PanicReason::SoftLockup)));
        let left = without_idle_lines(lines);
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(reported(&left), wanted);
    }
}
