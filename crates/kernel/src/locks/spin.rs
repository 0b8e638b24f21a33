//! Queued spin locks: one word that says whether the lock is taken and who is last in the queue, and a node for each CPU
//! in the queue.
//!
//! ```text
//! struct qspinlock  bits 0-7 locked, 8-15 pending, 16-17 node of the last in the queue, 18-31 its CPU + 1
//! qnodes[4]         per CPU, one for each context that may spin (task, softirq, hardirq, NMI)
//!   mcs.next        the node of the CPU behind
//!   mcs.locked      0 while it waits for the CPU in front
//! ```
//!
//! The word does not say who has the lock; only `CONFIG_DEBUG_SPINLOCK` records that. Under a hypervisor without
//! paravirtual locks the word is only ever 0 or 1 and there is no queue (`virt_spin_lock`).
//!
//! Source: `include/asm-generic/qspinlock_types.h`, `kernel/locking/qspinlock.c`, `kernel/locking/mcs_spinlock.h`. The
//! pending byte has eight bits with less than 16 Ki CPUs, which is all that x86-64 is built for.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use crate::{Gap, Kernel, Resolver, Snapshot};

/// `MAX_NODES`: nodes of each CPU.
const NODES: u64 = 4;

/// The word of a queued spin lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpinLockWord(pub u32);

impl SpinLockWord {
    /// Whether somebody has it.
    #[must_use]
    pub const fn is_locked(self) -> bool {
        self.0 & 0xff != 0
    }

    /// Whether a CPU waits in front of the queue without a node.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        self.0 & 0xff00 != 0
    }

    /// The CPU whose node is last in the queue, and which of its nodes.
    #[must_use]
    pub fn tail(self) -> Option<(u32, u64)> {
        let cpu = (self.0 >> 18).checked_sub(1)?;
        Some((cpu, u64::from(self.0 >> 16 & 3)))
    }
}

/// A CPU's place in the queue of a spin lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpinNode {
    /// The CPU.
    pub cpu: u32,
    /// Which of its nodes.
    pub index: u64,
    /// The address of its `struct mcs_spinlock`.
    pub address: VirtAddr,
    /// The node of the CPU behind; null for the last.
    pub next: VirtAddr,
    /// Whether it is its turn.
    pub first: bool,
}

impl Kernel<'_> {
    /// The word of the spin lock at `lock`.
    #[must_use]
    pub fn spin_lock_word(&self, lock: VirtAddr) -> Option<SpinLockWord> {
        self.memory().read_u32(lock).ok().map(SpinLockWord)
    }

    /// The nodes with which a CPU is in the queues of spin locks, as many as its nesting count says. A kernel without such queues has
    /// none.
    ///
    /// # Errors
    ///
    /// [`Gap`] where they cannot be read.
    pub fn spin_nodes(&self, cpu: u32) -> Result<Vec<SpinNode>, Gap> {
        let types = Resolver::new(self.vmlinux().types());
        // `kernel/locking/qspinlock.c`: in 4.19 an array `mcs_nodes` of bare nodes, in 5.10 `qnodes`.
        let found = [("qnodes", "qnode"), ("mcs_nodes", "mcs_spinlock")]
            .into_iter()
            .find_map(|(symbol, element)| Some((self.percpu_symbol(symbol, cpu)?, types.size_of(element).ok()?)));
        let field = |path| types.optional("mcs_spinlock", path);
        let (Some((base, size)), Some(next), Some(locked), Some(count)) =
            (found, field("next"), field("locked"), field("count"))
        else {
            return Ok(Vec::new());
        };
        let gap = |error: ReadError| Gap::new(format!("the queues of spin locks of CPU {cpu}"), error);
        // The nesting count is in the first node, for all.
        let used = count.read(self.memory(), base).map_err(gap)?.min(NODES);
        let node = |index: u64| {
            let address = base.wrapping_add(index.wrapping_mul(size));
            Ok(SpinNode {
                cpu,
                index,
                address,
                next: next.read_pointer(self.memory(), address).map_err(gap)?,
                first: locked.read(self.memory(), address).map_err(gap)? != 0,
            })
        };
        (0..used).map(node).collect()
    }

    /// The task that has a spin lock, where the kernel records it.
    #[must_use]
    pub fn spin_lock_owner(&self, snapshot: &Snapshot, lock: VirtAddr) -> Option<VirtAddr> {
        self.recorded_owner(snapshot, "raw_spinlock", lock)
    }

    /// The task that is said to have a lock of this type, by a member that only kernels built to look for wrong use have
    /// (`CONFIG_DEBUG_SPINLOCK`).
    pub(super) fn recorded_owner(&self, snapshot: &Snapshot, lock_type: &str, lock: VirtAddr) -> Option<VirtAddr> {
        let owner = Resolver::new(self.vmlinux().types()).optional(lock_type, "owner")?;
        let task = owner.read_pointer(self.memory(), lock).ok()?;
        snapshot.task_index(task).map(|_| task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_parts() {
        let word = SpinLockWord(0x0011_0101);
        assert!(word.is_locked() && word.is_pending());
        assert_eq!(word.tail(), Some((3, 1)));
        assert_eq!(SpinLockWord(1).tail(), None);
        assert!(!SpinLockWord(0x100).is_locked() && !SpinLockWord(1).is_pending());
        assert_eq!(SpinLockWord(u32::MAX).tail(), Some((0x3ffe, 3)));
    }
}
