//! A CPU with its interrupts off for so long that its clock has stopped.
//!
//! The NMI watchdog or a neighbouring CPU says so in the log, where there is one. The run queue says it, too: its clock
//! advances with every tick of a CPU that is not idle, and stands still while interrupts are off.
//!
//! Control: an idle CPU's clock stops, too. A CPU that only turned its interrupts off as it died has a clock as late as
//! the others.
//!
//! Source: `kernel/watchdog_perf.c` (`watchdog_hld.c` before 6.5), `kernel/watchdog_buddy.c`.

use vmcore_kernel::Cpu;
use vmcore_memory::VirtAddr;

use super::clock::now_ns;
use super::spinlock::on_cpu;
use super::{Neighbour, stuck_in, watchdog};
use crate::evidence::{decimal, member};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Place, Reader, Severity, Value, issue};

/// `X86_EFLAGS_IF`.
const INTERRUPTS_ON: u64 = 1 << 9;
/// `watchdog_thresh` by default: for how long the hard-lockup watchdog waits.
const THRESHOLD_NS: u64 = 10_000_000_000;

/// One finding for each CPU.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Neighbour> {
    facts.snapshot.cpus.iter().filter_map(|cpu| finding(facts, reader, cpu)).collect()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Option<Neighbour> {
    let said = facts.log.iter().rfind(|line| watchdog::hard_lockup(&line.text) == Some(cpu.cpu));
    let deaf = deaf_for(facts, cpu);
    if said.is_none() && deaf.is_none_or(|behind| behind < THRESHOLD_NS) {
        return None;
    }
    let mut evidence = Vec::new();
    if let (Some(behind), Some(queue)) = (deaf, &cpu.run_queue) {
        let meaning = format!("CPU {} has had no tick for {}", cpu.cpu, seconds(behind));
        evidence.push(member(reader, queue.address, ("rq", "clock"), decimal(queue.clock_ns), meaning));
        evidence.extend(flags(facts, cpu.cpu).map(|(flags, at)| {
            let fact = Evidence::new("pt_regs.flags", "X86_EFLAGS_IF is not set: interrupts are off");
            Evidence { place: at.map(Place::Kernel), ..fact.value(Value::Hex(flags)) }
        }));
    }
    evidence.extend(said.map(|line| {
        Evidence::new("kernel log", format!("logged {} after boot", seconds(line.timestamp_ns)))
            .value(Value::Text(line.text.clone()))
    }));
    let time = deaf.map(|behind| format!(" for {}", seconds(behind))).unwrap_or_default();
    let place = stuck_in(facts, cpu.cpu);
    let summary =
        format!("{} has run with interrupts off{time}{place}: no timer, no call reaches it", on_cpu(facts, cpu.cpu));
    let confidence = if said.is_some() && deaf.is_some() { Confidence::Confirmed } else { Confidence::Probable };
    Some((confidence, Finding { id: issue::HARD_LOCKUP, severity: Severity::Critical, summary, evidence }))
}

/// The flags of the code that a CPU's task ran before whatever stopped the CPU; where they were saved, if in memory.
fn flags(facts: &Facts<'_>, cpu: u32) -> Option<(u64, Option<VirtAddr>)> {
    /// `offsetof(struct pt_regs, flags)`.
    const PT_REGS_FLAGS: u64 = 18 * 8;
    let stack = facts.running_on(cpu)?;
    let interrupted = stack.interrupts.iter().rev().find(|interrupt| !interrupt.registers.user_mode());
    let saved =
        interrupted.map(|interrupt| (interrupt.registers.eflags, Some(interrupt.address.wrapping_add(PT_REGS_FLAGS))));
    let own = || facts.snapshot.cpu(cpu)?.registers.map(|known| known.registers).filter(|known| !known.user_mode());
    saved.or_else(|| own().map(|registers| (registers.eflags, None)))
}

/// Whether the code that a CPU's task ran had interrupts off.
pub(crate) fn interrupts_off(facts: &Facts<'_>, cpu: u32) -> bool {
    flags(facts, cpu).is_some_and(|(flags, _)| flags & INTERRUPTS_ON == 0)
}

/// For how long a busy CPU with interrupts off has had no tick.
fn deaf_for(facts: &Facts<'_>, cpu: &Cpu) -> Option<u64> {
    let queue = cpu.run_queue.as_ref().filter(|queue| queue.current != queue.idle)?;
    interrupts_off(facts, cpu.cpu).then_some(())?;
    now_ns(facts)?.checked_sub(queue.clock_ns)
}
