//! An open file: which it is, in which file system, mounted from where; and the descriptors of a task.
//!
//! Source: `include/linux/fdtable.h`, `include/linux/fs.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::Kernel;
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::paths::{fs_type, name, path};
use crate::object::Object;
use crate::{Hex, InspectError};

/// Descriptors of a process that are looked at.
const MAX_FDS: u64 = 1 << 16;

/// An open file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "OpenFile")]
pub struct OpenFile {
    /// The number of its descriptor, or `exe`, `cwd`, `root`.
    pub descriptor: String,
    /// The address of its `struct file`; null for directories.
    pub file: Option<Hex>,
    /// Its path, or for what is in no directory its name.
    pub path: String,
    /// The type of its file system.
    pub fs_type: String,
    /// What is mounted there: for NFS `server:/path`.
    pub source: String,
}

/// Descriptors of the task, and where its array of files is; `None` of a task that has given its files up.
fn descriptors(task: Object<'_>) -> Result<Option<(u64, VirtAddr)>, InspectError> {
    let Some(table) = task.pointer_at("files")? else { return Ok(None) };
    let table = Object::new(task.kernel(), "struct files_struct", table)?.at("fdt")?.pointee()?;
    Ok(Some((table.number_at("max_fds")?.min(MAX_FDS), table.at("fd")?.pointer()?)))
}

fn read_file(task: Object<'_>, first: VirtAddr, number: u64) -> Result<VirtAddr, InspectError> {
    let at = first.wrapping_add(number * 8);
    let read = task.kernel().memory().read_pointer(at);
    read.map_err(|error| InspectError::read(format!("descriptors from {number} on at {at}"), error))
}

/// Calls `with` for each descriptor of the task and its file. What is missing of the array is missing for all that follow.
pub(super) fn each_file(task: Object<'_>, with: &mut dyn FnMut(u64, VirtAddr)) -> Result<(), InspectError> {
    let Some((count, first)) = descriptors(task)? else { return Ok(()) };
    for number in 0..count {
        let file = read_file(task, first, number)?;
        if !file.is_null() {
            with(number, file);
        }
    }
    Ok(())
}

/// The file of the descriptor `number`; `None` where none is open.
pub(super) fn file_of(task: Object<'_>, number: u64) -> Result<Option<VirtAddr>, InspectError> {
    let Some((_, first)) = descriptors(task)?.filter(|(count, _)| number < *count) else { return Ok(None) };
    Ok(Some(read_file(task, first, number)?).filter(|file| !file.is_null()))
}

pub(super) fn open_file<'k>(kernel: &'k Kernel<'k>, descriptor: &str, at: VirtAddr) -> Result<OpenFile, InspectError> {
    let file = Object::new(kernel, "struct file", at)?;
    at_path(file.at("f_path")?, descriptor, Some(at))
}

pub(super) fn at_path(at: Object<'_>, descriptor: &str, file: Option<VirtAddr>) -> Result<OpenFile, InspectError> {
    let dentry = at.at("dentry")?.pointee()?;
    let block = dentry.at("d_sb")?.pointee()?;
    let mount = at.at("mnt")?.pointer()?;
    let fs_type = fs_type(block)?;
    let source = Object::around(at.kernel(), "struct mount", "mnt", mount)?.text_at("mnt_devname")?;
    // In no directory: `pipe`, `socket`, `anon_inode`, with the number of the inode.
    let alone = dentry.at("d_parent")?.pointer()? == dentry.address()
        && ["pipefs", "sockfs", "anon_inodefs", "nsfs", "pidfs", "dmabuf"].contains(&fs_type.as_str());
    let path = if alone {
        let inode = dentry.number_at("d_inode.i_ino")?;
        let name = Some(name(dentry)?).filter(|name| !name.is_empty() && name != "/");
        format!("{}:[{inode}]", name.unwrap_or_else(|| fs_type.trim_end_matches("fs").to_owned()))
    } else {
        path(at.kernel(), mount, dentry.address())?
    };
    Ok(OpenFile { descriptor: descriptor.to_owned(), file: file.map(Hex::from), path, fs_type, source })
}
