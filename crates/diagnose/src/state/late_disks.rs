//! Which disks have had a request for much longer than the kernel gives them: the driver neither completes it nor gives it up.
//!
//! They are looked for only where a task has been sleeping for input or output for a while: a machine may have many disks with many
//! queues of many requests.
//!
//! Source: `block/blk-mq.c`, `blk_mq_timeout_work()`: a driver that is told of a request beyond its time may give it more time, and
//! again (`BLK_EH_RESET_TIMER`).

use vmcore_inspect::state::{Disk, Request, disks};
use vmcore_kernel::{Kernel, Snapshot, Source, Stack, Task};
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::Reader;
use crate::names::waits_for_io;

/// A task that has been asleep for less says nothing of a disk: more than a disk with many queues takes, and less than the time
/// after which some sleeps for a disk are begun anew.
const LONG_NS: u64 = 1_000_000_000;
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
pub(crate) fn late_disks<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, blocked: &[Stack]) -> Vec<LateDisk> {
    let clock = snapshot.cpus.iter().filter_map(|cpu| Some(cpu.run_queue.as_ref()?.clock_ns)).max();
    let asleep_ns = |task: &Task| {
        let last = task.last_arrival_ns.into_iter().chain(task.exec_start_ns).max().filter(|&last| last != 0);
        clock.zip(last).and_then(|(clock, last)| clock.checked_sub(last))
    };
    let waits_long = |stack: &Stack| {
        let task = snapshot.tasks.get(stack.task);
        waits_for_io(stack) && task.and_then(asleep_ns).is_some_and(|asleep| asleep >= LONG_NS)
    };
    if !blocked.iter().any(waits_long) {
        return Vec::new();
    }
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
