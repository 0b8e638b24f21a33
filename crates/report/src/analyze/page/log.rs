//! The kernel's log around the event: what it reported, and its lines since then, those of each caller together.

use std::fmt::Write;

use maud::{Markup, html};
use vmcore_console::Caller;
use vmcore_diagnose::{LogLine, from_log};

use super::super::around::KernelLog;
use crate::Sanitized;
use crate::duration::LogTime;
use crate::html::preformatted;
use crate::log::Log;
use crate::log::page::{cpus, time_line};

/// Lines that anybody reads; `dmesg` has all.
const MAX_LINES: usize = 600;
/// The last lines of a log in which nothing is reported.
const LAST_LINES: usize = 40;

/// The section; nothing where there is no log.
pub(super) fn log(log: &KernelLog<'_>) -> Markup {
    let found = from_log(log.reports);
    let told = Log::new(String::new(), log.reports, &found);
    let (lines, left_out) = since(log.lines, found.timeline.iter().find_map(|entry| entry.timestamp_ns));
    let callers = by_caller(lines);
    html! {
        (time_line(&told.timeline))
        @let reports = cpus(&told.cpus);
        @if !reports.0.is_empty() { h3 { "What each CPU reported" } (reports) }
        @if !callers.is_empty() { h3 { "Lines, by who printed them" } }
        @if left_out > 0 { p.dim { (left_out) " earlier lines are left out: " code { "vmcore-thp dmesg" } " shows them" } }
        @for (caller, lines) in &callers {
            details {
                summary { (name(*caller)) ": " (lines.len()) @if lines.len() == 1 { " line" } @else { " lines" } }
                (preformatted(text(lines).as_bytes()))
            }
        }
    }
}

/// The lines from the first report on, and how many of them are too many to show.
fn since(lines: &[LogLine], first_report: Option<u64>) -> (&[LogLine], usize) {
    let start = match first_report {
        Some(time) => lines.iter().position(|line| line.timestamp_ns >= time).unwrap_or(lines.len()),
        None => lines.len().saturating_sub(LAST_LINES),
    };
    let left_out = (lines.len() - start).saturating_sub(MAX_LINES);
    (lines.get(start + left_out..).unwrap_or_default(), left_out)
}

/// Callers in the order of their first line, each with its lines.
fn by_caller(lines: &[LogLine]) -> Vec<(Option<Caller>, Vec<&LogLine>)> {
    let mut callers: Vec<(Option<Caller>, Vec<&LogLine>)> = Vec::new();
    for line in lines {
        match callers.iter_mut().find(|(caller, _)| *caller == line.caller) {
            Some((_, theirs)) => theirs.push(line),
            None => callers.push((line.caller, vec![line])),
        }
    }
    callers
}

fn name(caller: Option<Caller>) -> String {
    match caller {
        Some(Caller::Cpu(cpu)) => format!("CPU {cpu}, in an interrupt"),
        Some(Caller::Task(pid)) => format!("pid {pid}"),
        None => "This kernel does not keep who prints".to_owned(),
    }
}

fn text(lines: &[&LogLine]) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[{}] {}", LogTime(line.timestamp_ns), Sanitized::line(&line.text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timestamp_ns: u64, caller: Option<Caller>, text: &str) -> LogLine {
        LogLine { timestamp_ns, caller, text: text.to_owned() }
    }

    #[test]
    fn lines_before_the_first_report_are_not_around_it() {
        let lines: Vec<_> = (0..1000).map(|time| line(time, None, "x")).collect();
        assert_eq!(since(&lines, Some(990)).0.len(), 10);
        assert_eq!(since(&lines, None).0.len(), LAST_LINES);
        assert_eq!((since(&lines, Some(0)).0.len(), since(&lines, Some(0)).1), (MAX_LINES, 400));
        assert_eq!(since(&lines, Some(2000)), (&[][..], 0));
    }

    #[test]
    fn lines_that_were_printed_over_each_other_are_told_apart() {
        let (one, two) = (Some(Caller::Cpu(1)), Some(Caller::Task(7)));
        let lines = [line(1, one, "a"), line(1, two, "b"), line(2, one, "c\x1b[2J")];
        let callers = by_caller(&lines);
        let told: Vec<_> = callers.iter().map(|(caller, lines)| (name(*caller), text(lines))).collect();
        let first = ("CPU 1, in an interrupt".to_owned(), "[    0.000000] a\n[    0.000000] c\\x1b[2J\n".to_owned());
        assert_eq!(told, [first, ("pid 7".to_owned(), "[    0.000000] b\n".to_owned())]);
    }
}
