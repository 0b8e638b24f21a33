//! `log`: what a kernel log tells.

mod cpu;
mod event;
pub(crate) mod page;
mod text;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_console as console;
use vmcore_diagnose as diagnose;

use crate::names;
use crate::verdict::{KnownIssue, Remedy, Verdict};
pub use cpu::{Copy, CpuReport, Frame, Interrupted, Registers};
pub use event::{Event, Lockup, Panic, TimelineEntry};

/// What the kernel's watchdog calls a CPU that takes no interrupts.
const HARD_LOCKUP: &str = console::Kind::HardLockup.name();

/// What a kernel log tells, put together by CPU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Log")]
pub struct Log<'a> {
    /// The file as the caller named it; `-` for standard input.
    pub path: String,
    /// The machine.
    pub kernel: Kernel<'a>,
    /// How the kernel panicked; null where the log does not say that it did.
    pub panic: Option<Panic<'a>>,
    /// The soft lockups, the last of each CPU, in the order in which the CPUs were first reported.
    pub lockups: Vec<Lockup<'a>>,
    /// Everything that the kernel reported, in the order of the lines.
    pub events: Vec<Event<'a>>,
    /// The same in words, with equal reports counted.
    pub timeline: Vec<TimelineEntry<'a>>,
    /// What each CPU printed about where it was, in the order of the lines; a CPU that reported twice is here twice.
    pub cpus: Vec<CpuReport<'a>>,
    /// The copies between kernel and user memory that fault, one for each task.
    pub copies: Vec<Copy<'a>>,
    /// The answer: from a log at most `probable`.
    pub verdict: Verdict<'a>,
    /// What a log cannot show, and what of this one could not be told.
    pub unknown: &'a [String],
    /// The known bug that it looks like.
    pub known_issue: Option<KnownIssue<'a>>,
    /// What to do, most effective first.
    pub remedy: Vec<Remedy<'a>>,
    /// How the boot that this is about ended: `open` where no other kernel starts after it, `shut-down`, `not-shown` where
    /// services stored the log, which end before the kernel; the kernel died or was reset: `reset` at once, as it said, `unsaid` on a console, `cut-off`
    /// in the middle of a line, `crash-kernel` where kdump's kernel starts after it.
    #[schemars(schema_with = "names::ending")]
    pub ending: &'static str,
    /// Whether it is the log of a crash kernel alone: what is asked died before.
    pub is_crash_kernel: bool,
    /// What was read.
    pub extent: Extent,
}

/// What the log says of the machine; null for what it does not say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogKernel")]
pub struct Kernel<'a> {
    /// `uname -r`.
    pub release: Option<&'a str>,
    /// The build, as far as the log has it.
    pub version: Option<&'a str>,
    /// The letters of the taint flags; empty where the kernel was not tainted.
    pub taint: Option<&'a str>,
    /// The machine's name for itself.
    pub hardware: Option<&'a str>,
    /// The modules that reports list, with the letters of their taint flags; null where none is listed.
    pub modules: Option<&'a [String]>,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogExtent")]
pub struct Extent {
    /// Lines.
    pub lines: u64,
    /// Those that are a kernel's without doubt.
    pub kernel_lines: u64,
    /// Lines of reports that fit no CPU's report.
    pub unattributed_lines: u64,
    /// How often a kernel starts in the log.
    pub starts: u64,
    /// Messages that the kernel printed and the console lost.
    pub lost_messages: u64,
    /// Lines of other boots than the one that all else here is about: the one with the worst report, of equals the last.
    pub lines_of_other_boots: u64,
    /// How many of the other boots ended abruptly and reported nothing that has to be mended.
    pub silent_ends: u64,
}

/// What a CPU printed, as a title and text without colours.
fn report_text(report: &CpuReport<'_>) -> (String, Vec<u8>) {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = text::write_report(report, &mut text, &crate::Theme::plain());
    (text::title(report), text)
}

impl<'a> Log<'a> {
    /// The CPUs that take no interrupts, each as it was first reported: those that the verdict is about first.
    fn hard_lockups(&self) -> Vec<&Event<'a>> {
        let hard = || self.events.iter().filter(|event| event.kind == HARD_LOCKUP);
        let is_of_verdict = |event: &&Event<'_>| {
            let entry = self.timeline.iter().find(|entry| entry.is_verdict);
            entry.is_some_and(|entry| entry.line == event.line)
        };
        let mut seen = BTreeSet::new();
        let in_order = hard().filter(is_of_verdict).chain(hard());
        in_order.filter(|event| event.cpu.is_some_and(|cpu| seen.insert(cpu))).collect()
    }

    /// How much there is: `1 line, 2 reports`.
    fn how_much(&self) -> String {
        let (lines, reports) = (self.extent.lines, self.cpus.len());
        let (line, report) =
            (if lines == 1 { "line" } else { "lines" }, if reports == 1 { "report" } else { "reports" });
        format!("{lines} {line}, {reports} {report}")
    }

    /// The log and what was made of it.
    #[must_use]
    pub fn new(path: String, log: &'a console::Log, found: &'a diagnose::LogDiagnosis) -> Self {
        let panic =
            log.panic().map(|panic| Panic { message: &panic.event.text, cpu: panic.event.cpu(), pid: panic.event.pid });
        let console::Extent {
            lines,
            kernel_lines,
            unattributed_lines,
            starts,
            lost_messages,
            lines_of_other_boots,
            silent_ends,
            ..
        } = log.extent;
        Self {
            path,
            kernel: Kernel::new(&log.machine),
            panic,
            lockups: log.lockups().into_iter().filter_map(Lockup::new).collect(),
            events: log.events.iter().map(Event::new).collect(),
            timeline: found.timeline.iter().map(TimelineEntry::new).collect(),
            cpus: log.traces.iter().map(CpuReport::new).collect(),
            copies: found.copies.iter().map(Copy::new).collect(),
            verdict: Verdict::new(&found.verdict, None),
            unknown: &found.unknown,
            known_issue: found.known_issue.as_ref().map(KnownIssue::new),
            remedy: found.remedy.iter().map(Remedy::new).collect(),
            ending: log.ending.name(),
            is_crash_kernel: log.is_crash_kernel,
            extent: Extent {
                lines,
                kernel_lines,
                unattributed_lines,
                starts,
                lost_messages,
                lines_of_other_boots,
                silent_ends,
            },
        }
    }
}

impl<'a> Kernel<'a> {
    fn new(machine: &'a console::Machine) -> Self {
        let console::Machine { release, version, taint, hardware, modules, .. } = machine;
        Self {
            release: release.as_deref(),
            version: version.as_deref(),
            taint: taint.as_deref(),
            hardware: hardware.as_deref(),
            modules: (!modules.is_empty()).then_some(modules.as_slice()),
        }
    }
}
