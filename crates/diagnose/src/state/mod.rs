//! What the kernel's own structures say of locks, panics and watchdogs, as plain data.

use std::collections::HashSet;

use vmcore_kernel::{
    Gap, GracePeriod, Lock, LockWait, PageWait, PanicInfo, PendingCall, SchedulerState, Stack, StacksFollowed, WorkWait,
};
use vmcore_memory::VirtAddr;

mod collect;
mod late_disks;
mod limits;
mod owner_spin;
mod spin_scan;

pub(crate) use collect::collect;
pub use late_disks::LateDisk;
pub use limits::Limits;
pub use owner_spin::{OwnerSpin, OwnerSpinTie};
pub use spin_scan::{Holder, HolderFound, Spin, SpunFor};
pub(crate) use spin_scan::{spins, waits_in};

/// State beyond tasks and run queues that findings are made from. Empty where nothing of it could be read: then nothing
/// is found, and nothing is ruled out.
#[derive(Clone, Debug, Default)]
pub struct KernelState {
    /// How the kernel died.
    pub panic: PanicInfo,
    /// Which locks sleeping tasks wait for, also such as a signal can wake.
    pub lock_waits: Vec<LockWait>,
    /// How many other sleeping tasks may wait for a lock as well: their stacks cannot be read, or what they wait for cannot be
    /// told.
    pub unseen_waits: usize,
    /// The tasks on whose stacks a tracer replaced a return address, and its record is not found: their process ids.
    pub traced: Vec<i32>,
    /// These locks.
    pub locks: Vec<Lock>,
    /// The stacks of tasks that have such a lock or work and are neither running, nor waiting for a CPU, nor blocked.
    pub owners: Vec<Stack>,
    /// The sleeping tasks of which the hung-task watchdog never complains, because they asked the freezer to leave them out.
    pub left_out: HashSet<VirtAddr>,
    /// Which pages sleeping tasks wait for.
    pub page_waits: Vec<PageWait>,
    /// Which works sleeping tasks wait for.
    pub work_waits: Vec<WorkWait>,
    /// Disks that have had requests for too long, where tasks have been sleeping for input or output for a while.
    pub late_disks: Vec<LateDisk>,
    /// Which spin locks running tasks spin for.
    pub spins: Vec<Spin>,
    /// Which mutexes and semaphores running tasks spin for.
    pub owner_spins: Vec<OwnerSpin>,
    /// Calls that CPUs wait for others to run.
    pub calls: Vec<PendingCall>,
    /// CPUs that wait so, of which nothing says for whom: see [`vmcore_kernel::PendingCalls::unknown`].
    pub unknown_calls: Vec<u32>,
    /// RCU's last grace period.
    pub grace_period: Option<GracePeriod>,
    /// Why nothing is known of one.
    pub unread_grace_period: Option<Gap>,
    /// When the kernel itself would complain.
    pub limits: Limits,
    /// How far the stacks could be followed.
    pub followed: StacksFollowed,
    /// What the scheduler counts over time, and grants beside priorities.
    pub scheduler: SchedulerState,
    /// How long the machine had been up by its timekeeper, in nanoseconds.
    pub timekeeper_ns: Option<u64>,
    /// Whether the kernel may mask interrupts in the interrupt controller, by their priority, so that the flags of its code
    /// do not tell when it does: arm64 with pseudo NMIs.
    pub masks_by_priority: bool,
}
