//! How long the machine had been up.
//!
//! Three clocks tell, each of which stops while nobody advances it:
//!
//! * the timekeeper: monotonic time plus the time spent suspended (`CLOCK_BOOTTIME`), advanced by the tick of one CPU;
//! * the run queues' clocks, advanced by the scheduler on each CPU;
//! * the time stamps of the log.
//!
//! They begin at slightly different moments of the boot and differ by some milliseconds. On a hung machine any of them
//! may have stopped long before the others, so the latest counts.
//!
//! Source: `kernel/time/timekeeping.c`.

use vmcore_dump::Vmcoreinfo;

use crate::layout::Resolver;
use crate::timekeeper::MAX_UPTIME_NS;
use crate::{Kernel, LogRecord};

/// The latest time stamp of the log.
pub(crate) fn uptime_by_log(log: &[LogRecord]) -> Option<u64> {
    let whole = log.iter().filter(|record| !record.unfinished);
    whole.map(|record| record.timestamp_ns).filter(|&time| time <= MAX_UPTIME_NS).max()
}

/// The end of the year 9999: a date beyond this is damaged.
const MAX_DATE: i64 = 253_402_300_799;

impl Kernel<'_> {
    /// How long the machine had been up when it stopped, in nanoseconds: the latest of all the clocks that can be read.
    /// The true time is that or more.
    #[must_use]
    pub fn uptime_ns(&self, log: &[LogRecord]) -> Option<u64> {
        let printed = uptime_by_log(log);
        let queues = self.percpu().cpus().filter_map(|cpu| self.run_queue_clock(cpu));
        let timekeeper = self.timekeeper_ns();
        timekeeper.into_iter().chain(queues).chain(printed).filter(|&time| time <= MAX_UPTIME_NS).max()
    }

    fn run_queue_clock(&self, cpu: u32) -> Option<u64> {
        let clock = Resolver::new(self.vmlinux().types()).optional("rq", "clock")?;
        clock.read(self.memory(), self.run_queue_address(cpu)?).ok()
    }

    /// When the machine stopped, in seconds since 1970: what a kernel that saw its own crash wrote down, else the timekeeper's
    /// time of day and as much as it had been standing still. `uptime_ns` is as [`Self::uptime_ns`] tells it.
    #[must_use]
    pub fn crash_time(&self, uptime_ns: Option<u64>) -> Option<i64> {
        let written = self.vmcoreinfo().and_then(Vmcoreinfo::crash_time);
        written.or_else(|| self.time_of_day(uptime_ns?)).filter(|&time| (1..=MAX_DATE).contains(&time))
    }

    fn time_of_day(&self, uptime_ns: u64) -> Option<i64> {
        let keeper = self.timekeeper().ok()?;
        let stood_still = uptime_ns.checked_sub(keeper.boottime_ns()?)?;
        i64::try_from(keeper.seconds?).ok()?.checked_add(i64::try_from(stood_still / 1_000_000_000).ok()?)
    }

    /// How long the machine had been up by the timekeeper alone, in nanoseconds. Its clock is disciplined by NTP; those of
    /// the scheduler and the log are not.
    #[must_use]
    pub fn timekeeper_ns(&self) -> Option<u64> {
        self.timekeeper().ok()?.boottime_ns()
    }
}
