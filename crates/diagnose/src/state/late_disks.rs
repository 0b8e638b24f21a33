//! Which disks have had a request for much longer than the kernel gives them: the driver neither completes it nor gives it up.
//!
//! They are looked for on every machine: who waits for a disk by `io_getevents()` or `io_uring` sleeps as idle tasks do. How many disks and
//! requests are read is bounded.
//!
//! Source: `block/blk-mq.c`, `blk_mq_timeout_work()`: a driver that is told of a request beyond its time may give it more time, and
//! again (`BLK_EH_RESET_TIMER`).

use vmcore_inspect::state::{Disk, Request, disks};
use vmcore_kernel::{Kernel, Source};
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::Reader;

/// A request is late after so many times its timeout.
const TIMES: u64 = 2;

/// A disk that is late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateDisk {
    /// Its name: untrusted.
    pub name: String,
    /// How many requests are late.
    pub requests: usize,
    /// What the oldest of them is to do: `read`, `write` and so on.
    pub operation: String,
    /// From which sector of 512 bytes on.
    pub sector: u64,
    /// For how long the disk has had it, in nanoseconds.
    pub age_ns: u64,
    /// After how long the driver is told, in nanoseconds.
    pub timeout_ns: u64,
    /// Since when the disk has had it, in nanoseconds of the monotonic clock.
    pub since: (Source, u64),
    /// After how many ticks the driver is told.
    pub timeout: (Source, u64),
}

/// All of them, by name.
pub(crate) fn late_disks<'k>(kernel: &'k Kernel<'k>) -> Vec<LateDisk> {
    disks(kernel).disks.found().iter().filter_map(|disk| late_disk(kernel, disk)).collect()
}

fn late_disk(kernel: &Kernel<'_>, disk: &Disk) -> Option<LateDisk> {
    // Oldest first.
    let mut late = disk.in_flight.found().iter().filter_map(|request| Some((request, late_ns(request)?)));
    let (oldest, (age_ns, timeout_ns)) = late.next()?;
    let address = VirtAddr::new(oldest.request.0);
    Some(LateDisk {
        name: disk.name.clone(),
        requests: late.count().saturating_add(1),
        operation: oldest.operation.clone(),
        sector: oldest.sector,
        age_ns,
        timeout_ns,
        since: word(kernel, address, "io_start_time_ns").or_else(|| word(kernel, address, "start_time_ns"))?,
        timeout: word(kernel, address, "timeout")?,
    })
}

/// The age and the timeout of a request that is late.
fn late_ns(request: &Request) -> Option<(u64, u64)> {
    let age = u64::try_from(request.age_ns?).ok()?;
    let timeout = request.timeout_ns?;
    (request.state == "in flight" && age >= timeout.saturating_mul(TIMES)).then_some((age, timeout))
}

/// A member of a request that is not 0.
fn word(kernel: &Kernel<'_>, request: VirtAddr, path: &'static str) -> Option<(Source, u64)> {
    let source = Reader::member(kernel, request, "request", path)?;
    let value = match path {
        "timeout" => kernel.memory().read_u32(source.address).ok()?.into(),
        _ => kernel.memory().read_u64(source.address).ok()?,
    };
    (value != 0).then_some((source, value))
}
