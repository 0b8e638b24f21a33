//! What each CPU printed about where it was.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_console as console;
use vmcore_diagnose as diagnose;

use crate::Hex;

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

impl<'a> CpuReport<'a> {
    pub(super) fn new(trace: &'a console::Trace) -> Self {
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
    pub(super) fn new(dump: &'a console::RegisterDump) -> Self {
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
    pub(super) fn new(frame: &'a console::TraceFrame) -> Self {
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
    pub(super) fn new(copy: &'a diagnose::FaultingCopy) -> Self {
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
