//! Lists of kernel state that say who waits for what: timers, interrupts, wait queues, works, locks, RCU, block
//! requests, files, mounts, network devices, memory, swap; and of the loaded modules.
//!
//! Nothing here judges. Each list says what of it could not be read ([`Listing`]): a list that is short because memory is
//! missing must not look like one that is short because there is nothing. Members are probed, the newest kernel's first.

mod block;
mod clock;
mod files;
mod fuse;
mod interrupts;
mod listing;
mod locks;
mod memory;
mod modules;
mod mounts;
mod needs;
mod network;
mod open_file;
mod paths;
mod rcu;
mod spun_locks;
mod swap;
mod timers;
mod wait_queue;
mod workqueue_watchdog;
mod workqueues;

pub use block::{Disk, Disks, Request, disks};
pub use files::{Files, TaskFiles, files};
pub use fuse::{FuseConnection, FuseRequest};
pub use interrupts::{Interrupts, Irq, SoftIrqs, interrupts};
pub use listing::{Listing, Unread};
pub use locks::{HeldLock, Locks, QueuedSpinner, WaitedPage, WaitedWork, locks};
pub use memory::{Memory, Process, Slab, Zone, memory};
pub use modules::{Module, Modules, TaintingModule, TaintingModules, modules, tainting_modules};
pub use mounts::{Mount, Mounts, mounts};
pub use needs::{Need, Needy};
pub use network::{Device, Network, network};
pub use open_file::OpenFile;
pub use rcu::{CpuCallbacks, Rcu, rcu};
pub use spun_locks::{LockHolder, LockSpinner, SpunLock, SpunLocks};
pub use swap::{Swap, SwapArea, swap};
pub use timers::{Timer, TimerKind, Timers, timers};
pub use wait_queue::{InQueue, QueueKind, WaitQueue, Waiters, wait_queue, waiters};
pub use workqueues::{Pool, Queue, Work, Worker, Workqueues, workqueues};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::VirtAddr;

use self::listing::Collector;
use crate::{Hex, name_address};

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Gap")]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// Why, with the address.
    pub why: String,
}

/// A list of kernel state.
pub trait State {
    /// What of it could not be read.
    fn missing(&self) -> &[Missing];
    /// Whether nothing was found that is looked for.
    fn is_empty(&self) -> bool;
}

macro_rules! state {
    ($name:ty, $($list:ident),+) => {
        impl crate::state::State for $name {
            fn missing(&self) -> &[crate::state::Missing] {
                &self.gaps
            }

            fn is_empty(&self) -> bool {
                $(self.$list.found().is_empty())&&+
            }
        }
    };
}
pub(crate) use state;

/// A task, as lists name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TaskName")]
pub struct Who {
    /// Its thread id.
    pub pid: i32,
    /// Its name, chosen by itself.
    pub comm: String,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The state's letter, as in `ps`.
    pub state: char,
    /// How long ago it was last given a CPU, by the clock of its run queue: one that sleeps has slept for less.
    pub since_ns: Option<u64>,
}

impl Who {
    /// The task at `address`; `None` where no task is known there.
    #[must_use]
    pub fn at(snapshot: &Snapshot, address: VirtAddr) -> Option<Self> {
        let task = snapshot.task(address)?;
        let queue = snapshot.cpu_running(task).or_else(|| snapshot.cpu(task.cpu))?.run_queue.as_ref();
        Some(Self {
            pid: task.pid,
            comm: task.comm.clone(),
            task: address.into(),
            state: task.state.letter(),
            since_ns: queue.and_then(|queue| queue.running_ns(task)),
        })
    }
}

/// The name of the function or variable at an address; `None` where it has none or is null.
fn symbol(kernel: &Kernel<'_>, address: VirtAddr) -> Option<String> {
    if address.is_null() {
        return None;
    }
    name_address(kernel, address).map(|name| name.to_string())
}
