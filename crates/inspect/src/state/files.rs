//! Files of tasks: which file each descriptor is, in which file system, mounted from where.
//!
//! Source: `include/linux/fdtable.h`, `include/linux/fs.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot, Stack, Task};
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::mounts::{fs_type, name, path};
use super::needs::{Need, Needs};
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
    /// What it sleeps for, where the system call that it is in tells.
    pub needs: Vec<Need>,
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

/// Reads the files of the tasks that are `meant`; where nobody says who, of those that wait for a file system. `stacks` are
/// those of tasks that sleep: by them it is told what each needs.
#[must_use]
pub fn files<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    stacks: &[Stack],
    meant: Option<&dyn Fn(&Task) -> bool>,
) -> Files {
    let mut missing = Collector::default();
    let needs = Needs::read(kernel, snapshot, stacks);
    let is_meant = |index, task: &Task| meant.map_or_else(|| needs.waits(index, task), |meant| meant(task));
    let mut tasks = Vec::new();
    for (index, task) in snapshot.tasks.iter().enumerate().filter(|(index, task)| is_meant(*index, task)) {
        let Some(who) = Who::at(snapshot, task.address) else { continue };
        let read = of_task(kernel, task.address, &mut missing);
        let files = missing.take(format!("files of pid {}", task.pid), read).unwrap_or_default();
        tasks.push(TaskFiles { task: who, needs: needs.of(index).to_vec(), files });
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
    let end = each_file(task, &mut |number, file| {
        files.extend(missing.take(format!("the file at {file}"), open_file(kernel, &number.to_string(), file)));
    });
    missing.take("descriptors", end);
    Ok(files)
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
        let name = name(dentry).ok().filter(|name| !name.is_empty() && name != "/");
        format!("{}:[{inode}]", name.unwrap_or_else(|| fs_type.trim_end_matches("fs").to_owned()))
    } else {
        path(at.kernel(), mount, dentry.address())?
    };
    Ok(OpenFile { descriptor: descriptor.to_owned(), file: file.map(Hex::from), path, fs_type, source })
}
