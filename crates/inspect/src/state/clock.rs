//! What time it was: jiffies and monotonic time, which lists compare others with.

use vmcore_kernel::Kernel;

use super::Collector;
use crate::object::Object;

/// A run queue's clock and the timekeeper's start at slightly different moments of the boot.
const TOLERANCE_NS: u64 = 200_000_000;

/// The clocks when the machine stopped.
pub(super) struct Clock {
    /// `jiffies`, at the last tick that counted it.
    pub(super) jiffies: Option<u64>,
    /// Nanoseconds of a tick.
    pub(super) tick_ns: Option<u64>,
    /// `CLOCK_MONOTONIC` at the last update of the timekeeper.
    pub(super) monotonic_ns: Option<u64>,
    /// For how long nobody had counted ticks, by the scheduler's clocks; 0 where that went on.
    pub(super) stalled_ns: Option<u64>,
    /// Whether every CPU's clock was read: else it may have been later than that.
    whole: bool,
}

impl Clock {
    pub(super) fn read<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Self {
        let monotonic_ns = missing.take_read(kernel.timekeeper()).map(|keeper| keeper.monotonic_ns);
        let clock = |cpu| Object::per_cpu(kernel, "runqueues", "struct rq", cpu)?.number_at("clock");
        let clocks =
            kernel.percpu().cpus().map(|cpu| missing.take(format!("the run queue's clock of CPU {cpu}"), clock(cpu)));
        let (latest, whole) =
            clocks.fold((None, true), |(latest, whole), clock| (latest.max(clock), whole && clock.is_some()));
        if kernel.jiffies().is_none() {
            missing.note("the time in ticks", "jiffies cannot be read");
        }
        if kernel.tick_ns().is_none() {
            missing.note("how long a tick is", "tick_nsec cannot be read");
        }
        let stalled = latest.zip(monotonic_ns).map(|(latest, tick)| latest.saturating_sub(tick));
        Self {
            whole,
            jiffies: kernel.jiffies(),
            tick_ns: kernel.tick_ns(),
            monotonic_ns,
            stalled_ns: stalled.map(|stalled| if stalled > TOLERANCE_NS { stalled } else { 0 }),
        }
    }

    /// Whether something is late by more than `limit`; `None` where that is not known.
    pub(super) fn is_later(&self, late: Option<i64>, limit: i64) -> Option<bool> {
        late.map(|late| late > limit).filter(|later| *later || self.whole)
    }

    /// Nanoseconds from `jiffies` in the past; negative for the future.
    pub(super) fn since_jiffies(&self, jiffies: u64) -> Option<i64> {
        let ticks = self.jiffies?.wrapping_sub(jiffies).cast_signed();
        ticks.checked_mul(i64::try_from(self.tick_ns?).ok()?)?.checked_add(i64::try_from(self.stalled_ns?).ok()?)
    }

    /// How long so many ticks are; the longest time there is for more.
    pub(super) fn ticks_ns(&self, ticks: u64) -> Option<i64> {
        Some(i64::try_from(ticks.saturating_mul(self.tick_ns?)).unwrap_or(i64::MAX))
    }

    /// Nanoseconds from a moment of `CLOCK_MONOTONIC`; negative for the future.
    pub(super) fn since_ns(&self, moment: i64) -> Option<i64> {
        let now = i64::try_from(self.monotonic_ns?.checked_add(self.stalled_ns?)?).ok()?;
        now.checked_sub(moment)
    }
}
