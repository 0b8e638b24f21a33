//! Pieces of text that the verdict, its lines and its page are made of.

use super::Analyze;
use crate::{Duration, Hex};

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

/// An address, or nothing.
pub(crate) fn at(space: Option<&str>, address: Option<Hex>) -> String {
    match (space, address) {
        (Some(space), Some(address)) => format!(" at {space} {address}"),
        _ => String::new(),
    }
}
