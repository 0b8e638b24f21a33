//! What the kernel reported, in the order in which it did, with equal reports counted.

use std::collections::HashMap;

use vmcore_console::{Event, Kind, Log};

use super::cause::{Cause, pool};
use super::words::short;

/// More entries than anybody reads; that of the verdict is there besides.
const MAX_ENTRIES: usize = 256;

/// One report, or several equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When the first was printed, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
    /// When the last was.
    pub last_timestamp_ns: Option<u64>,
    /// The line of the first, counted from 0.
    pub line: u64,
    /// What it is about.
    pub kind: Kind,
    /// In words: untrusted.
    pub summary: String,
    /// How many there were.
    pub count: u64,
    /// Whether it is the one that the verdict is about.
    pub is_verdict: bool,
}

/// The time line, and how many entries it leaves out.
pub(super) fn timeline(log: &Log, cause: Option<&Cause<'_>>) -> (Vec<TimelineEntry>, u64) {
    let mut entries: Vec<TimelineEntry> = Vec::new();
    let mut known: HashMap<(Kind, String), usize> = HashMap::new();
    let mut left_out = 0u64;
    for occurrence in log.events.iter().filter(|occurrence| occurrence.event.kind.is_problem()) {
        let event = &occurrence.event;
        let is_verdict = cause.is_some_and(|cause| std::ptr::eq(cause.main, occurrence));
        let key = (event.kind, key(event));
        if let Some(entry) = known.get(&key).and_then(|index| entries.get_mut(*index)) {
            entry.count = entry.count.saturating_add(1);
            entry.last_timestamp_ns = occurrence.timestamp_ns.or(entry.last_timestamp_ns);
            entry.is_verdict |= is_verdict;
            // The last says for how long.
            if !event.is_cut && entry.kind.is_hang_or_crash() {
                entry.summary = short(event);
            }
            continue;
        }
        if entries.len() >= MAX_ENTRIES && !is_verdict {
            left_out += 1;
            continue;
        }
        known.insert(key, entries.len());
        entries.push(TimelineEntry {
            timestamp_ns: occurrence.timestamp_ns,
            last_timestamp_ns: occurrence.timestamp_ns,
            line: occurrence.line,
            kind: event.kind,
            summary: short(event),
            count: 1,
            is_verdict,
        });
    }
    (entries, left_out)
}

/// Reports are equal that are about the same CPUs, task, pool of workers and device; of others by their text. A drive that
/// aborts a command answers otherwise than one that fails.
fn key(event: &Event) -> String {
    let about = match event.kind {
        Kind::IoError | Kind::IoTimeout | Kind::Filesystem | Kind::NetTimeout => event.device.clone(),
        Kind::Hardware | Kind::CorrectedHardware => Some(event.device.clone().unwrap_or_default()),
        Kind::SoftLockup | Kind::HardLockup | Kind::UnansweredCall | Kind::HungTask | Kind::RcuStall => {
            Some(String::new())
        }
        Kind::WorkqueueLockup => pool(event).map(str::to_owned),
        Kind::AllocationFailure => {
            event.text.split_once("order:").and_then(|(_, order)| order.split(',').next()).map(str::to_owned)
        }
        _ => None,
    };
    let about = about.unwrap_or_else(|| event.text.clone());
    let sort = (event.is_short_stall(), event.is_aborted_command());
    format!("{:?} {:?} {:?} {sort:?} {about}", event.cpus, event.pid, event.comm)
}
