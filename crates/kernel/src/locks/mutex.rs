//! `struct mutex`: the owner's address with flags in its low bits.
//!
//! ```text
//! owner      task_struct * | MUTEX_FLAG_WAITERS 1 | MUTEX_FLAG_HANDOFF 2 | MUTEX_FLAG_PICKUP 4    (since 4.10)
//! count      1 free, 0 taken, < 0 taken with waiters; owner is a plain pointer that may lag       (before)
//! wait_list  struct list_head of struct mutex_waiter
//! ```
//!
//! Source: `include/linux/mutex.h`, `kernel/locking/mutex.c`; kernel commit 3ca0ff571b09.

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::queue::{Anchor, KnownTasks, WaiterLayout};
use super::{Lock, LockKind, LockWord, Owner};
use crate::layout::{Field, Resolver};

/// `MUTEX_FLAGS`.
const FLAGS: u64 = 7;
const FLAG_NAMES: [(u64, &str); 3] = [(1, "MUTEX_FLAG_WAITERS"), (2, "MUTEX_FLAG_HANDOFF"), (4, "MUTEX_FLAG_PICKUP")];

/// Offsets in `struct mutex` and its waiter.
pub(crate) struct MutexLayout {
    owner: Field,
    owner_path: &'static str,
    /// Before 4.10 only.
    count: Option<Field>,
    pub(crate) anchor: Anchor,
    pub(crate) waiter: WaiterLayout,
}

impl MutexLayout {
    /// `None` also where a mutex is an `rt_mutex`: on `PREEMPT_RT`.
    pub(crate) fn resolve(types: Resolver<'_>) -> Option<Self> {
        let atomic = types.optional("mutex", "owner.counter").map(|field| (field, "owner.counter"));
        let (owner, owner_path) = atomic.or_else(|| Some((types.optional("mutex", "owner")?, "owner")))?;
        Some(Self {
            owner,
            owner_path,
            count: types.optional("mutex", "count.counter"),
            anchor: Anchor::resolve(types, "mutex")?,
            waiter: WaiterLayout::resolve(types, "mutex_waiter")?,
        })
    }

    /// The mutex at `address`, where there is one with somebody in its queue.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        tasks: &dyn KnownTasks,
        address: VirtAddr,
    ) -> Option<Lock> {
        let raw = self.owner.read(memory, address).ok()?;
        let waiters = self.anchor.waiters(memory, tasks, self.waiter, address)?;
        let owner = VirtAddr::new(raw & !FLAGS);
        let mut words = vec![LockWord { member: self.owner_path, value: raw, flags: flags(raw) }];
        let has_waiters = match self.count {
            None => raw & 1 != 0,
            Some(count) => {
                let value = count.read_i32(memory, address).ok()?;
                words.push(LockWord {
                    member: "count.counter",
                    value: u64::from(value.cast_unsigned()),
                    flags: Vec::new(),
                });
                value < 0
            }
        };
        if waiters.is_empty() || !has_waiters {
            return None;
        }
        let owner = match (owner.is_null(), self.count) {
            (false, _) if tasks.is_task(owner) => Owner::Task(owner),
            // An oops ends a task with all that it has. Nobody will unlock that.
            (false, _) if may_have_been_a_task(memory, owner) => Owner::Unknown(format!(
                "its owner, {owner}, is no task that was found: it may have ended with the mutex, or its task_struct could not be read"
            )),
            (false, _) => return None,
            (true, None) => Owner::Nobody,
            (true, Some(_)) => Owner::Unknown("this kernel did not record the owner".to_owned()),
        };
        Some(Lock { kind: LockKind::Mutex, address, owner, words, waiters })
    }
}

/// Whether a `struct task_struct` can have been there: it is aligned to a cache line (`fork_init()` in `kernel/fork.c`), in memory that the kernel
/// has.
fn may_have_been_a_task<M: ReadVirtual + ?Sized>(memory: &M, address: VirtAddr) -> bool {
    address.is_kernel_half() && address.get().is_multiple_of(64) && memory.read_u64(address).is_ok()
}

fn flags(raw: u64) -> Vec<&'static str> {
    FLAG_NAMES.iter().filter(|(bit, _)| raw & bit != 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
impl MutexLayout {
    /// A mutex of 4.10 and later.
    pub(crate) fn for_tests() -> Self {
        Self {
            owner: Field { offset: 0, size: 8 },
            owner_path: "owner.counter",
            count: None,
            anchor: Anchor::Head(Field { offset: 16, size: 16 }),
            waiter: WaiterLayout::for_tests(),
        }
    }

    /// One with a pointer to its first waiter instead of a list.
    pub(crate) fn with_first_waiter() -> Self {
        Self { anchor: Anchor::First(Field { offset: 16, size: 8 }), ..Self::for_tests() }
    }

    /// A mutex before 4.10, with its count behind its list.
    pub(crate) fn with_count() -> Self {
        Self { owner_path: "owner", count: Some(Field { offset: 32, size: 4 }), ..Self::for_tests() }
    }
}
