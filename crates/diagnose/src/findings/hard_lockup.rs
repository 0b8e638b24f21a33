//! A CPU with its interrupts off for so long that its clock has stopped.
//!
//! The NMI watchdog or a neighbouring CPU says so in the log, where there is one. The run queue says it, too: its clock
//! advances with every tick of a CPU that is not idle, and stands still while interrupts are off.
//!
//! Control: an idle CPU's clock stops, too; where something else runs on top of its idle task, it is not idle. A CPU that only
//! turned its interrupts off as it died has a clock as late as the others.
//!
//! Source: `kernel/watchdog_perf.c` (`watchdog_hld.c` before 6.5), `kernel/watchdog_buddy.c`.

use std::cmp::Reverse;

use vmcore_console::{Kind, Occurrence, PanicReason};
use vmcore_kernel::Cpu;

use super::{Context, Found};
use crate::clock::hard_lockup_ns;
use crate::derived::stood_still_ns;
use crate::describe::{on_cpu, stuck_in};
use crate::evidence::{decimal, member};
use crate::idle::{OnIdle, has_idle_task, on_idle};
use crate::interrupts::{Flags, flags, interrupts_off};
use crate::stoppers::{self, waits_text};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Reader, Severity, reports};

/// One finding for each CPU.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let of_cpu = |cpu: &Cpu| Some((waits_for(facts, cpu), finding(facts, reader, cpu)?));
    let mut found: Vec<_> = facts.snapshot.cpus.iter().filter_map(of_cpu).collect();
    // Who only waits for another one comes last.
    found.sort_by_key(|(awaited, finding)| (*awaited, Reverse(finding.confidence)));
    found.into_iter().map(|(_, finding)| finding).collect::<Vec<_>>().into()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Option<Finding> {
    let said = facts.reports_of(Kind::HardLockup).rfind(|known| known.event.cpus.contains(&cpu.cpu));
    let deaf = deaf(facts, cpu);
    let lasts = deaf.as_ref().is_some_and(|deaf| deaf.behind_ns >= hard_lockup_ns(facts));
    if said.is_none() && !lasts {
        return None;
    }
    let mut evidence = Vec::new();
    if let (Some(deaf), Some(queue)) = (&deaf, &cpu.run_queue) {
        let meaning = format!("CPU {} has had no tick for {}", cpu.cpu, seconds(deaf.behind_ns));
        evidence.push(member(reader, queue.address, ("rq", "clock"), decimal(queue.clock_ns), meaning));
        evidence.extend(deaf.flags.map(Flags::off_evidence));
    }
    evidence.extend(said.and_then(|said| reports::evidence(facts, said)));
    let task = facts.snapshot.current(cpu).map(|task| task.address);
    if !lasts && is_over(facts, cpu, said) {
        let summary =
            format!("CPU {} had run with interrupts off, but that was over when the machine stopped", cpu.cpu);
        let finding = Finding::new(Issue::HardLockup, Confidence::Probable, summary, evidence);
        let is_long_ago = said.is_some_and(|said| reports::is_long_ago(facts, said));
        return Some(finding.with_severity(Severity::Warning).from_log(true).long_ago(is_long_ago).about(task));
    }
    let time = deaf.as_ref().map(|deaf| format!(" for {}", seconds(deaf.behind_ns))).unwrap_or_default();
    let is_deaf = deaf.is_some();
    let place = deaf.map_or_else(|| stuck_in(facts, cpu.cpu), |deaf| deaf.place);
    let awaited = waits_for(facts, cpu).map(|other| format!("; it {}", waits_text(other))).unwrap_or_default();
    let who = on_cpu(facts, cpu.cpu);
    let summary = format!("{who} has run with interrupts off{time}{place}: no timer, no call reaches it{awaited}");
    // Whoever panics for it has seen it at that moment.
    let seen = lasts || is_deaf && facts.death() == Some(PanicReason::HardLockup);
    let confidence = if said.is_some() && seen { Confidence::Confirmed } else { Confidence::Probable };
    Some(Finding::new(Issue::HardLockup, confidence, summary, evidence).from_log(said.is_some()).about(task))
}

/// The CPU for whose stopper thread that of a CPU with interrupts off waits.
fn waits_for(facts: &Facts<'_>, cpu: &Cpu) -> Option<u32> {
    deaf(facts, cpu).and_then(|_| stoppers::waits_for(facts, cpu.cpu))
}

/// Whether a lockup that was reported did not last: nobody died of it, and what the CPU does can be told. A panic is for the last that was
/// reported, whichever CPU it is that panics: since 6.5 a neighbour may.
fn is_over(facts: &Facts<'_>, cpu: &Cpu, said: Option<&Occurrence>) -> bool {
    let can_tell = cpu.run_queue.is_some() && facts.running_on(cpu.cpu).is_some_and(|stack| stack.error.is_none());
    let last = facts.reports_of(Kind::HardLockup).next_back();
    let is_last = said.zip(last).is_none_or(|(said, last)| std::ptr::eq(said, last));
    can_tell && !(is_last && facts.death() == Some(PanicReason::HardLockup))
}

/// A CPU with interrupts off that does not idle.
struct Deaf {
    /// For how long it had had no tick.
    behind_ns: u64,
    flags: Option<Flags>,
    /// Where it is, as [`stuck_in`] says it.
    place: String,
}

fn deaf(facts: &Facts<'_>, cpu: &Cpu) -> Option<Deaf> {
    if has_idle_task(cpu) {
        return match on_idle(facts, cpu) {
            OnIdle::Long(work, behind_ns) if cpu.registers.is_some() && work.flags.is_some_and(Flags::off) => {
                let place = format!(" in {}, on top of its idle task", work.code());
                Some(Deaf { behind_ns, flags: work.flags, place })
            }
            _ => None,
        };
    }
    interrupts_off(facts, cpu.cpu).then_some(())?;
    let behind_ns = stood_still_ns(facts, cpu)?;
    Some(Deaf { behind_ns, flags: flags(facts, cpu.cpu), place: stuck_in(facts, cpu.cpu) })
}
