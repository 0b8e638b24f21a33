//! A log as a whole: what it says of the machine, what went wrong, and the trace of each CPU.

use crate::ending::Ending;
use crate::event::{Event, Kind, Weight};
use crate::token::{CpuLine, Token, named_kernel};
use crate::trace::Trace;

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
    /// When in its year, in seconds, by the date before the line: only where the kernel's own time is not there.
    pub second_of_year: Option<u32>,
    /// Whether it is, or is part of, a crash that somebody asked for.
    pub is_asked_for: bool,
    /// Whether it was over soon: a server answers again, a path is back, a device was only waited for.
    pub is_over: bool,
    /// Whether it is the firmware's record of the boot before, which the kernel prints when it starts.
    pub is_of_boot_before: bool,
}

impl Occurrence {
    /// How much it says of a machine that stopped.
    #[must_use]
    pub fn weight(&self) -> Weight {
        if self.is_asked_for || self.is_over { Weight::Harmless } else { self.event.weight() }
    }
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
    /// Whether the release is the one that the kernel printed when it started.
    pub(crate) is_from_start: bool,
}

/// What was read of a log, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Lines.
    pub lines: u64,
    /// Those that are a kernel's without doubt: by their prefix or their text.
    pub kernel_lines: u64,
    /// Those that were too long and were cut, where what was cut off may be part of a report.
    pub cut_lines: u64,
    /// Lines of reports that fit nobody's report.
    pub unattributed_lines: u64,
    /// Traces between the first and the latest, which are kept.
    pub dropped_traces: u64,
    /// Events between the first and the latest, none graver than those that are kept.
    pub dropped_events: u64,
    /// Messages that the kernel says were lost on their way to the console.
    pub lost_messages: u64,
    /// How often a kernel starts in the log: 0 where it begins after that.
    pub starts: u64,
    /// The lines of other boots than the one that this is about.
    pub lines_of_other_boots: u64,
    /// How many of the other boots ended abruptly and reported nothing worth a verdict: [`Ending::is_abrupt`].
    pub silent_ends: u64,
}

/// A log that was read. Of several boots the one with the worst report, of equals one that ended by that, of these the last; where
/// none has any worth a verdict, the last that ended abruptly, else the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// The machine.
    pub machine: Machine,
    /// What went wrong, in the order of the lines.
    pub events: Vec<Occurrence>,
    /// What each CPU printed about where it was, in the order of the lines.
    pub traces: Vec<Trace>,
    /// How the boot that this is about ended.
    pub ending: Ending,
    /// Whether the log has nothing but a crash kernel: what it is about died before.
    pub is_crash_kernel: bool,
    /// The first problem that the crash kernel which was started afterwards reported of itself.
    pub of_crash_kernel: Option<Occurrence>,
    /// How the boot before it ended without a word, by what the processor keeps of that, where that boot is not in the log:
    /// untrusted.
    pub reset_before: Option<String>,
    /// When the last line of that boot was printed, in nanoseconds since it began: the latest time of any.
    pub last_ns: Option<u64>,
    /// When in its year the last line with a date and without the kernel's own time was written, in seconds.
    pub last_second_of_year: Option<u32>,
    /// What was read.
    pub extent: Extent,
}

impl Log {
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

impl Machine {
    /// Takes what a line says of it. What `Linux version` said stays.
    pub(crate) fn learn(&mut self, text: &str, token: &Token) {
        match token {
            Token::Cpu(CpuLine { release, version, taint, .. }) => self.kernel(release, version, taint),
            Token::Hardware => {
                if let Some(name) = text.trim().strip_prefix("Hardware name: ") {
                    self.hardware = Some(name.to_owned());
                }
            }
            Token::Other if text.starts_with("Linux version ") => {
                let Some((release, version)) = text.get(14..).and_then(|rest| rest.split_once(' ')) else { return };
                self.release = Some(release.to_owned());
                self.version = version.rsplit_once(") ").map(|(_, version)| version.to_owned());
                self.is_from_start = true;
            }
            Token::Other => {
                if let Some(kernel) = named_kernel(text) {
                    self.kernel(&kernel.release, &kernel.version, &kernel.taint);
                }
            }
            _ => {}
        }
    }

    fn kernel(&mut self, release: &Option<String>, version: &Option<String>, taint: &Option<String>) {
        // A later line has more taint flags.
        self.taint = taint.clone().or_else(|| self.taint.take());
        if release.is_some() && !self.is_from_start {
            self.release.clone_from(release);
            self.version.clone_from(version);
        }
    }
}
