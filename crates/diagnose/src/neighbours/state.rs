//! What the kernel's own structures say of locks, panics and watchdogs, as plain data.

use vmcore_kernel::{Lock, LockWait, PanicInfo, Stack};
use vmcore_memory::VirtAddr;

/// State beyond tasks and run queues that findings are made from. Empty where nothing of it could be read: then nothing
/// is found, and nothing is ruled out.
#[derive(Clone, Debug, Default)]
pub struct KernelState {
    /// How the kernel died.
    pub panic: PanicInfo,
    /// Which locks sleeping tasks wait for.
    pub lock_waits: Vec<LockWait>,
    /// These locks.
    pub locks: Vec<Lock>,
    /// The stacks of tasks that have such a lock and are neither running, nor waiting for a CPU, nor blocked.
    pub owners: Vec<Stack>,
    /// `sysctl_hung_task_timeout_secs` in nanoseconds: how long a task may sleep uninterruptibly before the kernel
    /// complains; 0 where it never does.
    pub hung_task_timeout_ns: Option<u64>,
}

impl KernelState {
    /// The lock that a task waits for, if it is known.
    pub(crate) fn wait_of(&self, task: VirtAddr) -> Option<&LockWait> {
        self.lock_waits.iter().find(|wait| wait.task == task)
    }

    /// The state of the lock that a wait is for.
    pub(crate) fn lock_of(&self, wait: &LockWait) -> Option<&Lock> {
        self.locks.iter().find(|lock| lock.address == wait.lock && lock.kind == wait.kind)
    }
}
