//! `struct semaphore`: a count that anybody may raise, so there is no owner.
//!
//! Since 6.16 (kernel commit 194a9b9e843b, `CONFIG_DETECT_HUNG_TASK_BLOCKER`) it remembers in `last_holder` who took it
//! last; that task may have given it back, or another may be meant to.
//!
//! Source: `include/linux/semaphore.h`, `kernel/locking/semaphore.c`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::queue::{Anchor, KnownTasks, WaiterLayout};
use super::{Lock, LockKind, LockWord, Owner};
use crate::layout::{Field, Resolver};

/// Offsets in `struct semaphore` and its waiter.
pub(crate) struct SemaphoreLayout {
    count: Field,
    last_holder: Option<Field>,
    pub(crate) anchor: Anchor,
    pub(crate) waiter: WaiterLayout,
}

impl SemaphoreLayout {
    pub(crate) fn resolve(types: Resolver<'_>) -> Option<Self> {
        Some(Self {
            count: types.optional("semaphore", "count")?,
            last_holder: types.optional("semaphore", "last_holder"),
            anchor: Anchor::resolve(types, "semaphore")?,
            waiter: WaiterLayout::resolve(types, "semaphore_waiter")?,
        })
    }

    /// The semaphore at `address`, where there is one with somebody in its queue.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        tasks: &dyn KnownTasks,
        address: VirtAddr,
    ) -> Option<Lock> {
        let count = self.count.read(memory, address).ok()?;
        let waiters = self.anchor.waiters(memory, tasks, self.waiter, address)?;
        // Whoever raises it gives it to the first waiter at once, so with waiters it is 0.
        if waiters.is_empty() || count != 0 {
            return None;
        }
        let mut words = vec![LockWord { member: "count", value: count, flags: Vec::new() }];
        let last = self.last_holder.and_then(|field| field.read(memory, address).ok()).filter(|&last| last != 0);
        words.extend(last.map(|value| LockWord { member: "last_holder", value, flags: Vec::new() }));
        let owner = Owner::Unknown("a semaphore has no owner: anybody may raise it".to_owned());
        Some(Lock { kind: LockKind::Semaphore, address, owner, words, waiters })
    }
}
