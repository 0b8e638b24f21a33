//! What the kernel's watchdogs said in the log about CPUs.

use vmcore_console::{Kind, Occurrence};

use crate::text::seconds;
use crate::{Evidence, Facts, Value, derived};

/// A report of a CPU of which nobody knows since when it does what it does is of that as long as it is not older.
pub(crate) const RECENT_NS: u64 = 600_000_000_000;
/// Between what the log's clock and a run queue's say, at most.
const SLACK_NS: u64 = 1_000_000_000;

/// Whether a watchdog said that this CPU is stuck with what still runs there: since its current task was given it. What was
/// reported before that was over then.
pub(crate) fn reported_stuck(facts: &Facts<'_>, cpu: u32) -> bool {
    let lockups = facts.reports_of(Kind::SoftLockup).chain(facts.reports_of(Kind::HardLockup));
    let stalls = stall(facts).filter(|stall| !stall.event.is_short_stall());
    let running = facts.snapshot.cpu(cpu).and_then(|cpu| facts.running_ns(cpu));
    let lasting = running.map_or(RECENT_NS, |running| running.saturating_add(SLACK_NS));
    let mut of_cpu = lockups.chain(stalls).filter(|known| known.event.cpus.contains(&cpu));
    of_cpu.any(|known| is_since(facts, known, lasting))
}

/// Whether something was reported within the last so many nanoseconds, as far as the log has times.
pub(crate) fn is_since(facts: &Facts<'_>, said: &Occurrence, ns: u64) -> bool {
    let ago = |at: u64| Some(derived::now_ns(facts)?.saturating_sub(at));
    said.timestamp_ns.and_then(ago).is_none_or(|ago| ago <= ns)
}

/// Whether something was reported longer ago than anything is recent.
pub(crate) fn is_long_ago(facts: &Facts<'_>, said: &Occurrence) -> bool {
    !is_since(facts, said, RECENT_NS)
}

/// `; that was reported 5000.0 s before the machine stopped`, as far as the log has times.
pub(crate) fn ago(facts: &Facts<'_>, said: &Occurrence) -> String {
    let ago = said.timestamp_ns.and_then(|at| Some(derived::now_ns(facts)?.saturating_sub(at)));
    ago.map(|ns| format!("; that was reported {} before the machine stopped", seconds(ns))).unwrap_or_default()
}

/// RCU's last stall warning.
pub(crate) fn stall<'f>(facts: &'f Facts<'_>) -> Option<&'f Occurrence> {
    facts.reports_of(Kind::RcuStall).next_back()
}

/// A line of the log as evidence.
pub(crate) fn evidence(facts: &Facts<'_>, said: &Occurrence) -> Option<Evidence> {
    let line = facts.line(said)?;
    let meaning = format!("logged {} after boot", seconds(line.timestamp_ns));
    Some(Evidence::new("kernel log", meaning).value(Value::Text(line.text.clone())))
}
