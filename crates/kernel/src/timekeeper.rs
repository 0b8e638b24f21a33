//! The kernel's timekeeper: what the clocks showed that the tick of one CPU advances, when it last did.
//!
//! Source: `kernel/time/timekeeping.c`, `include/linux/timekeeper_internal.h`.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use crate::layout::{Field, Resolver};
use crate::{Gap, Kernel};

/// A hundred years: a clock beyond this is damaged.
pub(crate) const MAX_UPTIME_NS: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// The timekeeper's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timekeeper {
    /// `CLOCK_MONOTONIC` in nanoseconds: since the boot, without the time spent suspended.
    pub monotonic_ns: u64,
    /// The time spent suspended, in nanoseconds; `None` where it could not be read.
    pub suspended_ns: Option<u64>,
    /// The time of day in seconds since 1970; `None` where it could not be read.
    pub seconds: Option<u64>,
}

impl Timekeeper {
    /// `CLOCK_BOOTTIME` in nanoseconds: since the boot, with the time spent suspended. `None` where that is not known, or no
    /// time.
    #[must_use]
    pub fn boottime_ns(&self) -> Option<u64> {
        self.monotonic_ns.checked_add(self.suspended_ns?).filter(|&time| time <= MAX_UPTIME_NS)
    }
}

/// Offsets in `struct timekeeper`.
struct Layout {
    base: Field,
    xtime_nsec: Field,
    shift: Field,
    offs_boot: Option<Field>,
    xtime_sec: Option<Field>,
}

impl Layout {
    fn resolve(types: Resolver<'_>) -> Option<Self> {
        let field = |path| types.optional("timekeeper", path);
        Some(Self {
            base: field("tkr_mono.base")?,
            xtime_nsec: field("tkr_mono.xtime_nsec")?,
            shift: field("tkr_mono.shift")?,
            offs_boot: field("offs_boot"),
            xtime_sec: field("xtime_sec"),
        })
    }

    /// The clocks; `None` where what they show is no time.
    fn read<M: ReadVirtual + ?Sized>(&self, memory: &M, at: VirtAddr) -> Result<Option<Timekeeper>, ReadError> {
        let base = self.base.read(memory, at)?;
        let shift = u32::try_from(self.shift.read(memory, at)?).unwrap_or(u32::MAX);
        let fraction = self.xtime_nsec.read(memory, at)?.checked_shr(shift);
        let sum = fraction.and_then(|fraction| base.checked_add(fraction));
        Ok(sum.filter(|sum| (1..=MAX_UPTIME_NS).contains(sum)).map(|monotonic_ns| Timekeeper {
            monotonic_ns,
            suspended_ns: self.offs_boot.map_or(Some(0), |field| field.read(memory, at).ok()),
            seconds: self.xtime_sec.and_then(|field| field.read(memory, at).ok()),
        }))
    }
}

impl Kernel<'_> {
    /// The timekeeper's clocks when it was last advanced.
    ///
    /// # Errors
    ///
    /// [`Gap`] with the reason where they cannot be read, or show no time.
    pub fn timekeeper(&self) -> Result<Timekeeper, Gap> {
        let gap = |why: String| Gap::new("the time", why);
        let unknown = || gap("the debug information does not say where the timekeeper is".to_owned());
        let layout = Layout::resolve(Resolver::new(self.vmlinux().types())).ok_or_else(unknown)?;
        let at = self.timekeeper_address().ok_or_else(unknown)?;
        let read = layout.read(self.memory(), at).map_err(|error| gap(format!("the timekeeper at {at}: {error}")))?;
        read.ok_or_else(|| gap(format!("what the timekeeper at {at} shows is no time")))
    }

    /// The address of the kernel's `struct timekeeper`.
    fn timekeeper_address(&self) -> Option<VirtAddr> {
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

    const LAYOUT: Layout = Layout {
        base: Field { offset: 0, size: 8 },
        xtime_nsec: Field { offset: 8, size: 8 },
        shift: Field { offset: 16, size: 4 },
        offs_boot: Some(Field { offset: 24, size: 8 }),
        xtime_sec: Some(Field { offset: 32, size: 8 }),
    };

    fn read(base: u64, xtime_nsec: u64, shift: u32, offs_boot: u64) -> Option<Timekeeper> {
        let mut memory = TestMemory::default();
        memory.put_u64(0x1000, base);
        memory.put_u64(0x1008, xtime_nsec);
        memory.put_u32(0x1010, shift);
        memory.put_u64(0x1018, offs_boot);
        memory.put_u64(0x1020, 1_763_841_600);
        LAYOUT.read(&memory, VirtAddr::new(0x1000)).unwrap()
    }

    #[test]
    fn time_is_shifted_and_suspend_counts() {
        let keeper = read(17_000_000_000, 768 << 24, 24, 1_000).unwrap();
        assert_eq!((keeper.monotonic_ns, keeper.boottime_ns()), (17_000_000_768, Some(17_000_001_768)));
        assert_eq!(keeper.seconds, Some(1_763_841_600));
        assert_eq!(Timekeeper { suspended_ns: None, ..keeper }.boottime_ns(), None);
    }

    #[test]
    fn damage_is_no_time() {
        assert_eq!(read(1, 1, 64, 0), None);
        assert_eq!(read(u64::MAX, 1, 0, 0), None);
        assert_eq!(read(MAX_UPTIME_NS, 1, 0, 0), None);
        assert_eq!(read(0, 0, 0, 0), None);
        assert_eq!(read(1, 1, 0, u64::MAX).unwrap().boottime_ns(), None);
    }
}
