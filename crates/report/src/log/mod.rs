//! `log`: what a kernel log tells.

pub(crate) mod page;
mod text;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_console as console;
use vmcore_diagnose as diagnose;

use crate::Hex;
use crate::names;
use crate::verdict::{KnownIssue, Remedy, Verdict};

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

/// A panic.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogPanic")]
pub struct Panic<'a> {
    /// What follows `Kernel panic - not syncing: `.
    pub message: &'a str,
    /// The CPU that panicked.
    pub cpu: Option<u32>,
    /// The thread id of the task on it.
    pub pid: Option<i32>,
}

/// A soft lockup.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lockup")]
pub struct Lockup<'a> {
    /// The CPU.
    pub cpu: u32,
    /// For how long, as the watchdog printed it.
    pub seconds: u64,
    /// The name of the task that had it, chosen by itself.
    pub comm: &'a str,
    /// The task's thread id.
    pub pid: i32,
}

/// Something that the kernel reported.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogEvent")]
pub struct Event<'a> {
    /// What it is about: `soft-lockup`, `hard-lockup`, `rcu-stall`, `rcu-starved`, `hung-task`, `workqueue-lockup`, `oops`,
    /// `panic`, `crash-requested`, `warning`, `lockdep`, `sanitizer`, `corruption`, `out-of-memory`,
    /// `cgroup-out-of-memory`, `allocation-failure`, `io-error`, `filesystem`, `io-timeout`, `net-timeout`, `hardware`,
    /// `corrected-hardware`; `backtrace`, `task` and `state-shown` only say what lines below them are.
    #[schemars(schema_with = "names::log_event")]
    pub kind: &'static str,
    /// The line that it begins with, counted from 1.
    pub line: u64,
    /// The last line that is known to belong to it.
    pub last_line: u64,
    /// When, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
    /// The CPU that it is about, or the first of them; null where no line names one.
    pub cpu: Option<u32>,
    /// All of them.
    pub cpus: &'a [u32],
    /// The thread id of the task that it is about.
    pub pid: Option<i32>,
    /// That task's name, chosen by itself.
    pub comm: Option<&'a str>,
    /// For how long, as the kernel printed it.
    pub seconds: Option<u64>,
    /// For how long, in ticks of the kernel's clock, where it says so: 100 to 1000 a second.
    pub jiffies: Option<u64>,
    /// The device, file system or server.
    pub device: Option<&'a str>,
    /// Where in the kernel's code.
    pub symbol: Option<&'a str>,
    /// The module of that function.
    pub module: Option<&'a str>,
    /// What the kernel said. Of a panic what follows `Kernel panic - not syncing: `.
    pub text: &'a str,
    /// What other lines of the report say.
    pub details: &'a [String],
}

/// What the kernel reported, once or several times.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogTimelineEntry")]
pub struct TimelineEntry<'a> {
    /// When the first was printed, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
    /// When the last was.
    pub last_timestamp_ns: Option<u64>,
    /// The line of the first, counted from 1.
    pub line: u64,
    /// As in `events`.
    #[schemars(schema_with = "names::log_event")]
    pub kind: &'static str,
    /// In words.
    pub summary: &'a str,
    /// How many there were.
    pub count: u64,
    /// Whether the verdict is about it.
    pub is_verdict: bool,
}

/// One report with its trace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "CpuReport")]
pub struct CpuReport<'a> {
    /// The CPU; null where the lines that name it are missing.
    pub cpu: Option<u32>,
    /// The thread id of the task on it.
    pub pid: Option<i32>,
    /// The task's name, chosen by itself.
    pub comm: Option<&'a str>,
    /// What the report is about, by the names of events.
    pub about: Vec<&'static str>,
    /// The CPU's own registers, above the trace.
    pub registers: Option<Registers<'a>>,
    /// The trace, innermost first.
    pub frames: Vec<Frame<'a>>,
    /// Registers within the trace: what exceptions and interrupts stopped; user code last.
    pub interrupted: Vec<Interrupted<'a>>,
    /// How sure it is that all of this was printed by one CPU, 0 to 1.
    pub attribution: f32,
    /// The lines that the report was put together from, counted from 1.
    pub lines: Vec<u64>,
}

/// A register dump.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogRegisters")]
pub struct Registers<'a> {
    /// The function; null for user code and where its line is missing.
    pub symbol: Option<&'a str>,
    /// Bytes from the function's start.
    pub offset: Option<u64>,
    /// Whether user code was running.
    pub user_mode: Option<bool>,
    /// The values by name. Registers whose line is missing are not there.
    pub values: BTreeMap<&'a str, Hex>,
}

/// One entry of a trace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogFrame")]
pub struct Frame<'a> {
    /// The function; null where the kernel printed an address only.
    pub symbol: Option<&'a str>,
    /// Bytes from its start.
    pub offset: Option<u64>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The module it is in; null for the kernel itself.
    pub module: Option<&'a str>,
    /// The address, where it was printed.
    pub address: Option<Hex>,
    /// Whether the kernel's unwinder found it; otherwise (`?`) it only lies on the stack.
    pub reliable: bool,
    /// The stack: `TASK`, `IRQ`, `NMI`; null where the log does not say.
    pub stack: Option<&'a str>,
}

/// Registers within a trace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogInterrupted")]
pub struct Interrupted<'a> {
    /// The number of the entry that follows, counted from 0.
    pub before_frame: usize,
    /// The registers.
    pub registers: Registers<'a>,
}

/// A copy between kernel and user memory that faults.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FaultingCopy")]
pub struct Copy<'a> {
    /// The CPU; null where the lines that name it are missing.
    pub cpu: Option<u32>,
    /// The task's thread id.
    pub pid: Option<i32>,
    /// The task's name, chosen by itself.
    pub comm: Option<&'a str>,
    /// The function that copies.
    pub function: &'a str,
    /// The user address that it had come to.
    pub address: Hex,
    /// The system call's function.
    pub syscall_function: Option<&'a str>,
    /// As in the report.
    pub attribution: f32,
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

impl<'a> Lockup<'a> {
    fn new(event: &'a console::Event) -> Option<Self> {
        Some(Self { cpu: event.cpu()?, seconds: event.seconds?, comm: event.comm.as_deref()?, pid: event.pid? })
    }
}

impl<'a> Event<'a> {
    fn new(occurrence: &'a console::Occurrence) -> Self {
        let event = &occurrence.event;
        let function = event.function.as_ref();
        Self {
            kind: event.kind.name(),
            line: occurrence.line.saturating_add(1),
            last_line: occurrence.last_line.saturating_add(1),
            timestamp_ns: occurrence.timestamp_ns,
            cpu: event.cpu(),
            cpus: &event.cpus,
            pid: event.pid,
            comm: event.comm.as_deref(),
            seconds: event.seconds,
            jiffies: event.jiffies,
            device: event.device.as_deref(),
            symbol: function.and_then(|function| function.symbol.as_deref()),
            module: function.and_then(|function| function.module.as_deref()),
            text: &event.text,
            details: &event.details,
        }
    }
}

impl<'a> TimelineEntry<'a> {
    fn new(entry: &'a diagnose::TimelineEntry) -> Self {
        Self {
            timestamp_ns: entry.timestamp_ns,
            last_timestamp_ns: entry.last_timestamp_ns,
            line: entry.line.saturating_add(1),
            kind: entry.kind.name(),
            summary: &entry.summary,
            count: entry.count,
            is_verdict: entry.is_verdict,
        }
    }
}

impl<'a> CpuReport<'a> {
    fn new(trace: &'a console::Trace) -> Self {
        let interrupted = |at: &'a console::Interrupted| Interrupted {
            before_frame: at.before_frame,
            registers: Registers::new(&at.registers),
        };
        Self {
            cpu: trace.cpu,
            pid: trace.pid,
            comm: trace.comm.as_deref(),
            about: trace.events.iter().map(|event| event.kind.name()).collect(),
            registers: trace.registers.as_ref().map(Registers::new),
            frames: trace.frames.iter().map(Frame::new).collect(),
            interrupted: trace.interrupted.iter().map(interrupted).collect(),
            attribution: rounded(trace.attribution),
            lines: trace.lines.iter().map(|(line, _)| line.saturating_add(1)).collect(),
        }
    }
}

/// Two digits are more than a confidence means.
fn rounded(confidence: f32) -> f32 {
    (confidence * 100.0).round() / 100.0
}

impl<'a> Registers<'a> {
    fn new(dump: &'a console::RegisterDump) -> Self {
        let location = dump.location.as_ref();
        Self {
            symbol: location.and_then(|location| location.symbol.as_deref()),
            offset: location.and_then(|location| location.offset),
            user_mode: dump.user_mode,
            values: dump.values.iter().map(|(name, value)| (*name, Hex(*value))).collect(),
        }
    }
}

impl<'a> Frame<'a> {
    fn new(frame: &'a console::TraceFrame) -> Self {
        let console::TraceFrame { frame: console::Frame { location, reliable }, stack } = frame;
        Self {
            symbol: location.symbol.as_deref(),
            offset: location.offset,
            size: location.size,
            module: location.module.as_deref(),
            address: location.address.map(Hex::from),
            reliable: *reliable,
            stack: stack.as_deref(),
        }
    }
}

impl<'a> Copy<'a> {
    fn new(copy: &'a diagnose::FaultingCopy) -> Self {
        Self {
            cpu: copy.cpu,
            pid: copy.pid,
            comm: copy.comm.as_deref(),
            function: &copy.function,
            address: copy.address.into(),
            syscall_function: copy.syscall_function.as_deref(),
            attribution: rounded(copy.attribution),
        }
    }
}
