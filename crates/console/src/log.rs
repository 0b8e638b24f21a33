//! A log as a whole: what it says of the machine, what went wrong, and the trace of each CPU.

use std::io::{self, BufRead};

use crate::attribution::{Effort, Line, attribute};
use crate::boots::Boots;
use crate::clean::{Lines, clean};
use crate::event::{Event, Kind};
use crate::prefix::{self, Caller, Prefix};
use crate::reports::Reports;
use crate::token::{CpuLine, Token, module_names};
use crate::trace::{Trace, traces};

/// Lines between two reports after which they have nothing to do with each other.
const QUIET: u32 = 256;
/// Lines of reports after which the rest is worth less work: some hundred reports.
const MANY_LINES: usize = 32 << 10;
/// Lines of reports that are looked at together.
const MAX_EPISODE: usize = 8192;
/// From this many lines on the next report begins a new episode.
const LONG_EPISODE: usize = 4096;
/// What is kept of a log: the first reports say how it began. What is left out is counted.
const MAX_TRACES: usize = 4096;
/// As many lines of a boot may stand before `Linux version`.
const MAX_LINES_BEFORE: u64 = 64;
/// Names of modules that are kept: more than any kernel has.
const MAX_MODULES: usize = 2048;

/// Something that the kernel reported, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// What it said.
    pub event: Event,
    /// The line that it begins with, counted from 0.
    pub line: u64,
    /// The last line that is known to belong to it.
    pub last_line: u64,
    /// When, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
}

/// What the log says of the machine. All text is untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// `uname -r`.
    pub release: Option<String>,
    /// What follows it: the build, the beginning of `uname -v`.
    pub version: Option<String>,
    /// The flags after `Tainted: `, without blanks; empty where the kernel said that it was not tainted.
    pub taint: Option<String>,
    /// `Hardware name: `.
    pub hardware: Option<String>,
    /// The modules that reports list, with the letters of their taint flags, such as `nvidia(POE)`, each once. Empty where
    /// no report lists any.
    pub modules: Vec<String>,
}

/// What was read of a log, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Lines.
    pub lines: u64,
    /// Those that are a kernel's without doubt: by their prefix or their text.
    pub kernel_lines: u64,
    /// Those that were too long and were cut.
    pub cut_lines: u64,
    /// Lines of reports that fit nobody's report.
    pub unattributed_lines: u64,
    /// Traces beyond those that are kept.
    pub dropped_traces: u64,
    /// Events beyond those that are kept.
    pub dropped_events: u64,
    /// How often a kernel starts in the log: 0 where it begins after that.
    pub starts: u64,
    /// The lines of other boots than the one that this is about.
    pub lines_of_other_boots: u64,
}

/// A log that was read. Of several boots the last in which the kernel reported a problem, else the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// The machine.
    pub machine: Machine,
    /// What went wrong, in the order of the lines.
    pub events: Vec<Occurrence>,
    /// What each CPU printed about where it was, in the order of the lines.
    pub traces: Vec<Trace>,
    /// What was read.
    pub extent: Extent,
}

impl Log {
    /// Reads a log to its end: in memory that does not depend on its length, in time that grows with it.
    ///
    /// # Errors
    ///
    /// As `reader`. Nothing in the text is an error.
    pub fn read(reader: impl BufRead) -> io::Result<Self> {
        let mut lines = Lines::new(reader);
        let mut collector = Collector::default();
        while let Some(line) = lines.next()? {
            collector.line(&clean(line));
        }
        let mut log = collector.finish();
        log.extent.cut_lines = lines.cut;
        Ok(log)
    }

    /// Reads the records of one boot: all of them the kernel's own, in its order.
    #[must_use]
    pub fn of_records<'r>(records: impl IntoIterator<Item = Record<'r>>) -> Self {
        let mut collector = Collector::default();
        for record in records {
            let Record { timestamp_ns, caller, text } = record;
            for line in text.lines() {
                collector.text(Prefix { timestamp_ns, caller, level: None, is_kernel: true }, &clean(line.as_bytes()));
            }
        }
        collector.finish()
    }

    /// The soft lockups whose line is whole, the last of each CPU, in the order in which the CPUs were first reported.
    #[must_use]
    pub fn lockups(&self) -> Vec<&Event> {
        let mut latest: Vec<&Event> = Vec::new();
        let whole = |event: &&Event| event.kind == Kind::SoftLockup && event.pid.is_some();
        for event in self.events.iter().map(|occurrence| &occurrence.event).filter(whole) {
            match latest.iter_mut().find(|known| known.cpus == event.cpus) {
                Some(known) => *known = event,
                None => latest.push(event),
            }
        }
        latest
    }

    /// The first panic.
    #[must_use]
    pub fn panic(&self) -> Option<&Occurrence> {
        self.events.iter().find(|occurrence| occurrence.event.kind == Kind::Panic)
    }

    /// The report with the trace that a line is part of.
    #[must_use]
    pub fn trace_of(&self, line: u64) -> Option<&Trace> {
        self.traces.iter().find(|trace| trace.lines.iter().any(|(number, _)| *number == line))
    }
}

/// One record of a kernel's log, without the form that a file would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was printed, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
    /// Who printed it.
    pub caller: Option<Caller>,
    /// The text: one line, or several.
    pub text: &'a str,
}

/// Reads lines one after the other.
#[derive(Default)]
struct Collector {
    log: Log,
    boots: Boots,
    reports: Reports,
    episode: Vec<Line>,
    /// Lines of the episodes before.
    attributed: usize,
    quiet: u32,
    /// Since which line all are from before the clock was set: a kernel that starts.
    timeless: Option<u64>,
}

impl Collector {
    fn line(&mut self, line: &str) {
        let (prefix, text) = prefix::split(line);
        self.text(prefix, text);
    }

    fn text(&mut self, prefix: Prefix, text: &str) {
        let number = self.log.extent.lines;
        self.log.extent.lines += 1;
        self.timeless = if prefix.timestamp_ns == Some(0) { self.timeless.or(Some(number)) } else { None };
        let token = Token::parse(text);
        if token == Token::Other && text.starts_with("Linux version ") {
            self.start(number);
        }
        self.machine(text, &token);
        let is_kernel = prefix.is_kernel || !matches!(token, Token::Other | Token::Blank | Token::MoreModules);
        self.log.extent.kernel_lines += u64::from(is_kernel);
        if !matches!(token, Token::Event(_)) && self.reports.is_open(number) {
            self.reports.line(text, number, &prefix);
        }
        match &token {
            Token::Other => self.other(),
            // Without a time it is the file's empty line, not the kernel's.
            Token::Blank if prefix.timestamp_ns.is_none() || self.episode.is_empty() => self.other(),
            Token::MoreModules if self.episode.is_empty() => self.other(),
            _ => self.report(number, &prefix, text, token),
        }
    }

    /// A kernel starts: what was before is of another one.
    fn start(&mut self, line: u64) {
        // Some lines are printed before this one: they have no time yet.
        let few = line <= MAX_LINES_BEFORE && self.reports.events.is_empty();
        let begin = if few && self.boots.is_first() {
            0
        } else {
            self.timeless.unwrap_or(line).max(line.saturating_sub(MAX_LINES_BEFORE))
        };
        self.end_boot();
        let extent = self.log.extent;
        self.boots.end(std::mem::take(&mut self.log), begin);
        self.log.extent = Extent { lines: extent.lines, kernel_lines: extent.kernel_lines, ..Extent::default() };
    }

    fn other(&mut self) {
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet == QUIET {
            self.close();
        }
    }

    fn report(&mut self, number: u64, prefix: &Prefix, text: &str, token: Token) {
        let begins = matches!(token, Token::Event(_));
        if self.episode.len() >= MAX_EPISODE || begins && self.episode.len() >= LONG_EPISODE {
            self.close();
        }
        if let Token::Event(event) = &token {
            self.reports.event(event, number, prefix);
        }
        if matches!(token, Token::Modules | Token::MoreModules) {
            self.modules(text);
        }
        self.quiet = 0;
        self.episode.push(Line::new(number, prefix, text, token));
    }

    fn modules(&mut self, text: &str) {
        let known = &mut self.log.machine.modules;
        for name in module_names(text) {
            if known.len() < MAX_MODULES && !known.iter().any(|known| known == name) {
                known.push(name.to_owned());
            }
        }
    }

    fn machine(&mut self, text: &str, token: &Token) {
        let machine = &mut self.log.machine;
        match token {
            Token::Cpu(CpuLine { release, version, taint, .. }) => {
                // A later line has more taint flags.
                machine.taint = taint.clone().or_else(|| machine.taint.take());
                if release.is_some() {
                    machine.release.clone_from(release);
                    machine.version.clone_from(version);
                }
            }
            Token::Hardware => {
                if let Some(name) = text.trim().strip_prefix("Hardware name: ") {
                    machine.hardware = Some(name.to_owned());
                }
            }
            Token::Other => {
                if let Some((release, version)) =
                    text.strip_prefix("Linux version ").and_then(|rest| rest.split_once(' '))
                {
                    machine.release = Some(release.to_owned());
                    machine.version = version.rsplit_once(") ").map(|(_, version)| version.to_owned());
                }
            }
            _ => {}
        }
    }

    /// Ends an episode: the lines so far have nothing to do with those that come.
    fn close(&mut self) {
        let lines = std::mem::take(&mut self.episode);
        let effort = if self.attributed < MANY_LINES { Effort::Full } else { Effort::Little };
        self.attributed = self.attributed.saturating_add(lines.len());
        let assignments = attribute(&lines, effort);
        let lost = assignments.iter().zip(&lines).filter(|(assignment, line)| {
            assignment.is_none() && !matches!(line.token, Token::Blank | Token::MoreModules)
        });
        self.log.extent.unattributed_lines += lost.map(|_| 1u64).sum::<u64>();
        let traces = traces(&lines, &assignments);
        self.reports.complete(&traces);
        for trace in traces {
            if self.log.traces.len() < MAX_TRACES {
                self.log.traces.push(trace);
            } else {
                self.log.extent.dropped_traces += 1;
            }
        }
    }

    fn end_boot(&mut self) {
        self.close();
        let reports = std::mem::take(&mut self.reports);
        self.log.extent.dropped_events = reports.dropped;
        self.log.events = reports.events;
    }

    fn finish(mut self) -> Log {
        self.end_boot();
        self.boots.choose(self.log)
    }
}
