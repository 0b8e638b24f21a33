//! The kernel's own watchdog of pools of workers: when it complains.
//!
//! It compares with the later of a pool's last progress and when somebody said that the CPU is busy on purpose
//! (`touch_softlockup_watchdog()`), of an unbound pool any CPU.
//!
//! Source: `kernel/workqueue.c`, `wq_watchdog_timer_fn()`, `wq_watchdog_touch()`.

use vmcore_kernel::Kernel;

use super::Collector;
use super::clock::Clock;
use crate::object::{Object, if_known};

/// `wq_watchdog_thresh` where it was not set, and what is taken for it where it is off or the kernel has none, in seconds.
const USUAL_S: u64 = 30;

pub(super) struct Watchdog<'k> {
    kernel: &'k Kernel<'k>,
    /// For how long a pool may make no progress; `None` where that cannot be read.
    patience_ns: Option<i64>,
}

impl<'k> Watchdog<'k> {
    pub(super) fn read(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Self {
        let seconds = Object::variable(kernel, "wq_watchdog_thresh", "unsigned long").and_then(Object::number);
        let seconds = missing.take("for how long a pool of workers may make no progress", if_known(seconds));
        Self { kernel, patience_ns: seconds.map(patience_ns) }
    }

    /// Whether it complains of a pool of this CPU, or of an unbound one, in which works wait.
    pub(super) fn complains(
        &self,
        cpu: Option<u32>,
        without_progress_ns: Option<i64>,
        clock: &Clock,
        missing: &mut Collector,
    ) -> Option<bool> {
        let word = "unsigned long";
        let touched = match cpu {
            Some(cpu) => Object::per_cpu(self.kernel, "wq_watchdog_touched_cpu", word, cpu),
            None => Object::variable(self.kernel, "wq_watchdog_touched", word),
        };
        let what = "when the watchdog of workqueues was last told that all is well";
        let touched = missing.take(what, if_known(touched.and_then(Object::number)))?;
        let touched_ns = touched.and_then(|jiffies| clock.since_jiffies(jiffies));
        clock.is_later(quiet_ns(without_progress_ns, touched_ns), self.patience_ns?)
    }
}

fn patience_ns(seconds: Option<u64>) -> i64 {
    let seconds = seconds.filter(|seconds| *seconds != 0).unwrap_or(USUAL_S);
    i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX)
}

/// Since when nothing has said that a pool is well.
fn quiet_ns(without_progress_ns: Option<i64>, touched_ns: Option<i64>) -> Option<i64> {
    let touched_ns = touched_ns.filter(|ns| *ns >= 0);
    without_progress_ns.map(|ns| touched_ns.map_or(ns, |touched| ns.min(touched)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_as_long_as_it_is_told() {
        assert_eq!(
            [Some(10), Some(0), None].map(patience_ns),
            [10, 30, 30].map(|seconds: i64| seconds * 1_000_000_000)
        );
        assert_eq!(patience_ns(Some(u64::MAX)), i64::MAX);
    }

    #[test]
    fn a_cpu_that_is_busy_on_purpose_is_not_stuck() {
        assert_eq!(quiet_ns(Some(40), Some(5)), Some(5));
        assert_eq!(quiet_ns(Some(5), Some(40)), Some(5));
        assert_eq!(quiet_ns(Some(40), None), Some(40));
        assert_eq!(quiet_ns(None, Some(5)), None);
        assert_eq!(quiet_ns(Some(40), Some(-3)), Some(40), "a time to come is none");
    }
}
