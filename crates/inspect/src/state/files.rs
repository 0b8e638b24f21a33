//! Files of tasks: which file each descriptor is, in which file system, mounted from where.
//!
//! Source: `include/linux/fdtable.h`, `include/linux/fs.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot, Task};
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::mounts::{fs_type, name, path};
use super::{Collector, Missing, Who, state};
use crate::object::Object;
use crate::{Hex, InspectError};

/// Descriptors of a process that are looked at.
const MAX_FDS: u64 = 1 << 16;

/// Files of tasks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Files")]
pub struct Files {
    /// The tasks.
    pub tasks: Vec<TaskFiles>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Files, tasks);

/// Files of a task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskFiles")]
pub struct TaskFiles {
    /// The task.
    pub task: Who,
    /// Its program, working directory and root directory, then its open files.
    pub files: Vec<OpenFile>,
}

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

/// Reads the files of the tasks that are `meant`.
#[must_use]
pub fn files<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, meant: &dyn Fn(&Task) -> bool) -> Files {
    let mut missing = Collector::default();
    let mut tasks = Vec::new();
    for task in snapshot.tasks.iter().filter(|task| meant(task)) {
        let Some(who) = Who::at(snapshot, task.address) else { continue };
        let read = of_task(kernel, task.address, &mut missing);
        let files = missing.take(format!("files of pid {}", task.pid), read).unwrap_or_default();
        tasks.push(TaskFiles { task: who, files });
    }
    Files { tasks, gaps: missing.0 }
}

fn of_task<'k>(kernel: &'k Kernel<'k>, task: VirtAddr, missing: &mut Collector) -> Result<Vec<OpenFile>, InspectError> {
    let task = Object::new(kernel, "struct task_struct", task)?;
    let mut files = Vec::new();
    if task.pointer_at("mm")?.is_some()
        && let Some(file) = task.pointer_at("mm.exe_file")?
    {
        files.extend(missing.take(format!("the file at {file}"), open_file(kernel, "exe", file)));
    }
    // A task that exits has given both up.
    if let Some(place) = task.pointer_at("fs")? {
        let place = Object::new(kernel, "struct fs_struct", place)?;
        for (name, member) in [("cwd", "pwd"), ("root", "root")] {
            let path = place.at(member).and_then(|path| at_path(path, name, None));
            files.extend(missing.take(format!("the {name} in fs_struct at {}", place.address()), path));
        }
    }
    let Some(table) = task.pointer_at("files")? else { return Ok(files) };
    let table = Object::new(kernel, "struct files_struct", table)?.at("fdt")?.pointee()?;
    let count = table.number_at("max_fds")?.min(MAX_FDS);
    let first = table.at("fd")?.pointer()?;
    for number in 0..count {
        let at = first.wrapping_add(number * 8);
        let file =
            kernel.memory().read_pointer(at).map_err(|error| InspectError::read(format!("the files at {at}"), error));
        // What is missing of the array is missing for all that follow.
        let Some(file) = missing.take(format!("descriptors from {number} on"), file) else { break };
        if !file.is_null() {
            let open = open_file(kernel, &number.to_string(), file);
            files.extend(missing.take(format!("the file at {file}"), open));
        }
    }
    Ok(files)
}

fn open_file<'k>(kernel: &'k Kernel<'k>, descriptor: &str, at: VirtAddr) -> Result<OpenFile, InspectError> {
    let file = Object::new(kernel, "struct file", at)?;
    at_path(file.at("f_path")?, descriptor, Some(at))
}

fn at_path(at: Object<'_>, descriptor: &str, file: Option<VirtAddr>) -> Result<OpenFile, InspectError> {
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
        let name = name(dentry).ok().filter(|name| !name.is_empty() && name != "/");
        format!("{}:[{inode}]", name.unwrap_or_else(|| fs_type.trim_end_matches("fs").to_owned()))
    } else {
        path(at.kernel(), mount, dentry.address())?
    };
    Ok(OpenFile { descriptor: descriptor.to_owned(), file: file.map(Hex::from), path, fs_type, source })
}
