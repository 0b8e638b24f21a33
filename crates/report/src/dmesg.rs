//! `dmesg`: the kernel log.

use std::collections::HashMap;
use std::io::{self, Write};

use anstyle::Style;
use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{LogDevice, LogRecord};

use crate::duration::LogTime;
use crate::{Gap, Painted, Report, Sanitized, Theme};

/// In which order records are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were printed.
    #[default]
    Sequence,
    /// Those of each caller together, callers in the order of their first record: what CPUs printed at the same time
    /// is told apart.
    Caller,
}

/// The kernel log, oldest record first, or by caller.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Dmesg")]
pub struct Dmesg<'a> {
    /// The records.
    pub records: Vec<Record<'a>>,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
    #[serde(skip)]
    order: Order,
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
    pub fn new(log: &'a [LogRecord], gaps: &'a [vmcore_kernel::Gap], order: Order) -> Self {
        let mut records: Vec<_> = log.iter().map(Record::new).collect();
        if order == Order::Caller {
            by_caller(&mut records);
        }
        Self { records, gaps: gaps.iter().map(Gap::new).collect(), order }
    }
}

/// Records whose caller the kernel did not keep are one group.
fn by_caller(records: &mut [Record<'_>]) {
    let mut first: HashMap<Option<String>, u64> = HashMap::new();
    for record in &*records {
        first.entry(record.caller.clone()).or_insert(record.seq);
    }
    // The sort is stable: the records of a caller keep their order.
    records.sort_by_key(|record| first.get(&record.caller).copied());
}

/// `--- cpu:3: 57 records ---` before the first record of a caller. `rest` begins with it.
fn write_caller(rest: &[Record<'_>], out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Some(first) = rest.first() else { return Ok(()) };
    let count = rest.iter().take_while(|record| record.caller == first.caller).count();
    let plural = if count == 1 { "" } else { "s" };
    let name = first.caller.as_deref().unwrap_or("caller not recorded");
    writeln!(out, "{}", Painted(theme.heading, format_args!("--- {name}: {count} record{plural} ---")))
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
    /// A log is read line by line, by people and programs.
    fn may_be_folded(&self) -> bool {
        false
    }

    /// As `dmesg`: every line with its time stamp. What was still being written is marked.
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut caller = None;
        for (number, record) in self.records.iter().enumerate() {
            if self.order == Order::Caller && caller != Some(&record.caller) {
                caller = Some(&record.caller);
                write_caller(self.records.get(number..).unwrap_or_default(), out, theme)?;
            }
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
