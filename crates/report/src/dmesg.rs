//! `dmesg`: the kernel log.

use std::io::{self, Write};

use anstyle::Style;
use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{LogDevice, LogRecord};

use crate::duration::LogTime;
use crate::{Gap, Painted, Report, Sanitized, Theme};

/// The kernel log, oldest record first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Dmesg")]
pub struct Dmesg<'a> {
    /// The records.
    pub records: Vec<Record<'a>>,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
}

/// One record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogRecord")]
pub struct Record<'a> {
    /// Its number since boot, counted from 0.
    pub seq: u64,
    /// When it was printed, in nanoseconds since boot by the CPU's own clock.
    pub timestamp_ns: u64,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The syslog facility: 0 for the kernel.
    pub facility: u8,
    /// Who printed it: `cpu:N` in an interrupt, `task:PID` in a task; null where the kernel does not keep that.
    pub caller: Option<String>,
    /// The text, without its last newline.
    pub text: &'a str,
    /// The device it is about.
    pub device: Option<Device<'a>>,
    /// Whether it was still being written when the machine stopped.
    pub unfinished: bool,
}

/// The device that a record is about.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogDevice")]
pub struct Device<'a> {
    /// Its subsystem, such as `pci`.
    pub subsystem: &'a str,
    /// Its identity in the form of `/dev/kmsg`, such as `+pci:0000:00:01.0`.
    pub device: &'a str,
}

impl<'a> Dmesg<'a> {
    /// The log with what could not be read of it.
    #[must_use]
    pub fn new(log: &'a [LogRecord], gaps: &'a [vmcore_kernel::Gap]) -> Self {
        Self { records: log.iter().map(Record::new).collect(), gaps: gaps.iter().map(Gap::new).collect() }
    }
}

impl<'a> Record<'a> {
    fn new(record: &'a LogRecord) -> Self {
        let device = |LogDevice { subsystem, device }: &'a LogDevice| Device { subsystem, device };
        Self {
            seq: record.seq,
            timestamp_ns: record.timestamp_ns,
            level: record.level,
            facility: record.facility,
            caller: record.caller.map(|caller| caller.to_string()),
            text: &record.text,
            device: record.device.as_ref().map(device),
            unfinished: record.unfinished,
        }
    }
}

impl Report for Dmesg<'_> {
    /// As `dmesg`: every line with its time stamp. What was still being written is marked.
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        for record in &self.records {
            let style = style(record.level, theme);
            let mark = if record.unfinished { " (unfinished)" } else { "" };
            for line in record.text.split('\n') {
                let time = format_args!("[{}]", LogTime(record.timestamp_ns));
                let line = format_args!("{}{mark}", Sanitized::line(line));
                writeln!(out, "{} {}", Painted(theme.dim, time), Painted(style, line))?;
            }
        }
        Ok(())
    }
}

fn style(level: u8, theme: &Theme) -> Style {
    match level {
        0..=3 => theme.bad,
        4 => theme.doubtful,
        _ => Style::new(),
    }
}
