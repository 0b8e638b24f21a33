//! Pieces of text that the answer, its lines and its page are made of.

use std::fmt;
use std::io::{self, Write};

use super::Analyze;
use crate::wrap::Lines;
use crate::{Duration, Hex, Painted, Sanitized, Theme};

/// A line of its own with an empty one before it.
pub(crate) fn heading(text: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    writeln!(out, "\n{}", Painted(theme.heading, text))
}

/// Untrusted text, wrapped and indented.
pub(crate) fn paragraph(indent: usize, text: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    write!(out, "{}", Lines::new(indent, &Sanitized::new(text).to_string()).within(theme.width))
}

/// A label and its text, aligned.
pub(crate) fn row(label: &str, text: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    write!(out, "  {} ", Painted(theme.dim, format_args!("{label:<9}")))?;
    write!(out, "{}", Lines::hanging(12, &Sanitized::new(text).to_string()).within(theme.width))
}

pub(crate) fn kernel_line(report: &Analyze<'_>) -> String {
    let release = report.kernel.release.as_deref().unwrap_or("(unknown release)");
    let cpus = match report.kernel.cpus {
        None => String::new(),
        Some(1) => ", 1 CPU".to_owned(),
        Some(cpus) => format!(", {cpus} CPUs"),
    };
    let uptime = report.uptime_ns.map(|ns| format!(", up {}", Duration(ns))).unwrap_or_default();
    format!("{release}{cpus}{uptime}")
}

pub(crate) fn panic_line(report: &Analyze<'_>, message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    match (report.panic.cpu, report.panic.pid) {
        (Some(cpu), Some(pid)) => format!("CPU {cpu}, pid {pid}: {first}"),
        (Some(cpu), None) => format!("CPU {cpu}: {first}"),
        _ => first.to_owned(),
    }
}

/// A name in quotes, padded as a whole.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("\"{}\"", Sanitized::new(self.0)))
    }
}

/// An address, or nothing.
pub(crate) fn at(space: Option<&str>, address: Option<Hex>) -> String {
    match (space, address) {
        (Some(space), Some(address)) => format!(" at {space} {address}"),
        _ => String::new(),
    }
}
