//! What the kernel reported: events, in the order of the lines and counted.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_console as console;
use vmcore_diagnose as diagnose;

use crate::names;

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
    /// `cgroup-out-of-memory`, `allocation-failure`, `io-error`, `filesystem`, `io-timeout`, `net-timeout`, `init-stopped`,
    /// `hardware`, `corrected-hardware`; `backtrace`, `task` and `state-shown` only say what lines below them are.
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
    /// The function that called the one where it was, where no line names that itself.
    pub caller: Option<&'a str>,
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

impl<'a> Lockup<'a> {
    pub(super) fn new(event: &'a console::Event) -> Option<Self> {
        Some(Self { cpu: event.cpu()?, seconds: event.seconds?, comm: event.comm.as_deref()?, pid: event.pid? })
    }
}

impl<'a> Event<'a> {
    pub(super) fn new(occurrence: &'a console::Occurrence) -> Self {
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
            caller: event.caller.as_deref().and_then(|caller| caller.symbol.as_deref()),
            text: &event.text,
            details: &event.details,
        }
    }
}

impl<'a> TimelineEntry<'a> {
    pub(super) fn new(entry: &'a diagnose::TimelineEntry) -> Self {
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
