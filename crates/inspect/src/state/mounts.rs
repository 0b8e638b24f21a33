//! Mounts: which file system is where, what it is mounted from (for NFS the server), and whether it is frozen.
//!
//! Source: `fs/mount.h`, `fs/d_path.c`, `include/linux/fs.h`.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot, Stack, rb_tree};

use super::fuse::{self, FuseConnection};
use super::needs::{Needs, Needy};
use super::paths::{fs_type, path};
use super::{Collector, Listing, Missing, state};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError};

/// Mounts of a namespace.
const MAX_MOUNTS: usize = 1 << 16;
/// `MNT_READONLY` and `SB_RDONLY`.
const MNT_READONLY: u64 = 0x40;
const SB_RDONLY: u64 = 1;

/// The mounts that init sees.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mounts")]
pub struct Mounts {
    /// The mounts.
    pub mounts: Listing<Mount>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Mounts, mounts);

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Mount")]
pub struct Mount {
    /// The address of its `struct mount`.
    pub mount: Hex,
    /// The address of its `struct super_block`.
    pub super_block: Hex,
    /// The file system's type.
    pub fs_type: String,
    /// What is mounted: a device, or for NFS `server:/path`.
    pub source: String,
    /// Where.
    pub path: String,
    /// Whether it may not be written to.
    pub read_only: Option<bool>,
    /// Whether, and how far, it is frozen (`fsfreeze`, snapshots): then all who write to it sleep.
    pub frozen: Option<&'static str>,
    /// The tasks that sleep for it.
    pub needed_by: Listing<Needy>,
    /// Of a FUSE file system its connection with a daemon, and what that has not answered; null of others.
    pub fuse: Option<FuseConnection>,
}

/// Reads them. `stacks` are those of tasks that sleep: by them it is told who needs what.
#[must_use]
pub fn mounts<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, stacks: &[Stack]) -> Mounts {
    let mut missing = Collector::default();
    let needy = missing.list("tasks that need a mount", |missing| {
        missing.note_gaps(&snapshot.gaps);
        Ok(Needs::read(kernel, snapshot, stacks, missing).needy(snapshot))
    });
    let mounts = missing.list("mounts", |missing| {
        let mut mounts: Vec<Mount> = Vec::new();
        let mut seen = HashSet::new();
        for mount in addresses(kernel, missing)? {
            let what = format!("the mount at {}", mount.address());
            let read = read(mount).and_then(|read| Ok((read, mount.at("mnt.mnt_sb")?.pointee()?)));
            let Some((mut read, block)) = missing.take(what, read) else { continue };
            // A file system that is mounted in several places is told about at the first.
            if seen.insert(block.address()) {
                read.needed_by = needy.filtered(|needy| needy.need.super_block == read.super_block);
                read.fuse = fuse::connection(block, snapshot, missing);
            }
            mounts.push(read);
        }
        Ok(mounts)
    });
    Mounts { mounts, gaps: missing.into_gaps() }
}

fn addresses<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<Object<'k>>, InspectError> {
    let namespace = Object::variable(kernel, "init_task", "struct task_struct")?.at("nsproxy.mnt_ns")?.pointee()?;
    // A red-black tree since 6.8 (kernel commit 2eea9ce4310d); until then `mounts` was their number.
    if namespace.has("mounts.rb_node") {
        let root = namespace.at("mounts.rb_node")?.pointer()?;
        let nodes = rb_tree(kernel.memory(), root, MAX_MOUNTS, "mounts");
        missing.note_some("mounts", nodes.gap.map(|gap| gap.why));
        return nodes.nodes.into_iter().map(|node| Object::around(kernel, "struct mount", "mnt_node", node)).collect();
    }
    let (mounts, gap) = namespace.at("list")?.list("struct mount", "mnt_list")?;
    missing.note_some("mounts", gap);
    // A reader of /proc/mounts leaves a mark in the list, which is no mount (5.8 to 6.7).
    let is_mark = |mount: &Object<'k>| mount.pointer_at("mnt.mnt_sb").is_ok_and(|at| at.is_none());
    Ok(mounts.into_iter().filter(|mount| !is_mark(mount)).collect())
}

fn read(mount: Object<'_>) -> Result<Mount, InspectError> {
    let block = mount.at("mnt.mnt_sb")?.pointee()?;
    let root = mount.at("mnt.mnt_root")?.pointer()?;
    let flags = if_known(mount.number_at("mnt.mnt_flags"))?;
    let read_only = flags.zip(if_known(block.number_at("s_flags"))?);
    Ok(Mount {
        mount: mount.address().into(),
        super_block: block.address().into(),
        fs_type: fs_type(block)?,
        source: mount.text_at("mnt_devname")?,
        path: path(mount.kernel(), mount.at("mnt")?.address(), root)?,
        read_only: read_only.map(|(mount, block)| mount & MNT_READONLY != 0 || block & SB_RDONLY != 0),
        // `SB_FREEZE_WRITE`, `_PAGEFAULT`, `_FS`, `_COMPLETE`.
        frozen: match if_known(block.number_at("s_writers.frozen"))?.unwrap_or_default() {
            1 => Some("writes"),
            2 => Some("page faults"),
            3 => Some("internal threads"),
            4 => Some("completely"),
            _ => None,
        },
        needed_by: Vec::new().into(),
        fuse: None,
    })
}
