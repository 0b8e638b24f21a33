//! FUSE file systems: the requests that the kernel has made of a daemon, and the daemon that has not answered them.
//!
//! ```text
//! super_block.s_fs_info    fuse_mount.fc since 5.10 (kernel commit fcee216beb9c), before that the connection itself
//! fuse_conn                .connected, .iq.pending: not read yet; .bg_queue: waiting for others to be answered
//!   .devices               fuse_dev.pq.io: being copied; .pq.processing[256]: read and not answered (a list before 4.20)
//!   .ring->queues[]        where the daemon reads by io_uring (6.14): .fuse_req_queue, .fuse_req_bg_queue, .fpq.processing[256]
//!   .chan                  since 7.3 it has all of these
//! fuse_req                 .list, .in.h: opcode, inode, pid; .waitq: who sleeps for it
//! file.private_data        of a daemon's /dev/fuse: its fuse_dev
//! ```
//! `fuse` is a module nearly everywhere: its types are those that the kernel has in memory. Source: `fs/fuse/fuse_i.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_debuginfo::Type;
use vmcore_kernel::{Kernel, Snapshot, Task};
use vmcore_memory::VirtAddr;

use super::open_file::each_file;
use super::{Collector, Listing, Who};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError, find_type};

/// `FUSE_PQ_HASH_SIZE`.
const QUEUES: u64 = 256;
/// Queues of a daemon that reads by `io_uring`: no machine has more CPUs.
const MAX_RING_QUEUES: u64 = 1 << 13;
/// Requests of a connection that are listed.
const MAX_REQUESTS: usize = 1 << 12;

/// A connection of the kernel with a FUSE daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FuseConnection")]
pub struct FuseConnection {
    /// The address of its `struct fuse_conn`.
    pub connection: Hex,
    /// Whether a daemon is connected; if not, requests fail and nobody waits.
    pub connected: bool,
    /// The processes that have its device open.
    pub daemons: Listing<Who>,
    /// What they have not answered.
    pub requests: Listing<FuseRequest>,
}

/// A request that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FuseRequest")]
pub struct FuseRequest {
    /// The address of its `struct fuse_req`.
    pub request: Hex,
    /// What is asked for: `LOOKUP`, `READ`; a number where it has no name.
    pub operation: String,
    /// The inode that it is about.
    pub inode: u64,
    /// Who asked, by the pid that the daemon sees; 0 where nobody waits for it.
    pub pid: u64,
    /// The task that sleeps for the answer; null where none does.
    pub waiter: Option<Who>,
    /// How far it has got: `not read`, `being copied`, `read` by the daemon, or `held back` until others are answered.
    pub state: &'static str,
}

/// The connection of the file system with this super block; `None` where it is no FUSE.
pub(super) fn connection(block: Object<'_>, snapshot: &Snapshot, missing: &mut Collector) -> Option<FuseConnection> {
    let what = format!("the type of the super block at {}", block.address());
    let fs = missing.take(what, block.text_at("s_type.name"))?;
    if !["fuse", "fuseblk", "virtiofs"].contains(&fs.as_str()) {
        return None;
    }
    let what = format!("the FUSE connection of the super block at {}", block.address());
    let found = read(block, snapshot, missing);
    missing.take(what, found)
}

fn read(block: Object<'_>, snapshot: &Snapshot, missing: &mut Collector) -> Result<FuseConnection, InspectError> {
    let kernel = block.kernel();
    let private = block.at("s_fs_info")?.pointer()?;
    let connection = if find_type(kernel, "struct fuse_mount").is_ok() {
        Object::new(kernel, "struct fuse_mount", private)?.at("fc")?.pointee()?
    } else {
        Object::new(kernel, "struct fuse_conn", private)?
    };
    let devices = missing.list("devices of a FUSE connection", |missing| {
        let (devices, gap) = connection.first(&["chan.devices", "devices"])?.list("struct fuse_dev", "entry")?;
        missing.note_some("devices of a FUSE connection", gap);
        Ok(devices)
    });
    let daemons = missing.list("daemons of a FUSE connection", |missing| {
        missing.note_unread(&devices);
        Ok(daemons(kernel, snapshot, devices.found(), missing))
    });
    let requests = missing.list("requests of a FUSE connection", |missing| {
        missing.note_unread(&devices);
        requests(connection, devices.found(), snapshot, missing)
    });
    Ok(FuseConnection {
        connection: connection.address().into(),
        connected: connection.first(&["chan.connected", "connected"])?.number()? != 0,
        daemons,
        requests,
    })
}

fn requests<'k>(
    connection: Object<'k>,
    devices: &[Object<'k>],
    snapshot: &Snapshot,
    missing: &mut Collector,
) -> Result<Vec<FuseRequest>, InspectError> {
    let mut lists = vec![("not read", connection.first(&["chan.iq.pending", "iq.pending", "pending"])?)];
    for device in devices {
        lists.push(("being copied", device.at("pq.io")?));
        lists.extend(processing(device.at("pq.processing")?)?);
    }
    for queue in ring_queues(connection)? {
        lists.push(("not read", queue.at("fuse_req_queue")?));
        lists.extend(processing(queue.at("fpq.processing")?)?);
        lists.push(("held back", queue.at("fuse_req_bg_queue")?));
    }
    lists.push(("held back", connection.first(&["chan.bg_queue", "bg_queue"])?));
    let mut requests = Vec::new();
    for (state, list) in lists {
        let (found, gap) = list.list("struct fuse_req", "list")?;
        missing.note_some("requests of a FUSE connection", gap);
        for request in found.into_iter().take(MAX_REQUESTS.saturating_sub(requests.len())) {
            let what = format!("the FUSE request at {}", request.address());
            let read = read_request(request, state, snapshot, missing);
            requests.extend(missing.take(what, read));
        }
    }
    Ok(requests)
}

/// The lists of what was read and not answered.
fn processing(lists: Object<'_>) -> Result<Vec<(&'static str, Object<'_>)>, InspectError> {
    if !lists.is_pointer() {
        return Ok(vec![("read", lists)]);
    }
    (0..QUEUES).map(|index| Ok(("read", lists.element(index)?))).collect()
}

/// The queues of a daemon that reads by `io_uring`: one for each CPU on which it does.
fn ring_queues(connection: Object<'_>) -> Result<Vec<Object<'_>>, InspectError> {
    let Some(ring) = if_known(connection.first(&["chan.ring", "ring"]))? else { return Ok(Vec::new()) };
    if ring.pointer()?.is_null() {
        return Ok(Vec::new());
    }
    let (all, count) = (ring.at("queues")?, ring.number_at("nr_queues")?.min(MAX_RING_QUEUES));
    let mut queues = Vec::new();
    for index in 0..count {
        let queue = all.element(index)?;
        if !queue.pointer()?.is_null() {
            queues.push(queue.pointee()?);
        }
    }
    Ok(queues)
}

fn read_request(
    request: Object<'_>,
    state: &'static str,
    snapshot: &Snapshot,
    missing: &mut Collector,
) -> Result<FuseRequest, InspectError> {
    let opcode = request.number_at("in.h.opcode")?;
    let (waiting, gap) = request.at("waitq.head")?.list("struct wait_queue_entry", "entry")?;
    let what = format!("who waits for the FUSE request at {}", request.address());
    missing.note_some(&what, gap);
    let task = |entry: Object<'_>| entry.pointer_at("private");
    let tasks = waiting.into_iter().filter_map(|entry| missing.take(&what, task(entry)).flatten());
    let waiter = tasks.filter_map(|task| Who::at(snapshot, task)).next();
    Ok(FuseRequest {
        request: request.address().into(),
        operation: operation(request.kernel(), opcode),
        inode: request.number_at("in.h.nodeid")?,
        pid: request.number_at("in.h.pid")?,
        waiter,
        state,
    })
}

fn operation(kernel: &Kernel<'_>, opcode: u64) -> String {
    let all = find_type(kernel, "enum fuse_opcode").map(Type::enumerators).unwrap_or_default();
    let named = all.into_iter().find(|(_, value)| value.cast_unsigned() == opcode);
    named.map_or_else(|| opcode.to_string(), |(name, _)| name.trim_start_matches("FUSE_").to_owned())
}

/// The processes that have one of the devices open.
fn daemons<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    devices: &[Object<'k>],
    missing: &mut Collector,
) -> Vec<Who> {
    let is_device = |at: VirtAddr| devices.iter().any(|device| device.address() == at);
    let mut serves = |task: &&Task| {
        let what = format!("whether pid {} serves a FUSE connection", task.pid);
        let mut found = false;
        let mut unread = Ok(());
        let each = Object::new(kernel, "struct task_struct", task.address).and_then(|task| {
            each_file(task, &mut |_, file| match private_data(kernel, file) {
                Ok(device) => found |= is_device(device),
                Err(error) => unread = Err(error),
            })
        });
        // One of its files is enough.
        if !found {
            missing.take(what, each.and(unread));
        }
        found
    };
    let processes = snapshot.tasks.iter().filter(|task| task.pid == task.tgid && task.mm.is_some());
    processes.filter(|task| serves(task)).filter_map(|task| Who::at(snapshot, task.address)).collect()
}

fn private_data<'k>(kernel: &'k Kernel<'k>, file: VirtAddr) -> Result<VirtAddr, InspectError> {
    Object::new(kernel, "struct file", file)?.at("private_data")?.pointer()
}
