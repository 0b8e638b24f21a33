//! Functions of a process that dumps core.

use vmcore_kernel::Stack;

use super::has_any;

/// Whether a thread writes the core of its process: `fs/coredump.c`.
pub(crate) fn dumps_core(stack: &Stack) -> bool {
    // The newer name first.
    has_any(stack, &["vfs_coredump", "do_coredump"])
}

/// Whether a thread that ends waits until the core of its process is written: `kernel/exit.c`, since 5.16. Up to 6.0 the hung-task watchdog
/// passes over it; later it sleeps uninterruptibly like any other.
pub(crate) fn ends_after_core(stack: &Stack) -> bool {
    has_any(stack, &["coredump_task_exit"])
}
