//! When the kernel itself would complain: its watchdogs' own settings, from the dump.
//!
//! Source: `kernel/watchdog.c` (`watchdog_thresh`, `watchdog_enabled`, `watchdog_cpumask`), `kernel/rcu/update.c` (`rcu_cpu_stall_timeout`),
//! `kernel/hung_task.c` (`sysctl_hung_task_timeout_secs`).

use vmcore_kernel::{CpuMask, Kernel};
use vmcore_memory::ReadVirtual;

const SECOND_NS: u64 = 1_000_000_000;

/// The watchdogs' settings; `None` for those that this kernel has not or that cannot be read, and for those that are off.
/// What a watchdog that is off would have complained of is judged by the kernel's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `kernel.hung_task_timeout_secs`, in nanoseconds.
    pub hung_task: Option<u64>,
    /// `kernel.watchdog_thresh`, in nanoseconds.
    pub watchdog: Option<u64>,
    /// The CPUs that the soft-lockup watchdog looks after: without those that `nohz_full` gives to one task each, and none
    /// with `nosoftlockup`. `None` where that cannot be read.
    pub watched: Option<CpuMask>,
    /// `rcu_cpu_stall_timeout`, in nanoseconds.
    pub rcu_stall: Option<u64>,
}

impl Limits {
    pub(crate) fn read(kernel: &Kernel<'_>) -> Self {
        let word = |name| kernel.memory().read_u32(kernel.symbol(name)?).ok().map(u64::from);
        let long = |name| kernel.memory().read_u64(kernel.symbol(name)?).ok();
        let on = |seconds: Option<u64>| seconds.filter(|&seconds| seconds != 0)?.checked_mul(SECOND_NS);
        Self {
            hung_task: on(long("sysctl_hung_task_timeout_secs")),
            watchdog: on(word("watchdog_thresh")),
            watched: watched(kernel),
            rcu_stall: on(word("rcu_cpu_stall_timeout")),
        }
    }

    /// Whether the soft-lockup watchdog would complain of a CPU, as far as is known.
    pub(crate) fn is_watched(&self, cpu: u32) -> bool {
        self.watchdog.is_some() && self.watched.as_ref().is_none_or(|watched| watched.contains(cpu))
    }

    /// How long a task may sleep uninterruptibly.
    #[must_use]
    pub fn hung_task_ns(&self) -> u64 {
        self.hung_task.unwrap_or(120 * SECOND_NS)
    }

    /// How long a CPU may have its interrupts off.
    #[must_use]
    pub fn hard_lockup_ns(&self) -> u64 {
        self.watchdog.unwrap_or(10 * SECOND_NS)
    }

    /// How long kernel code may keep a CPU: twice as long.
    #[must_use]
    pub fn soft_lockup_ns(&self) -> u64 {
        self.hard_lockup_ns().saturating_mul(2)
    }

    /// From when on a task that has had a watched CPU for so long without a break has kept the watchdog's own thread from it: that comes
    /// in every `watchdog_thresh` * 2/5 seconds (`get_softlockup_thresh()` / 5), and leaves alone who only computes between two of its visits.
    pub(crate) fn keeps_watchdog_out_ns(&self) -> u64 {
        /// Its timer may be late, and its thread has to be woken.
        const SLACK_NS: u64 = 4 * SECOND_NS;
        (self.soft_lockup_ns() / 5).saturating_add(SLACK_NS)
    }

    /// From when on the clock of an idle CPU that the watchdog looks after stands still because something keeps that from it.
    pub(crate) fn keeps_idle_ns(&self) -> u64 {
        self.hard_lockup_ns().min(10 * SECOND_NS).max(self.keeps_watchdog_out_ns())
    }

    /// How long a grace period may take.
    #[must_use]
    pub fn rcu_stall_ns(&self) -> u64 {
        self.rcu_stall.unwrap_or(21 * SECOND_NS)
    }
}

/// `WATCHDOG_SOFTOCKUP_ENABLED` in `watchdog_enabled` (`SOFT_WATCHDOG_ENABLED` before 6.5).
const SOFT_LOCKUP: u64 = 1 << 1;

fn watched(kernel: &Kernel<'_>) -> Option<CpuMask> {
    let enabled = kernel.memory().read_u64(kernel.symbol("watchdog_enabled")?).ok()?;
    if enabled & SOFT_LOCKUP == 0 {
        return Some(CpuMask::default());
    }
    kernel.cpu_mask("watchdog_cpumask")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_stand_in_for_what_is_off() {
        let limits = Limits { watchdog: Some(4 * SECOND_NS), ..Limits::default() };
        assert_eq!((limits.hard_lockup_ns(), limits.soft_lockup_ns()), (4 * SECOND_NS, 8 * SECOND_NS));
        assert!(limits.is_watched(0) && !Limits::default().is_watched(0));
        let watched = Some(CpuMask::of(&[0, 2]));
        assert!(!Limits { watched, ..limits.clone() }.is_watched(1));
        assert_eq!((limits.hung_task_ns(), limits.rcu_stall_ns()), (120 * SECOND_NS, 21 * SECOND_NS));
    }
}
