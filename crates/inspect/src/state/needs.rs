//! What a task that sleeps needs of file systems: the files of the system call that it is in, and the name that it looks up.
//!
//! ```text
//! the registers of user mode, at the end of its stack    which system call, and which descriptors it was given
//! task_struct.nameidata                                  .path, how far it has got, and .last, the name that is looked up
//! ```
//! Nothing is guessed from stack contents: a task that is in neither needs nothing here. What was opened by a name and is
//! needed by no descriptor (a page fault on a mapped file, an `unlink` behind its look-up) is not told. Source:
//! `fs/namei.c`, `include/linux/syscalls.h`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot, Stack, Task};
use vmcore_memory::ReadVirtual;

use super::open_file::{at_path, file_of, open_file};
use super::{Collector, Listing, Who};
use crate::object::Object;
use crate::{Hex, InspectError};

/// `S_IFMT`, and those of its values that stand for storage: `S_IFREG`, `S_IFDIR`, `S_IFBLK`.
const KIND: u64 = 0o170_000;
const STORAGE: [u64; 3] = [0o100_000, 0o040_000, 0o060_000];
/// `NAME_MAX`, and its end.
const MAX_NAME: usize = 256;
/// The arguments of system calls that are descriptors, by the kernel's names.
const DESCRIPTORS: [(&str, &[usize]); 47] = [
    ("close", &[0]),
    ("copy_file_range", &[0, 2]),
    ("fadvise64", &[0]),
    ("fadvise64_64", &[0]),
    ("fallocate", &[0]),
    ("fchdir", &[0]),
    ("fchmod", &[0]),
    ("fchown", &[0]),
    ("fcntl", &[0]),
    ("fdatasync", &[0]),
    ("fgetxattr", &[0]),
    ("flistxattr", &[0]),
    ("flock", &[0]),
    ("fremovexattr", &[0]),
    ("fsetxattr", &[0]),
    ("fstatfs", &[0]),
    ("fsync", &[0]),
    ("ftruncate", &[0]),
    ("getdents", &[0]),
    ("getdents64", &[0]),
    ("ioctl", &[0]),
    ("lseek", &[0]),
    ("newfstat", &[0]),
    ("pread64", &[0]),
    ("preadv", &[0]),
    ("preadv2", &[0]),
    ("pwrite64", &[0]),
    ("pwritev", &[0]),
    ("pwritev2", &[0]),
    ("read", &[0]),
    ("readahead", &[0]),
    ("readv", &[0]),
    ("recvfrom", &[0]),
    ("recvmmsg", &[0]),
    ("recvmsg", &[0]),
    ("sendfile", &[0, 1]),
    ("sendfile64", &[0, 1]),
    ("sendmmsg", &[0]),
    ("sendmsg", &[0]),
    ("sendto", &[0]),
    ("splice", &[0, 2]),
    ("sync_file_range", &[0]),
    ("syncfs", &[0]),
    ("tee", &[0, 1]),
    ("vmsplice", &[0]),
    ("write", &[0]),
    ("writev", &[0]),
];

/// Something that a task needs of a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Need")]
pub struct Need {
    /// The system call that needs it, by the kernel's name; null where that is not known.
    pub call: Option<String>,
    /// The descriptor that it was given; null for a name that is looked up.
    pub descriptor: Option<u64>,
    /// The file's path, or the path that is looked up, as far as the look-up has got.
    pub path: String,
    /// The type of the file system.
    pub fs_type: String,
    /// What is mounted there: for NFS `server:/path`.
    pub source: String,
    /// The address of the `struct super_block`.
    pub super_block: Hex,
    /// Whether it is a file with contents, a directory, or a block device: who sleeps for one waits for storage or for a
    /// server, and not, as for a pipe, for somebody to write to it.
    pub storage: bool,
}

/// A task, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Needy")]
pub struct Needy {
    /// The task.
    pub task: Who,
    /// What it needs.
    pub need: Need,
}

/// What each of the tasks of `stacks` needs, by the tasks' places in the snapshot. Kernel threads need nothing.
pub(super) struct Needs {
    by_task: BTreeMap<usize, Listing<Need>>,
}

impl Needs {
    /// Reads them. What is missing of a task's needs is missing from the list that is being read, too: the task may belong
    /// there.
    pub(super) fn read<'k>(
        kernel: &'k Kernel<'k>,
        snapshot: &Snapshot,
        stacks: &[Stack],
        missing: &mut Collector,
    ) -> Self {
        let mut by_task = BTreeMap::new();
        for stack in stacks {
            let Some(task) = snapshot.tasks.get(stack.task).filter(|task| !task.kernel_thread) else { continue };
            let what = format!("what pid {} needs", task.pid);
            let found = missing.list(&what, |missing| needs(kernel, task, stack, missing));
            missing.note_unread(&found);
            if !found.has_none() {
                by_task.insert(stack.task, found);
            }
        }
        Self { by_task }
    }

    pub(super) fn of(&self, task: usize) -> Listing<Need> {
        self.by_task.get(&task).cloned().unwrap_or_else(|| Vec::new().into())
    }

    /// Whether a task waits for a file system: one that cannot be woken, or one that could and sleeps for storage.
    pub(super) fn waits(&self, index: usize, task: &Task) -> bool {
        let needs_storage = |needs: &Listing<Need>| needs.found().iter().any(|need| need.storage);
        task.state.is_uninterruptible() || self.by_task.get(&index).is_some_and(needs_storage)
    }

    /// All tasks that wait for storage.
    pub(super) fn needy(&self, snapshot: &Snapshot) -> Vec<Needy> {
        let of = |(task, needs): (&usize, &Listing<Need>)| {
            let who = snapshot.tasks.get(*task).and_then(|task| Who::at(snapshot, task.address));
            let needs = needs.found().iter().filter(|need| need.storage);
            needs.filter_map(|need| Some(Needy { task: who.clone()?, need: need.clone() })).collect::<Vec<_>>()
        };
        self.by_task.iter().flat_map(of).collect()
    }
}

fn needs<'k>(
    kernel: &'k Kernel<'k>,
    task: &Task,
    stack: &Stack,
    missing: &mut Collector,
) -> Result<Vec<Need>, InspectError> {
    let pid = task.pid;
    if let Some(why) = &stack.error {
        missing.note(format!("the stack of pid {pid}"), why);
    }
    let call = kernel.system_call(stack);
    if let (None, Some(number)) = (&call, kernel.system_call_number(stack)) {
        missing.note(format!("the system call of pid {pid}"), format!("sys_call_table[{number}] cannot be read"));
    }
    let object = Object::new(kernel, "struct task_struct", task.address)?;
    let name = call.as_ref().map(|call| call.name.clone());
    let path = missing.take(format!("the name that pid {pid} looks up"), looked_up(object, name.clone()));
    let mut found: Vec<_> = path.flatten().into_iter().collect();
    let Some(call) = call else { return Ok(found) };
    let positions = DESCRIPTORS.iter().find(|(name, _)| *name == call.name).map_or(&[][..], |(_, at)| at);
    let given = positions.iter().filter_map(|&at| call.arguments.get(at).copied());
    // A descriptor is an `int`.
    for number in given.map(|number| number & 0xffff_ffff) {
        let need = of_descriptor(object, number, name.clone());
        found.extend(missing.take(format!("descriptor {number} of pid {pid}"), need).flatten());
    }
    Ok(found)
}

fn of_descriptor(task: Object<'_>, number: u64, call: Option<String>) -> Result<Option<Need>, InspectError> {
    let Some(at) = file_of(task, number)? else { return Ok(None) };
    let file = Object::new(task.kernel(), "struct file", at)?;
    let open = open_file(task.kernel(), "", at)?;
    let block = file.at("f_path.dentry")?.pointee()?.at("d_sb")?.pointer()?;
    let storage = is_storage(file.number_at("f_inode.i_mode")?);
    let (path, fs_type, source) = (open.path, open.fs_type, open.source);
    Ok(Some(Need { call, descriptor: Some(number), path, fs_type, source, super_block: block.into(), storage }))
}

/// The name that the task looks up.
fn looked_up(task: Object<'_>, call: Option<String>) -> Result<Option<Need>, InspectError> {
    let Some(at) = task.pointer_at("nameidata")? else { return Ok(None) };
    let walk = Object::new(task.kernel(), "struct nameidata", at)?;
    let reached = at_path(walk.at("path")?, "", None)?;
    let block = walk.at("path.dentry")?.pointee()?.at("d_sb")?.pointer()?;
    // `LAST_NORM`: the others are `/`, `.` and `..`.
    let last = if walk.number_at("last_type")? == 0 { last_name(walk)? } else { None };
    let path = match last {
        Some(name) => format!("{}/{name}", reached.path.trim_end_matches('/')),
        None => reached.path,
    };
    let (fs_type, source) = (reached.fs_type, reached.source);
    Ok(Some(Need { call, descriptor: None, path, fs_type, source, super_block: block.into(), storage: true }))
}

/// It is part of a longer path, and so has a length instead of an end.
fn last_name(walk: Object<'_>) -> Result<Option<String>, InspectError> {
    let Some(at) = walk.pointer_at("last.name")? else { return Ok(None) };
    let len = usize::try_from(walk.number_at("last.len")? & 0xffff_ffff).ok();
    let Some(len) = len.filter(|len| (1..MAX_NAME).contains(len)) else { return Ok(None) };
    let read = |error| InspectError::read(format!("the name at {at}"), error);
    let bytes = walk.kernel().memory().read_bytes(at, len as u64).map_err(read)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn is_storage(mode: u64) -> bool {
    STORAGE.contains(&(mode & KIND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_terminals_are_no_storage() {
        for (mode, storage) in
            [(0o100_644, true), (0o040_755, true), (0o060_660, true), (0o010_600, false), (0o020_620, false)]
        {
            assert_eq!(is_storage(mode), storage, "{mode:o}");
        }
    }

    #[test]
    fn calls_are_in_order_and_have_six_arguments() {
        assert!(DESCRIPTORS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(DESCRIPTORS.iter().all(|(_, at)| at.iter().all(|&at| at < 6)));
    }
}
