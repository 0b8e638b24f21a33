//! FUSE file systems: the requests that the kernel has made of a daemon, and the daemon that has not answered them.
//!
//! ```text
//! super_block.s_fs_info    fuse_mount.fc since 5.10 (kernel commit fcee216beb9c), before that the connection itself
//! fuse_conn                .connected, .iq.pending: not read yet; .bg_queue: waiting for others to be answered
//!   .devices               fuse_dev.pq.io: being copied; .pq.processing[256]: read and not answered (a list before 4.20)
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
use super::{Collector, Who};
use crate::object::Object;
use crate::{Hex, InspectError, find_type};

/// `FUSE_PQ_HASH_SIZE`.
const QUEUES: u64 = 256;
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
    pub daemons: Vec<Who>,
    /// What they have not answered.
    pub requests: Vec<FuseRequest>,
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
    let fs = block.text_at("s_type.name").ok()?;
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
    let (devices, gap) = connection.at("devices")?.list("struct fuse_dev", "entry")?;
    missing.note_some("devices of a FUSE connection", gap);
    let mut lists = vec![("not read", connection.first(&["iq.pending", "pending"])?)];
    for device in &devices {
        lists.push(("being copied", device.at("pq.io")?));
        let processing = device.at("pq.processing")?;
        if processing.is_pointer() {
            let all = (0..QUEUES).map(|index| processing.element(index).map(|list| ("read", list)));
            lists.extend(all.collect::<Result<Vec<_>, _>>()?);
        } else {
            lists.push(("read", processing));
        }
    }
    lists.push(("held back", connection.at("bg_queue")?));
    let mut requests = Vec::new();
    for (state, list) in lists {
        let (found, gap) = list.list("struct fuse_req", "list")?;
        missing.note_some("requests of a FUSE connection", gap);
        for request in found.into_iter().take(MAX_REQUESTS.saturating_sub(requests.len())) {
            let what = format!("the FUSE request at {}", request.address());
            requests.extend(missing.take(what, read_request(request, state, snapshot)));
        }
    }
    let devices: Vec<_> = devices.iter().map(|device| device.address()).collect();
    Ok(FuseConnection {
        connection: connection.address().into(),
        connected: connection.number_at("connected")? != 0,
        daemons: daemons(kernel, snapshot, &devices),
        requests,
    })
}

fn read_request(request: Object<'_>, state: &'static str, snapshot: &Snapshot) -> Result<FuseRequest, InspectError> {
    let opcode = request.number_at("in.h.opcode")?;
    let (waiting, _) = request.at("waitq.head")?.list("struct wait_queue_entry", "entry")?;
    let waiter = waiting.into_iter().find_map(|entry| Who::at(snapshot, entry.pointer_at("private").ok()??));
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
fn daemons<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, devices: &[VirtAddr]) -> Vec<Who> {
    let serves = |task: &&Task| {
        let task = Object::new(kernel, "struct task_struct", task.address);
        let mut found = false;
        let each = task.and_then(|task| {
            each_file(task, &mut |_, file| {
                let device =
                    Object::new(kernel, "struct file", file).and_then(|file| file.at("private_data")?.pointer());
                found |= device.is_ok_and(|device| devices.contains(&device));
            })
        });
        each.is_ok() && found
    };
    let processes = snapshot.tasks.iter().filter(|task| task.pid == task.tgid && task.mm.is_some());
    processes.filter(serves).filter_map(|task| Who::at(snapshot, task.address)).collect()
}
