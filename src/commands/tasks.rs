//! Which tasks a command is about, for those that take `--pid`, or `--state` and `--comm`.

use vmcore_kernel::Task;
use vmcore_memory::VirtAddr;

use crate::cli::Which;
use crate::context::Context;
use crate::failure::Failure;
use crate::session::Session;

pub(crate) fn no_task(pid: i32, session: &Session, context: &Context) -> Failure {
    Failure::new(format_args!("the machine has no task with pid {pid}")).hint(all_tasks(session, context))
}

/// How to get a list of those that there are.
pub(super) fn all_tasks(session: &Session, context: &Context) -> String {
    format!("`{}` lists the tasks", context.command("ps", session))
}

/// The `struct mm_struct` of a task's user memory.
pub(crate) fn user_memory(task: &Task) -> Result<VirtAddr, Failure> {
    task.mm.ok_or_else(|| {
        let what = if task.kernel_thread { "is a kernel thread" } else { "has already given its memory back" };
        Failure::new(format_args!("pid {} \"{}\" {what}: it has no user addresses", task.pid, task.comm))
            .hint("for a kernel address leave --pid out")
    })
}

impl Which {
    /// Whether any task is meant unless something else says which.
    pub(super) fn is_everybody(&self) -> bool {
        self.state.is_none() && self.comm.is_none()
    }

    /// Whether the task is meant.
    pub(super) fn is_meant(&self, task: &Task) -> bool {
        let state = self.state.as_ref().is_none_or(|letters| letters.contains(task.state.letter()));
        state && self.comm.as_ref().is_none_or(|text| task.comm.contains(text.as_str()))
    }
}
