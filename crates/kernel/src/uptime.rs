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
//! Source: `kernel/time/timekeeping.c`, `include/linux/timekeeper_internal.h`.

use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use crate::layout::{Field, Resolver};
use crate::{Kernel, LogRecord};

/// A hundred years: a clock beyond this is damaged.
const MAX_UPTIME_NS: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// The latest time stamp of the log.
pub(crate) fn uptime_by_log(log: &[LogRecord]) -> Option<u64> {
    let whole = log.iter().filter(|record| !record.unfinished);
    whole.map(|record| record.timestamp_ns).filter(|&time| time <= MAX_UPTIME_NS).max()
}

/// The end of the year 9999: a date beyond this is damaged.
const MAX_DATE: i64 = 253_402_300_799;

/// Offsets in `struct timekeeper`.
struct TimekeeperLayout {
    base: Field,
    xtime_nsec: Field,
    shift: Field,
    offs_boot: Option<Field>,
}

impl TimekeeperLayout {
    fn resolve(types: Resolver<'_>) -> Option<Self> {
        let field = |path| types.optional("timekeeper", path);
        Some(Self {
            base: field("tkr_mono.base")?,
            xtime_nsec: field("tkr_mono.xtime_nsec")?,
            shift: field("tkr_mono.shift")?,
            offs_boot: field("offs_boot"),
        })
    }

    /// `CLOCK_BOOTTIME` in nanoseconds when the timekeeper was last advanced; `None` where that is not a time.
    fn boottime_ns<M: ReadVirtual + ?Sized>(&self, memory: &M, at: VirtAddr) -> Result<Option<u64>, ReadError> {
        let base = self.base.read(memory, at)?;
        let shift = u32::try_from(self.shift.read(memory, at)?).unwrap_or(u32::MAX);
        let fraction = self.xtime_nsec.read(memory, at)?.checked_shr(shift);
        let suspended = self.offs_boot.map_or(Ok(0), |field| field.read(memory, at))?;
        let sum = fraction.and_then(|fraction| base.checked_add(fraction)?.checked_add(suspended));
        Ok(sum.filter(|&sum| sum != 0))
    }
}

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
        let seconds = Resolver::new(self.vmlinux().types()).optional("timekeeper", "xtime_sec")?;
        let advanced = seconds.read(self.memory(), self.timekeeper()?).ok()?;
        let stood_still = uptime_ns.checked_sub(self.timekeeper_ns()?)?;
        i64::try_from(advanced).ok()?.checked_add(i64::try_from(stood_still / 1_000_000_000).ok()?)
    }

    /// How long the machine had been up by the timekeeper alone, in nanoseconds. Its clock is disciplined by NTP; those of
    /// the scheduler and the log are not.
    #[must_use]
    pub fn timekeeper_ns(&self) -> Option<u64> {
        let layout = TimekeeperLayout::resolve(Resolver::new(self.vmlinux().types()))?;
        let up = layout.boottime_ns(self.memory(), self.timekeeper()?).ok()?;
        up.filter(|&time| time <= MAX_UPTIME_NS)
    }

    /// The address of the kernel's `struct timekeeper`.
    #[must_use]
    pub fn timekeeper(&self) -> Option<VirtAddr> {
        let types = Resolver::new(self.vmlinux().types());
        // `tk_core` became the first of `timekeeper_data` with the auxiliary clocks of 6.17.
        let data = self.symbol("timekeeper_data").or_else(|| self.symbol("tk_core"))?;
        if let Some(member) = types.optional("tk_data", "timekeeper") {
            return Some(member.address(data));
        }
        // Before 6.13 the struct around it had no name and the timekeeper was the last in it.
        let Some(around) = self.vmlinux().symbols().size("tk_core") else {
            // A kernel's own symbol table has no sizes. Before the timekeeper is only a sequence counter, whose type
            // changed in 5.9 (kernel commit 025e82bcbc34), and padding to the timekeeper's alignment.
            let counter =
                ["seqcount_raw_spinlock", "seqcount"].into_iter().find_map(|name| types.size_of(name).ok())?;
            return Some(data.wrapping_add(counter.next_multiple_of(8)));
        };
        Some(data.wrapping_add(around.checked_sub(types.size_of("timekeeper").ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const LAYOUT: TimekeeperLayout = TimekeeperLayout {
        base: Field { offset: 0, size: 8 },
        xtime_nsec: Field { offset: 8, size: 8 },
        shift: Field { offset: 16, size: 4 },
        offs_boot: Some(Field { offset: 24, size: 8 }),
    };

    fn boottime(base: u64, xtime_nsec: u64, shift: u32, offs_boot: u64) -> Option<u64> {
        let mut memory = TestMemory::default();
        memory.put_u64(0x1000, base);
        memory.put_u64(0x1008, xtime_nsec);
        memory.put_u32(0x1010, shift);
        memory.put_u64(0x1018, offs_boot);
        LAYOUT.boottime_ns(&memory, VirtAddr::new(0x1000)).unwrap()
    }

    #[test]
    fn time_is_shifted_and_suspend_counts() {
        assert_eq!(boottime(17_000_000_000, 768 << 24, 24, 1_000), Some(17_000_001_768));
    }

    #[test]
    fn damage_is_no_time() {
        assert_eq!(boottime(1, 1, 64, 0), None);
        assert_eq!(boottime(u64::MAX, 1, 0, 0), None);
        assert_eq!(boottime(0, 0, 0, 0), None);
    }
}
