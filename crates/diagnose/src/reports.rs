//! What the kernel's watchdogs said in the log about CPUs.

use vmcore_console::{Kind, Occurrence};

use crate::text::seconds;
use crate::{Evidence, Facts, Value};

/// Whether a watchdog said that this CPU is stuck.
pub(crate) fn reported_stuck(facts: &Facts<'_>, cpu: u32) -> bool {
    let lockups = facts.reports_of(Kind::SoftLockup).chain(facts.reports_of(Kind::HardLockup));
    lockups.chain(stall(facts)).any(|known| known.event.cpus.contains(&cpu))
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
