//! A log read line by line: what is a report goes into an episode, and an episode is put together when it is over.

use crate::asked;
use crate::attribution::{Effort, Line, attribute};
use crate::boots::Boots;
use crate::carrier;
use crate::clean::{self, MAX_LINE, clean};
use crate::date::second_of_year;
use crate::ending::LastWords;
use crate::later::Later;
use crate::log::{Extent, Log};
use crate::prefilter::may_report;
use crate::prefix::{self, Prefix};
use crate::pstore::{self, Parts};
use crate::recovery;
use crate::reports::Reports;
use crate::reset;
use crate::soft_breaks::{SoftBreaks, Whole};
use crate::token::{Token, module_names};
use crate::trace::{Trace, traces};
use crate::wrapped::Held;
use crate::wrapping::{Unwrapped, Wrapping};

/// Columns of a terminal.
const TERMINAL: usize = 80;
/// Lines between two reports after which they have nothing to do with each other.
const QUIET: u32 = 256;
/// Lines without any of a report, after which only what may begin or continue one by its text is looked at.
const NEAR: u32 = 32;
/// Time between two reports after which they have nothing to do with each other: a serial line needs some for one.
const QUIET_NS: u64 = 10 * 1_000_000_000;
/// Lines of reports after which the rest is worth less work: some hundred reports.
const MANY_LINES: usize = 8 << 10;
/// Lines of reports that are looked at together.
const MAX_EPISODE: usize = 8192;
/// From this many lines on the next report begins a new episode.
const LONG_EPISODE: usize = 4096;
/// What is kept of a log: the first reports say how it began, and as many of the latest how it ended. What is between is counted.
const MAX_TRACES: usize = 2048;
/// Lines of these reports: those of all tasks of a large machine. One report may have frames without end.
const MAX_TRACE_LINES: usize = 64 << 10;
/// How a kernel starts.
const START: &str = "Linux version ";
/// As many lines of a boot may stand before that.
const MAX_LINES_BEFORE: u64 = 64;
/// Names of modules that are kept: more than any kernel has.
const MAX_MODULES: usize = 2048;

/// Reads lines one after the other.
#[derive(Default)]
pub(crate) struct Collector {
    log: Log,
    boots: Boots,
    /// Of the boot that is being read.
    words: LastWords,
    reports: Reports,
    episode: Vec<Line>,
    /// Lines of the episodes before.
    attributed: usize,
    /// Lines of the first reports of this boot.
    trace_lines: usize,
    /// What comes behind these.
    later: Later,
    quiet: u32,
    /// When the last line of the episode was printed.
    latest_ns: Option<u64>,
    /// Since which line all are from before the clock was set: a kernel that starts.
    timeless: Option<u64>,
    /// Lines of a mail that go on in the next.
    breaks: SoftBreaks,
    wrapping: Wrapping,
    /// A line that may go on in the next one.
    held: Option<Held>,
    /// Parts of a log that were kept in reverse order.
    parts: Parts,
}

impl Collector {
    /// A line of a file.
    pub(crate) fn line(&mut self, line: &clean::Line<'_>) {
        self.log.extent.cut_lines += u64::from(line.is_cut);
        if line.bytes.len() > MAX_LINE && self.long_record(line.bytes) {
            return;
        }
        let (bytes, is_cut) = clean::cut(line.bytes);
        self.log.extent.cut_lines += u64::from(is_cut && !line.is_cut);
        if let Some(whole) = self.breaks.line(bytes) {
            self.whole(&whole);
        }
    }

    /// A record that is longer than a line may be; false where it is none.
    fn long_record(&mut self, bytes: &[u8]) -> bool {
        let Some(record) = self.wrapping.open(&clean(bytes)) else { return false };
        let number = self.log.extent.lines;
        self.log.extent.lines += 1;
        record.iter().for_each(|record| self.unwrapped(record, number));
        true
    }

    fn whole(&mut self, line: &Whole<'_>) {
        self.unbroken(&line.bytes);
        self.log.extent.lines += line.more_lines;
    }

    fn unbroken(&mut self, bytes: &[u8]) {
        if pstore::is_header(bytes) || self.parts.is_open() {
            match self.parts.line(bytes) {
                Some(lines) => lines.iter().for_each(|line| self.carried(line)),
                None => return,
            }
            return;
        }
        self.carried(bytes);
    }

    fn carried(&mut self, bytes: &[u8]) {
        let number = self.log.extent.lines;
        self.log.extent.lines += 1;
        let is_plain = memchr::memchr2(0, 0x1b, bytes).is_none();
        if is_plain && !self.is_busy(number) && !may_report(bytes) && !self.wrapping.goes_on(bytes) {
            self.ordinary(bytes, number);
            return;
        }
        let line = clean(bytes);
        match self.wrapping.open(&line) {
            Some(Some(record)) => self.unwrapped(&record, number),
            Some(None) => {}
            None => self.printed(&line, number, Prefix::default()),
        }
    }

    fn unwrapped(&mut self, record: &Unwrapped, number: u64) {
        let outer = Prefix { timestamp_ns: record.timestamp_ns, is_kernel: record.is_kernel, ..Prefix::default() };
        for (at, line) in (0..).zip(record.text.lines()) {
            // Each is a line of its own: what is above another one came before it.
            self.log.extent.lines += u64::from(at > 0);
            let (_, is_cut) = clean::cut(line.as_bytes());
            self.log.extent.cut_lines += u64::from(is_cut);
            self.printed(line.get(..line.floor_char_boundary(MAX_LINE)).unwrap_or(line), number + at, outer);
        }
    }

    /// Whether the lines before may say something of this one.
    fn is_busy(&self, number: u64) -> bool {
        let goes_on = !self.episode.is_empty() && self.quiet <= NEAR;
        goes_on || self.held.is_some() || self.reports.is_open(number)
    }

    /// A line that is no part of any report.
    fn ordinary(&mut self, bytes: &[u8], number: u64) {
        let timestamp_ns = prefix::time_in(bytes);
        self.starts_before_time(timestamp_ns, number);
        let is_kernel = timestamp_ns.is_some() || bytes.starts_with(b"<") || prefix::names_kernel(bytes);
        self.log.extent.kernel_lines += u64::from(is_kernel);
        if timestamp_ns.is_none() {
            self.words.pass_head(bytes);
        }
        self.other();
    }

    fn starts_before_time(&mut self, timestamp_ns: Option<u64>, number: u64) {
        self.words.pass(timestamp_ns);
        self.timeless = if timestamp_ns == Some(0) { self.timeless.or(Some(number)) } else { None };
    }

    /// A line as the kernel printed it, or several.
    fn printed(&mut self, line: &str, number: u64, outer: Prefix) {
        self.log.extent.lost_messages = self.log.extent.lost_messages.saturating_add(carrier::lost(line));
        let fills_terminal = line.len() == TERMINAL;
        let mut before = false;
        let second_of_year = second_of_year(line);
        for (mut prefix, text) in carrier::pieces(line) {
            if text.starts_with(START) {
                self.words.starts(line, before);
            }
            before |= prefix.timestamp_ns.is_some();
            prefix.timestamp_ns = prefix.timestamp_ns.or(outer.timestamp_ns);
            if prefix.timestamp_ns.is_none() {
                prefix.second_of_year = prefix.second_of_year.or(second_of_year);
            }
            prefix.is_kernel |= outer.is_kernel;
            if let Some(held) = self.held.take() {
                if let Some(whole) = held.joined(&prefix, text) {
                    self.hold_or_take(whole);
                    continue;
                }
                self.text(held.number, held.prefix, &held.text);
            }
            self.hold_or_take(Held { number, prefix, text: text.to_owned(), fills_terminal });
        }
    }

    fn hold_or_take(&mut self, line: Held) {
        if line.may_go_on() {
            self.held = Some(line);
        } else {
            self.text(line.number, line.prefix, &line.text);
        }
    }

    /// A record of the kernel's own log.
    pub(crate) fn record(&mut self, prefix: Prefix, text: &str) {
        let number = self.log.extent.lines;
        self.log.extent.lines += 1;
        self.text(number, prefix, &clean(text.as_bytes()));
    }

    fn text(&mut self, number: u64, prefix: Prefix, text: &str) {
        let token = Token::parse(text);
        if token == Token::Other && text.starts_with(START) {
            self.start(number);
        }
        self.starts_before_time(prefix.timestamp_ns, number);
        self.words.pass_date(prefix.second_of_year);
        self.words.learn(text);
        self.reports.records_begin(text, number);
        self.reports.slot_empties(text, number);
        recovery::learn(&mut self.reports.events, text);
        if let Some(reason) = reset::untold(text) {
            self.log.reset_before = Some(reason.to_owned());
        }
        self.reports.limit_is_named(text, number);
        self.log.machine.learn(text, &token);
        let is_kernel = prefix.is_kernel
            || !matches!(token, Token::Other | Token::Blank | Token::MoreModules)
            || text.starts_with(START);
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
        let few = line <= MAX_LINES_BEFORE && self.reports.events.is_empty() && !self.words.has_run();
        let timeless = self.timeless.unwrap_or(line).max(line.saturating_sub(MAX_LINES_BEFORE));
        let begin = if few && self.boots.is_first() { 0 } else { timeless };
        self.end_boot();
        let extent = self.log.extent;
        self.trace_lines = 0;
        self.boots.end(std::mem::take(&mut self.log), std::mem::take(&mut self.words), begin);
        self.log.extent = Extent {
            lines: extent.lines,
            kernel_lines: extent.kernel_lines,
            lost_messages: extent.lost_messages,
            ..Extent::default()
        };
    }

    fn other(&mut self) {
        if self.episode.is_empty() {
            return;
        }
        self.quiet += 1;
        if self.quiet > QUIET {
            self.close();
        }
    }

    fn report(&mut self, number: u64, prefix: &Prefix, text: &str, token: Token) {
        let begins = matches!(token, Token::Event(_));
        let passed = self.latest_ns.zip(prefix.timestamp_ns).map(|(before, now)| now.saturating_sub(before));
        let is_later = begins && passed.is_some_and(|passed| passed > QUIET_NS);
        if self.episode.len() >= MAX_EPISODE || begins && self.episode.len() >= LONG_EPISODE || is_later {
            self.close();
        }
        if let Token::Event(event) = &token {
            self.reports.event(event, number, prefix);
            // Where nothing else is printed, it is over with that line.
            if self.episode.is_empty() && event.kind.stands_alone() {
                return;
            }
        }
        if matches!(token, Token::Modules | Token::MoreModules) {
            self.modules(text);
        }
        self.quiet = 0;
        self.latest_ns = prefix.timestamp_ns.or(self.latest_ns);
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

    /// Ends an episode: the lines so far have nothing to do with those that come.
    fn close(&mut self) {
        let lines = std::mem::take(&mut self.episode);
        let effort = if self.attributed < MANY_LINES { Effort::Full } else { Effort::Little };
        self.attributed = self.attributed.saturating_add(lines.len());
        self.latest_ns = None;
        if lines.is_empty() {
            return;
        }
        if self.log.traces.len() >= MAX_TRACES || self.trace_lines >= MAX_TRACE_LINES {
            self.later.push(lines);
            return;
        }
        let traces = self.put_together(&lines, effort);
        self.trace_lines += traces.iter().map(|trace| trace.lines.len()).sum::<usize>();
        self.log.traces.extend(traces);
    }

    /// The reports of an episode.
    fn put_together(&mut self, lines: &[Line], effort: Effort) -> Vec<Trace> {
        let assignments = attribute(lines, effort);
        let lost = assignments.iter().zip(lines).filter(|(assignment, line)| {
            assignment.is_none() && !matches!(line.token, Token::Blank | Token::MoreModules)
        });
        self.log.extent.unattributed_lines += lost.map(|_| 1u64).sum::<u64>();
        let traces = traces(lines, &assignments);
        self.reports.complete(&traces);
        traces
    }

    /// The latest reports of a boot that has more than are kept.
    fn put_later_together(&mut self) {
        let mut latest = Vec::new();
        for (lines_from_here, episode) in self.later.take() {
            // How the log ends is worth as much as how it begins.
            let effort = if lines_from_here <= MANY_LINES { Effort::Full } else { Effort::Little };
            latest.extend(self.put_together(&episode, effort));
        }
        let excess = latest.len().saturating_sub(MAX_TRACES);
        self.log.traces.extend(latest.drain(excess..));
        self.log.extent.dropped_traces += latest.len() as u64 + std::mem::take(&mut self.later.passed_over);
    }

    fn end_boot(&mut self) {
        self.close();
        self.put_later_together();
        self.reports.keep_no_more();
        let mut reports = std::mem::take(&mut self.reports);
        asked::mark(&mut reports.events);
        recovery::mark(&mut reports.events);
        self.log.extent.dropped_events = reports.dropped;
        self.log.events = reports.events;
        self.log.last_ns = self.words.last_ns();
        self.log.last_second_of_year = self.words.last_second_of_year();
    }

    pub(crate) fn finish(mut self) -> Log {
        if let Some(rest) = self.breaks.rest() {
            self.whole(&rest);
        }
        for line in self.parts.finish() {
            self.carried(&line);
        }
        if let Some(record) = self.wrapping.rest() {
            self.unwrapped(&record, self.log.extent.lines);
        }
        if let Some(held) = self.held.take() {
            self.text(held.number, held.prefix, &held.text);
        }
        self.end_boot();
        self.boots.choose(self.log, self.words)
    }
}
