//! Timers: which function is to be called when, and which of them are overdue.
//!
//! ```text
//! timer_bases[]     per CPU: a wheel of 576 lists of struct timer_list, expires in jiffies
//! hrtimer_bases     per CPU: eight clocks with a tree of struct hrtimer, expires in ns of that clock
//! ```
//!
//! Source: `kernel/time/timer.c`, `kernel/time/hrtimer.c`.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, rb_tree};
use vmcore_memory::VirtAddr;

use super::clock::Clock;
use super::{Collector, Listing, Missing, state};
use crate::object::Object;
use crate::{Hex, InspectError};

/// Timers of one base.
const MAX_TIMERS: usize = 1 << 16;
/// A timer that is late by less may be the one that the next tick calls.
const LATE_NS: i64 = 100_000_000;
/// Lists of a level of the wheel, and by how many bits a level is coarser than the one before (`LVL_SIZE`, `LVL_CLK_SHIFT`).
const LEVEL_LISTS: u64 = 64;
const LEVEL_SHIFT: u64 = 3;
/// Where the tree of a clock's timers begins: `timerqueue_linked_head` since 7.1; a bare root before 5.4 (kernel commit
/// 511885d7061e).
const ROOTS: [&str; 3] = ["active.rb_root.rb_root.rb_node", "active.rb_root.rb_node", "active.head.rb_node"];

/// The timers of all CPUs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Timers")]
pub struct Timers {
    /// `jiffies`.
    pub jiffies: Option<u64>,
    /// Monotonic time at the last tick.
    pub monotonic_ns: Option<u64>,
    /// For how long nobody had counted ticks, by the scheduler's clocks: every timer is late by that, too.
    pub stalled_ns: Option<u64>,
    /// The timers, by CPU; of each those first that should be called first.
    pub timers: Listing<Timer>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Timers, timers);

/// Kinds of timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TimerKind")]
pub enum TimerKind {
    /// `struct timer_list`, called by the tick of its CPU.
    Local,
    /// `struct timer_list` that any CPU may call, for an idle one (since 6.9); on older kernels all but deferrable ones.
    Global,
    /// `struct timer_list` that does not wake an idle CPU: it may well be late.
    Deferrable,
    /// `struct hrtimer`.
    HighResolution,
}

/// A timer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Timer")]
pub struct Timer {
    /// The CPU whose it is.
    pub cpu: u32,
    /// Its kind.
    pub kind: TimerKind,
    /// The address of its `timer_list` or `hrtimer`.
    pub timer: Hex,
    /// The function that is to be called.
    pub function: Option<String>,
    /// `expires`: jiffies, or nanoseconds of its clock.
    pub expires: Hex,
    /// For how long it should have been called already; negative where its time is still to come. Null where the clocks
    /// could not be read.
    pub late_ns: Option<i64>,
    /// Whether it is so late that its CPU cannot have been serving timers. Null where the clocks could not be read.
    pub overdue: Option<bool>,
}

/// Reads all timers.
#[must_use]
pub fn timers<'k>(kernel: &'k Kernel<'k>) -> Timers {
    let mut missing = Collector::default();
    let clock = Clock::read(kernel, &mut missing);
    let timers = missing.list("timers", |missing| {
        let mut reader = Reader { kernel, clock: &clock, timers: Vec::new(), missing };
        for cpu in kernel.percpu().cpus() {
            let wheels = reader.wheels(cpu);
            reader.missing.take(format!("timers of CPU {cpu}"), wheels);
            let trees = reader.trees(cpu);
            reader.missing.take(format!("high-resolution timers of CPU {cpu}"), trees);
        }
        Ok(reader.timers)
    });
    let order = |timer: &Timer| (timer.cpu, timer.late_ns.map_or(i64::MAX, i64::wrapping_neg), timer.timer);
    Timers {
        jiffies: clock.jiffies,
        monotonic_ns: clock.monotonic_ns,
        stalled_ns: clock.stalled_ns,
        timers: timers.sort_by(|one, other| order(one).cmp(&order(other))),
        gaps: missing.into_gaps(),
    }
}

/// What timers are read with, and what was found of them.
struct Reader<'k, 'm> {
    kernel: &'k Kernel<'k>,
    clock: &'m Clock,
    timers: Vec<Timer>,
    missing: &'m mut Collector,
}

impl<'k> Reader<'k, '_> {
    fn wheels(&mut self, cpu: u32) -> Result<(), InspectError> {
        let bases = Object::per_cpu(self.kernel, "timer_bases", "struct timer_base", cpu)?;
        // `NR_BASES`: one without NO_HZ; standard and deferrable ones; since 6.9 local, global and deferrable ones.
        let count = match bases.len() {
            // BTF of 5.10 does not have the types of variables.
            0 => self.kernel.vmlinux().symbols().size("timer_bases").and_then(|size| size.checked_div(bases.size())),
            len => Some(len),
        };
        if count.is_none() {
            self.missing.note(
                format!("timers of CPU {cpu}"),
                "how many timer_bases there are is not known: only the first is read",
            );
        }
        let kinds: &[TimerKind] = match count.unwrap_or(1) {
            3 => &[TimerKind::Local, TimerKind::Global, TimerKind::Deferrable],
            2 => &[TimerKind::Global, TimerKind::Deferrable],
            _ => &[TimerKind::Global],
        };
        for (index, kind) in (0..).zip(kinds) {
            let base = if bases.len() == 0 { bases.behind(index) } else { bases.element(index)? };
            self.wheel(base, cpu, *kind)?;
        }
        Ok(())
    }

    fn wheel(&mut self, base: Object<'k>, cpu: u32, kind: TimerKind) -> Result<(), InspectError> {
        let vectors = base.at("vectors")?;
        let mut seen = HashSet::new();
        for vector in 0..vectors.len() {
            let slot = vectors.element(vector)?;
            let first = self.missing.take(format!("timers of CPU {cpu}, slot {vector}"), slot.pointer());
            let Some(mut next) = first else { continue };
            let coarse_ns = self.clock.ticks_ns(1u64.checked_shl(level_shift(vector)).unwrap_or(u64::MAX));
            while !next.is_null() {
                if !seen.insert(next) || seen.len() > MAX_TIMERS {
                    let why = format!("the list of slot {vector} loops at {next}");
                    self.missing.note(format!("timers of CPU {cpu}"), why);
                    break;
                }
                let what = format!("the timer at {next} of CPU {cpu}");
                let timer = Object::new(self.kernel, "struct timer_list", next)?;
                let found = wheel_timer(timer, (cpu, kind), coarse_ns, self.clock, self.missing);
                let Some(found) = self.missing.take(&what, found) else { break };
                self.timers.push(found);
                let after = self.missing.take(what, timer.at("entry.next").and_then(Object::pointer));
                next = after.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn trees(&mut self, cpu: u32) -> Result<(), InspectError> {
        let bases = Object::per_cpu(self.kernel, "hrtimer_bases", "struct hrtimer_cpu_base", cpu)?;
        let bases = bases.at("clock_base")?;
        for index in 0..bases.len() {
            let base = bases.element(index)?;
            let root = base.first(&ROOTS)?.pointer()?;
            let offset = base.at("offset")?.value()?;
            let tree = rb_tree(self.kernel.memory(), root, MAX_TIMERS, "high-resolution timers");
            self.missing.note_some(&format!("high-resolution timers of CPU {cpu}"), tree.gap.map(|gap| gap.why));
            for node in tree.nodes {
                let what = format!("the timer at {node} of CPU {cpu}");
                let found = self.tree_timer(node, cpu, offset);
                self.timers.extend(self.missing.take(what, found));
            }
        }
        Ok(())
    }

    fn tree_timer(&mut self, node: VirtAddr, cpu: u32, offset: i64) -> Result<Timer, InspectError> {
        // The node is the first member, and its own first is that of the tree.
        let timer = Object::new(self.kernel, "struct hrtimer", node)?;
        let expires = timer.first(&["node.expires", "node.node.expires"])?.value()?;
        let late_ns = expires.checked_sub(offset).and_then(|moment| self.clock.since_ns(moment));
        Ok(Timer {
            cpu,
            kind: TimerKind::HighResolution,
            timer: node.into(),
            function: self.missing.function(self.kernel, timer.at("function")?.pointer()?),
            expires: expires.cast_unsigned().into(),
            late_ns,
            overdue: self.clock.is_later(late_ns, LATE_NS),
        })
    }
}

/// By how many bits the ticks of a list are coarser than those of the first level.
fn level_shift(list: u64) -> u32 {
    u32::try_from(list / LEVEL_LISTS * LEVEL_SHIFT).unwrap_or(u32::MAX)
}

/// A timer in a list that is looked at every `coarse_ns` only: timers that are set for later than some ticks go into such lists, and
/// are called up to that much too late (`calc_wheel_index()`; `expires` stays what was asked for).
fn wheel_timer(
    timer: Object<'_>,
    (cpu, kind): (u32, TimerKind),
    coarse_ns: Option<i64>,
    clock: &Clock,
    missing: &mut Collector,
) -> Result<Timer, InspectError> {
    let expires = timer.number_at("expires")?;
    let late_ns = clock.since_jiffies(expires);
    Ok(Timer {
        cpu,
        kind,
        timer: timer.address().into(),
        function: missing.function(timer.kernel(), timer.at("function")?.pointer()?),
        expires: expires.into(),
        late_ns,
        overdue: match kind {
            TimerKind::Deferrable => Some(false),
            _ => coarse_ns.and_then(|coarse| clock.is_later(late_ns, coarse.saturating_add(LATE_NS))),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_get_eight_times_as_coarse_with_each_level() {
        let ticks: Vec<u32> = [0, 63, 64, 127, 128, 575].into_iter().map(|list| 1 << level_shift(list)).collect();
        assert_eq!(ticks, [1, 1, 8, 8, 64, 1 << 24]);
        assert_eq!(level_shift(u64::MAX), u32::MAX);
    }
}
