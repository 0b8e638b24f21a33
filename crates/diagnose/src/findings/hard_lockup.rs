//! A CPU with its interrupts off for so long that its clock has stopped.
//!
//! The NMI watchdog or a neighbouring CPU says so in the log, where there is one. The run queue says it, too: its clock
//! advances with every tick of a CPU that is not idle, and stands still while interrupts are off.
//!
//! Control: an idle CPU's clock stops, too, but not where something else runs on top of its idle task. A CPU that only turned its interrupts off as it died has a clock as late as
//! the others.
//!
//! Source: `kernel/watchdog_perf.c` (`watchdog_hld.c` before 6.5), `kernel/watchdog_buddy.c`.

use vmcore_console::{Kind, PanicReason};
use vmcore_kernel::Cpu;

use super::{Context, Found};
use crate::describe::{on_cpu, stuck_in};
use crate::evidence::{decimal, member};
use crate::idle::{OnIdle, has_idle_task, on_idle, stood_still_ns};
use crate::interrupts::{Flags, flags, interrupts_off};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Reader, Severity, reports};

/// One finding for each CPU.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let cpus = context.facts.snapshot.cpus.iter();
    cpus.filter_map(|cpu| finding(context.facts, context.reader, cpu)).collect::<Vec<_>>().into()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Option<Finding> {
    let said = facts.reports_of(Kind::HardLockup).rfind(|known| known.event.cpus.contains(&cpu.cpu));
    let deaf = deaf_for(facts, cpu);
    let lasts = deaf.as_ref().is_some_and(|(behind, ..)| *behind >= facts.state.limits.hard_lockup_ns());
    if said.is_none() && !lasts {
        return None;
    }
    let mut evidence = Vec::new();
    if let (Some((behind, flags, _)), Some(queue)) = (&deaf, &cpu.run_queue) {
        let meaning = format!("CPU {} has had no tick for {}", cpu.cpu, seconds(*behind));
        evidence.push(member(reader, queue.address, ("rq", "clock"), decimal(queue.clock_ns), meaning));
        evidence.extend(flags.map(Flags::off_evidence));
    }
    evidence.extend(said.and_then(|said| reports::evidence(facts, said)));
    let task = facts.snapshot.current(cpu).map(|task| task.address);
    if !lasts && is_over(facts, cpu) {
        let summary =
            format!("CPU {} had run with interrupts off, but that was over when the machine stopped", cpu.cpu);
        let finding = Finding::new(Issue::HardLockup, Confidence::Probable, summary, evidence);
        return Some(finding.with_severity(Severity::Warning).from_log(true).about(task));
    }
    let time = deaf.as_ref().map(|(behind, ..)| format!(" for {}", seconds(*behind))).unwrap_or_default();
    let place = deaf.as_ref().map_or_else(|| stuck_in(facts, cpu.cpu), |(.., place)| place.clone());
    let summary =
        format!("{} has run with interrupts off{time}{place}: no timer, no call reaches it", on_cpu(facts, cpu.cpu));
    // Whoever panics for it has seen it at that moment.
    let seen = lasts || deaf.is_some() && facts.death() == Some(PanicReason::HardLockup);
    let confidence = if said.is_some() && seen { Confidence::Confirmed } else { Confidence::Probable };
    Some(Finding::new(Issue::HardLockup, confidence, summary, evidence).from_log(said.is_some()).about(task))
}

/// Whether a lockup that was reported did not last: nobody died of it, and what the CPU does can be told.
fn is_over(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let can_tell = cpu.run_queue.is_some() && facts.running_on(cpu.cpu).is_some_and(|stack| stack.error.is_none());
    can_tell && facts.death() != Some(PanicReason::HardLockup)
}

/// For how long a CPU with interrupts off that does not idle had had no tick, its flags, and where it is.
fn deaf_for(facts: &Facts<'_>, cpu: &Cpu) -> Option<(u64, Option<Flags>, String)> {
    if has_idle_task(cpu) {
        return match on_idle(facts, cpu) {
            OnIdle::Long(work, ns) if cpu.registers.is_some() && work.flags.is_some_and(Flags::off) => {
                Some((ns, work.flags, format!(" in {}, on top of its idle task", work.code())))
            }
            _ => None,
        };
    }
    interrupts_off(facts, cpu.cpu).then_some(())?;
    Some((stood_still_ns(facts, cpu)?, flags(facts, cpu.cpu), stuck_in(facts, cpu.cpu)))
}
