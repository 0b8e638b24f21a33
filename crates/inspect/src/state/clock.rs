//! What time it was: jiffies and monotonic time, which lists compare others with.

use vmcore_kernel::Kernel;

use crate::object::Object;
use crate::{Hex, InspectError};

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
    pub(super) stalled_ns: u64,
}

impl Clock {
    pub(super) fn read<'k>(kernel: &'k Kernel<'k>) -> Self {
        let monotonic_ns = monotonic(kernel).ok();
        let clock = |cpu| Object::per_cpu(kernel, "runqueues", "struct rq", cpu)?.number_at("clock");
        let latest = kernel.percpu().cpus().filter_map(|cpu| clock(cpu).ok()).max();
        let stalled = latest.zip(monotonic_ns).map_or(0, |(latest, tick)| latest.saturating_sub(tick));
        Self {
            jiffies: kernel.jiffies(),
            tick_ns: kernel.tick_ns(),
            monotonic_ns,
            stalled_ns: if stalled > TOLERANCE_NS { stalled } else { 0 },
        }
    }

    /// Nanoseconds from `jiffies` in the past; negative for the future.
    pub(super) fn since_jiffies(&self, jiffies: u64) -> Option<i64> {
        let ticks = self.jiffies?.wrapping_sub(jiffies).cast_signed();
        let tick = i64::try_from(self.tick_ns?).ok()?;
        ticks.checked_mul(tick)?.checked_add(i64::try_from(self.stalled_ns).ok()?)
    }

    /// Nanoseconds from a moment of `CLOCK_MONOTONIC`; negative for the future.
    pub(super) fn since_ns(&self, moment: i64) -> Option<i64> {
        let now = i64::try_from(self.monotonic_ns?.checked_add(self.stalled_ns)?).ok()?;
        now.checked_sub(moment)
    }
}

fn monotonic<'k>(kernel: &'k Kernel<'k>) -> Result<u64, InspectError> {
    let at = kernel.timekeeper().ok_or_else(|| InspectError::NoSymbol("tk_core".to_owned()))?;
    let keeper = Object::new(kernel, "struct timekeeper", at)?;
    let shift = u32::try_from(keeper.number_at("tkr_mono.shift")?).unwrap_or(u32::MAX);
    let fraction = keeper.number_at("tkr_mono.xtime_nsec")?.checked_shr(shift).unwrap_or_default();
    let base = keeper.number_at("tkr_mono.base")?;
    let damaged = || InspectError::Syntax(format!("the timekeeper's base is {}", Hex(base)));
    base.checked_add(fraction).filter(|&sum| sum > 0 && sum >> 62 == 0).ok_or_else(damaged)
}
