//! `struct rt_mutex_base`: a lock whose waiters lend their priority to its owner.
//!
//! ```text
//! owner    task_struct * | RT_MUTEX_HAS_WAITERS 1
//! waiters  rb_root_cached of struct rt_mutex_waiter, whose `lock` and `task` point to both ends
//! ```
//!
//! `task_struct.pi_blocked_on` points to the waiter of a task that sleeps for one. On `PREEMPT_RT`, mutexes,
//! reader-writer semaphores and spin locks are made of it.
//!
//! Source: `include/linux/rtmutex.h`, `kernel/locking/rtmutex_common.h`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::queue::KnownTasks;
use super::{Lock, LockKind, LockWord, Owner, Waiter};
use crate::layout::{Field, Resolver};
use crate::list::rb_tree;

const HAS_WAITERS: u64 = 1;
const MAX_WAITERS: usize = 1 << 16;

/// Offsets in the lock, its waiter, and `struct task_struct`.
pub(crate) struct RtMutexLayout {
    owner: Field,
    root: Field,
    node: Field,
    waiter_task: Field,
    waiter_lock: Field,
    blocked_on: Field,
}

/// The waiter of a task.
pub(crate) struct RtWaiter {
    pub(crate) waiter: VirtAddr,
    pub(crate) lock: VirtAddr,
}

impl RtMutexLayout {
    pub(crate) fn resolve(types: Resolver<'_>) -> Option<Self> {
        // Split by kernel commit 830e6acc8a1c (5.15); the tree is cached since a23ba907d5e6 (4.14).
        let lock = |path: &str| types.first(&[("rt_mutex_base", path), ("rt_mutex", path)]).ok();
        Some(Self {
            owner: lock("owner")?,
            root: lock("waiters.rb_root.rb_node").or_else(|| lock("waiters.rb_node"))?,
            // Grouped with its priority by kernel commit f7853c342418 (6.6).
            node: types.first(&[("rt_mutex_waiter", "tree.entry"), ("rt_mutex_waiter", "tree_entry")]).ok()?,
            waiter_task: types.optional("rt_mutex_waiter", "task")?,
            waiter_lock: types.optional("rt_mutex_waiter", "lock")?,
            blocked_on: types.optional("task_struct", "pi_blocked_on")?,
        })
    }

    /// The waiter of a task that sleeps for such a lock.
    pub(crate) fn waiter<M: ReadVirtual + ?Sized>(&self, memory: &M, task: VirtAddr) -> Option<RtWaiter> {
        let waiter = self.blocked_on.read_pointer(memory, task).ok().filter(|waiter| waiter.is_kernel_half())?;
        let named = self.waiter_task.read_pointer(memory, waiter).ok()?;
        let lock = self.waiter_lock.read_pointer(memory, waiter).ok()?;
        (named == task && lock.is_kernel_half()).then_some(RtWaiter { waiter, lock })
    }

    /// The lock at `address`, where there is one with somebody in its queue.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        tasks: &dyn KnownTasks,
        address: VirtAddr,
    ) -> Option<Lock> {
        let raw = self.owner.read(memory, address).ok()?;
        let root = self.root.read_pointer(memory, address).ok()?;
        let listed = rb_tree(memory, root, MAX_WAITERS, "waiters");
        if listed.gap.is_some() || listed.nodes.is_empty() {
            return None;
        }
        let waiter_of = |node: &VirtAddr| {
            let waiter = self.node.container(*node);
            let lock = self.waiter_lock.read_pointer(memory, waiter).ok()?;
            let task = self.waiter_task.read_pointer(memory, waiter).ok()?;
            (lock == address && tasks.is_task(task)).then_some(Waiter { address: waiter, task })
        };
        let waiters = listed.nodes.iter().map(waiter_of).collect::<Option<Vec<_>>>()?;
        let owner = VirtAddr::new(raw & !HAS_WAITERS);
        if !(owner.is_null() || tasks.is_task(owner)) {
            return None;
        }
        let flags = if raw & HAS_WAITERS != 0 { vec!["RT_MUTEX_HAS_WAITERS"] } else { Vec::new() };
        let words = vec![LockWord { member: "owner", value: raw, flags }];
        let owner = if owner.is_null() { Owner::Nobody } else { Owner::Task(owner) };
        Some(Lock { kind: LockKind::RtMutex, address, owner, words, waiters })
    }
}

#[cfg(test)]
impl RtMutexLayout {
    pub(crate) fn for_tests() -> Self {
        let word = |offset| Field { offset, size: 8 };
        Self {
            root: word(8),
            owner: word(24),
            node: Field { offset: 0, size: 24 },
            waiter_task: word(48),
            waiter_lock: word(56),
            blocked_on: word(0x100),
        }
    }
}
