//! Files of tasks: what each task has open, and what it needs.
//!
//! Source: `include/linux/fdtable.h`, `include/linux/fs.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot, Stack, Task};
use vmcore_memory::VirtAddr;

use super::needs::{Need, Needs};
use super::open_file::{OpenFile, at_path, each_file, open_file};
use super::{Collector, Listing, Missing, Who, state};
use crate::InspectError;
use crate::object::Object;

/// Files of tasks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Files")]
pub struct Files {
    /// The tasks.
    pub tasks: Listing<TaskFiles>,
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
    pub needs: Listing<Need>,
    /// Its program, working directory and root directory, then its open files.
    pub files: Listing<OpenFile>,
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
    let tasks = missing.list("tasks", |missing| {
        missing.note_gaps(&snapshot.gaps);
        let needs = Needs::read(kernel, snapshot, stacks, missing);
        let is_meant = |index, task: &Task| meant.map_or_else(|| needs.waits(index, task), |meant| meant(task));
        let tasks = snapshot.tasks.iter().enumerate().filter(|(index, task)| is_meant(*index, task));
        let of = |(index, task): (usize, &Task)| {
            let who = Who::at(snapshot, task.address)?;
            let files = missing.list(format!("files of pid {}", task.pid), |missing| of_task(kernel, task, missing));
            Some(TaskFiles { task: who, needs: needs.of(index), files })
        };
        Ok(tasks.filter_map(of).collect())
    });
    Files { tasks, gaps: missing.into_gaps() }
}

fn of_task<'k>(kernel: &'k Kernel<'k>, task: &Task, missing: &mut Collector) -> Result<Vec<OpenFile>, InspectError> {
    let pid = task.pid;
    let task = Object::new(kernel, "struct task_struct", task.address)?;
    let mut files = Vec::new();
    let program = missing.take(format!("the program of pid {pid}"), program(task)).flatten();
    if let Some(file) = program {
        files.extend(missing.take(format!("the file at {file}"), open_file(kernel, "exe", file)));
    }
    let place = missing.take(format!("the directories of pid {pid}"), task.pointer_at("fs")).flatten();
    // A task that exits has given both up.
    if let Some(place) = place {
        let place = Object::new(kernel, "struct fs_struct", place)?;
        for (name, member) in [("cwd", "pwd"), ("root", "root")] {
            let path = place.at(member).and_then(|path| at_path(path, name, None));
            files.extend(missing.take(format!("the {name} in fs_struct at {}", place.address()), path));
        }
    }
    let end = each_file(task, &mut |number, file| {
        files.extend(missing.take(format!("the file at {file}"), open_file(kernel, &number.to_string(), file)));
    });
    missing.take(format!("descriptors of pid {pid}"), end);
    Ok(files)
}

/// The file that it executes; `None` of a kernel thread.
fn program(task: Object<'_>) -> Result<Option<VirtAddr>, InspectError> {
    if task.pointer_at("mm")?.is_none() {
        return Ok(None);
    }
    task.pointer_at("mm.exe_file")
}
