//! Block devices and the requests that they have been given: which is the oldest, and for how long it has been there.
//!
//! ```text
//! blockdev_superblock    s_inodes: struct bdev_inode -> block_device -> gendisk -> request_queue
//! request_queue          its hardware queues -> blk_mq_tags.rqs[] -> struct request, in flight by its state
//! ```
//!
//! `NVMe`, SCSI and virtio devices are all driven so (blk-mq). What is older (a queue without `mq_ops`, until 4.20) is named
//! as not read. Source: `block/blk-mq.h`, `include/linux/blk-mq.h`.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_debuginfo::Type;
use vmcore_kernel::{Kernel, list};
use vmcore_memory::VirtAddr;

use super::clock::Clock;
use super::{Collector, Listing, Missing, state};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError, TreeKind, find_type, tree};

/// Inodes of block devices.
const MAX_DEVICES: usize = 1 << 16;
/// Hardware queues of a device, and tags of a queue.
const MAX_QUEUES: u64 = 1 << 12;
const MAX_TAGS: u64 = 1 << 14;
/// All disks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Disks")]
pub struct Disks {
    /// The disks, by name.
    pub disks: Listing<Disk>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Disks, disks);

/// A disk.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Disk")]
pub struct Disk {
    /// Its name, such as `nvme0n1`.
    pub name: String,
    /// The address of its `struct gendisk`.
    pub disk: Hex,
    /// The address of its `struct request_queue`.
    pub queue: Option<Hex>,
    /// How many hardware queues it has.
    pub hardware_queues: Option<u64>,
    /// Requests that were given to the device and have not been completed, oldest first.
    pub in_flight: Listing<Request>,
    /// How many requests wait in the kernel because the device took no more; null of a device that has no requests of its
    /// own, and where that could not be read.
    pub held_back: Option<u64>,
}

/// A request.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Request")]
pub struct Request {
    /// The address of its `struct request`.
    pub request: Hex,
    /// The hardware queue.
    pub hardware_queue: u64,
    /// Its tag there.
    pub tag: i64,
    /// `read`, `write` and so on; the number of an operation that has no name here.
    pub operation: String,
    /// The first sector, of 512 bytes.
    pub sector: u64,
    /// Bytes.
    pub bytes: u64,
    /// `in flight`, or `completed`, where the device is done and the kernel is not.
    pub state: &'static str,
    /// For how long the device has had it; where it does not keep that time, since it was made.
    pub age_ns: Option<i64>,
    /// After how long the kernel asks the device to give it up; null for never.
    pub timeout_ns: Option<u64>,
}

/// Reads them.
#[must_use]
pub fn disks<'k>(kernel: &'k Kernel<'k>) -> Disks {
    let mut missing = Collector::default();
    let clock = Clock::read(kernel, &mut missing);
    let disks = missing.list("block devices", |missing| {
        let mut disks = Vec::new();
        for disk in gendisks(kernel, missing)? {
            let read = read_disk(disk, &clock, missing);
            disks.extend(missing.take(format!("the gendisk at {}", disk.address()), read));
        }
        Ok(disks)
    });
    Disks { disks: disks.sort_by(|one, other| one.name.cmp(&other.name)), gaps: missing.into_gaps() }
}

/// Every disk of which a block device was opened; since 5.11 all of them.
fn gendisks<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<Object<'k>>, InspectError> {
    let super_block = Object::behind_variable(kernel, "blockdev_superblock", "struct super_block")?;
    let head = super_block.at("s_inodes")?.address();
    let inodes = list(kernel.memory(), head, MAX_DEVICES, "inodes of block devices");
    missing.note_some("block devices", inodes.gap.map(|gap| gap.why));
    let mut seen = HashSet::new();
    let mut disks = Vec::new();
    for node in inodes.nodes {
        let inode = Object::around(kernel, "struct bdev_inode", "vfs_inode.i_sb_list", node)?;
        let disk = inode.pointer_at("bdev.bd_disk");
        let disk = missing.take(format!("the bdev_inode at {}", inode.address()), disk).flatten();
        if let Some(disk) = disk.filter(|disk| seen.insert(*disk)) {
            disks.push(Object::new(kernel, "struct gendisk", disk)?);
        }
    }
    Ok(disks)
}

fn read_disk(disk: Object<'_>, clock: &Clock, missing: &mut Collector) -> Result<Disk, InspectError> {
    let name = disk.text_at("disk_name")?;
    let queue = disk.pointer_at("queue")?;
    let mut read = Disk {
        name,
        disk: disk.address().into(),
        queue: queue.map(Hex::from),
        hardware_queues: None,
        in_flight: Vec::new().into(),
        held_back: None,
    };
    let Some(queue) = queue else { return Ok(read) };
    let queue = Object::new(disk.kernel(), "struct request_queue", queue)?;
    let what = format!("requests of {}", read.name);
    if queue.pointer_at("mq_ops")?.is_none() {
        // Drivers that take bios themselves (device mapper, md, loop before it, RAM disks) have no requests of their own.
        if if_known(queue.pointer_at("request_fn"))?.flatten().is_some() {
            let of_old = || InspectError::Syntax("its queue is of the kind before blk-mq".to_owned());
            read.in_flight = missing.list(what, |_| Err(of_old()));
        }
        return Ok(read);
    }
    let count = queue.number_at("nr_hw_queues")?.min(MAX_QUEUES);
    read.hardware_queues = Some(count);
    let hardware = missing.list(&what, |missing| hardware_queues(queue, count, missing));
    let held_back = missing.list(&what, |missing| {
        missing.note_unread(&hardware);
        let mut waiting = Vec::new();
        for hardware in hardware.found() {
            let (requests, gap) = hardware.at("dispatch")?.list("struct request", "queuelist")?;
            missing.note_some(&what, gap);
            waiting.extend(requests);
        }
        Ok(waiting)
    });
    read.held_back = held_back.unread().is_none().then_some(held_back.found().len() as u64);
    let in_flight = missing.list(&what, |missing| {
        missing.note_unread(&hardware);
        let mut all = Vec::new();
        for hardware in hardware.found() {
            let requests = in_flight(*hardware, queue.address(), clock, missing);
            all.extend(
                missing.take(format!("{what}, hardware queue at {}", hardware.address()), requests).unwrap_or_default(),
            );
        }
        Ok(all)
    });
    read.in_flight = in_flight.sort_by(|one, other| other.age_ns.cmp(&one.age_ns));
    Ok(read)
}

/// An array of pointers; for some years from 5.18 on (kernel commit 4e5cc99e1e48) an xarray.
fn hardware_queues<'k>(
    queue: Object<'k>,
    count: u64,
    missing: &mut Collector,
) -> Result<Vec<Object<'k>>, InspectError> {
    let kernel = queue.kernel();
    let at = |address| Object::new(kernel, "struct blk_mq_hw_ctx", address);
    if queue.has("hctx_table") {
        let table = queue.at("hctx_table")?.address();
        let found = tree(kernel, TreeKind::XArray, table, 0, usize::try_from(MAX_QUEUES).unwrap_or(usize::MAX))?;
        missing.note_some("hardware queues", found.problem);
        return found.objects.into_iter().map(|(address, _)| at(address)).collect();
    }
    (0..count).map(|index| at(queue.at("queue_hw_ctx")?.element(index)?.pointer()?)).collect()
}

fn in_flight(
    hardware: Object<'_>,
    queue: VirtAddr,
    clock: &Clock,
    missing: &mut Collector,
) -> Result<Vec<Request>, InspectError> {
    let Some(tags) = hardware.pointer_at("tags")? else { return Ok(Vec::new()) };
    let tags = Object::new(hardware.kernel(), "struct blk_mq_tags", tags)?;
    let number = hardware.number_at("queue_num")?;
    let requests = tags.at("rqs")?;
    let mut found = Vec::new();
    for tag in 0..tags.number_at("nr_tags")?.min(MAX_TAGS) {
        let at = requests.element(tag)?.pointer()?;
        if at.is_null() {
            continue;
        }
        let request = Object::new(hardware.kernel(), "struct request", at)?;
        let read = request_in_flight(request, queue, (hardware.address(), number), tag, clock);
        found.extend(missing.take(format!("the request at {at}"), read).flatten());
    }
    Ok(found)
}

/// The request, where it is of this device and hardware queue (others may share the tags: since 5.16 all queues of an adapter with
/// `host_tagset` have one `blk_mq_tags`, kernel commit e155b0c238b2) and has not ended.
fn request_in_flight(
    request: Object<'_>,
    queue: VirtAddr,
    (hardware, hardware_queue): (VirtAddr, u64),
    tag: u64,
    clock: &Clock,
) -> Result<Option<Request>, InspectError> {
    let own_tag = request.at("tag")?.value()?;
    // `enum mq_rq_state`: idle, in flight, complete.
    let state = match request.number_at("state")? {
        1 => "in flight",
        2 => "completed",
        _ => return Ok(None),
    };
    if request.at("q")?.pointer()? != queue || own_tag.cast_unsigned() != tag {
        return Ok(None);
    }
    // Before 4.20 (kernel commit ea4f995ee8b8) it is not kept, and tags are never shared so.
    if if_known(request.pointer_at("mq_hctx"))?.is_some_and(|of| of != Some(hardware)) {
        return Ok(None);
    }
    let operation = request.number_at("cmd_flags")? & 0xff;
    let moment = |path| {
        let moment = if_known(request.at(path).and_then(Object::value))?;
        Ok::<_, InspectError>(moment.filter(|moment| *moment > 0))
    };
    let begun = moment("io_start_time_ns")?.or(moment("start_time_ns")?);
    let timeout = if_known(request.number_at("timeout"))?.filter(|ticks| *ticks > 0);
    Ok(Some(Request {
        request: request.address().into(),
        hardware_queue,
        tag: own_tag,
        operation: name_of_operation(request.kernel(), operation),
        sector: request.number_at("__sector")?,
        bytes: request.number_at("__data_len")?,
        state,
        age_ns: begun.and_then(|moment| clock.since_ns(moment)),
        timeout_ns: timeout.zip(clock.tick_ns).and_then(|(ticks, tick)| ticks.checked_mul(tick)),
    }))
}

/// `write zeroes` of `REQ_OP_WRITE_ZEROES`: `enum req_op` of `include/linux/blk_types.h`, `enum req_opf` before 6.0 (kernel
/// commit ff07a02e9e8e). The number where the kernel's types do not have it.
fn name_of_operation(kernel: &Kernel<'_>, number: u64) -> String {
    let operations = ["enum req_op", "enum req_opf"].into_iter().find_map(|name| find_type(kernel, name).ok());
    let all = operations.map(Type::enumerators).unwrap_or_default();
    let named = all.into_iter().find(|(_, value)| value.cast_unsigned() == number);
    let words = named.and_then(|(name, _)| Some(name.strip_prefix("REQ_OP_")?.to_lowercase().replace('_', " ")));
    words.unwrap_or_else(|| number.to_string())
}
