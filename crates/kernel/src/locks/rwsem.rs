//! `struct rw_semaphore`: a count of what is taken and an owner of which the low bits say what it means.
//!
//! ```text
//! since 5.3   count.counter  bit 0 RWSEM_WRITER_LOCKED, 1 RWSEM_FLAG_WAITERS, 2 RWSEM_FLAG_HANDOFF, from 8 on the readers
//!             owner.counter  task_struct * | RWSEM_READER_OWNED 1 | RWSEM_NONSPINNABLE 2 (and 4 up to 5.10)
//! before      count.counter  low 32 bits: active lockers; negative with waiters or a writer
//!             owner          task_struct * of the writer; with bit 0 owned by readers
//! wait_list   struct list_head of struct rwsem_waiter, whose `type` says whether it reads
//! ```
//!
//! Who reads is not recorded: with `RWSEM_READER_OWNED` the owner is the reader that came last, a hint only.
//!
//! Source: `kernel/locking/rwsem.c`; kernel commits 64489e78004c, 94a9717b3c40 (5.3), 617f3ef95177 (5.11).

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use super::queue::{Anchor, KnownTasks, WaiterLayout};
use super::{Lock, LockKind, LockWord, Owner};
use crate::layout::{Field, Resolver};

const WRITER_LOCKED: u64 = 1;
const FLAG_WAITERS: u64 = 2;
const COUNT_FLAGS: [(u64, &str); 3] =
    [(WRITER_LOCKED, "RWSEM_WRITER_LOCKED"), (FLAG_WAITERS, "RWSEM_FLAG_WAITERS"), (4, "RWSEM_FLAG_HANDOFF")];
/// `RWSEM_READER_SHIFT`.
const READER_SHIFT: u32 = 8;
/// Without bit 63, which guards against an overflow.
const READERS: u64 = u64::MAX >> 1;
const READER_OWNED: u64 = 1;
const OWNER_FLAGS: u64 = 7;
const OWNER_FLAG_NAMES: [(u64, &str); 2] = [(READER_OWNED, "RWSEM_READER_OWNED"), (2, "RWSEM_NONSPINNABLE")];
/// `RWSEM_OWNER_UNKNOWN` of `include/linux/rwsem.h` (4.18 to 5.6, kernel commit d7d760efad70): -1 up to 4.19, -2 since.
const OLD_UNKNOWN: [u64; 2] = [u64::MAX, u64::MAX - 1];
/// `RWSEM_ACTIVE_MASK` before 5.3.
const OLD_ACTIVE: u64 = 0xffff_ffff;

/// Offsets in `struct rw_semaphore` and its waiter.
pub(crate) struct RwSemLayout {
    count: Field,
    owner: Option<Field>,
    /// The owner is an `atomic_long_t`, and the count has the bits of 5.3 and later.
    new_bits: bool,
    pub(crate) anchor: Anchor,
    pub(crate) waiter: WaiterLayout,
    kind: Option<Field>,
    waiting_for_read: u64,
}

impl RwSemLayout {
    /// `None` also on `PREEMPT_RT`, where it is made of an `rt_mutex`.
    pub(crate) fn resolve(types: Resolver<'_>) -> Option<Self> {
        let atomic = types.optional("rw_semaphore", "owner.counter");
        let waiting_for_read = types.types().enumerator("RWSEM_WAITING_FOR_READ").unwrap_or(1);
        Some(Self {
            count: types.first(&[("rw_semaphore", "count.counter"), ("rw_semaphore", "count")]).ok()?,
            owner: atomic.or_else(|| types.optional("rw_semaphore", "owner")),
            new_bits: atomic.is_some(),
            anchor: Anchor::resolve(types, "rw_semaphore")?,
            waiter: WaiterLayout::resolve(types, "rwsem_waiter")?,
            kind: types.optional("rwsem_waiter", "type"),
            waiting_for_read: u64::try_from(waiting_for_read).ok()?,
        })
    }

    /// Whether the waiter wants to read.
    pub(crate) fn is_reader<M: ReadVirtual + ?Sized>(&self, memory: &M, waiter: VirtAddr) -> bool {
        self.kind.is_some_and(|kind| kind.read(memory, waiter).is_ok_and(|value| value == self.waiting_for_read))
    }

    /// The semaphore at `address`, where there is one with somebody in its queue.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        tasks: &dyn KnownTasks,
        address: VirtAddr,
    ) -> Option<Lock> {
        let count = self.count.read(memory, address).ok()?;
        let owner = self.owner.map(|owner| owner.read(memory, address));
        let waiters = self.anchor.waiters(memory, tasks, self.waiter, address)?;
        let has_waiters = if self.new_bits { count & FLAG_WAITERS != 0 } else { count >> 63 != 0 };
        let raw = owner.clone().and_then(Result::ok).unwrap_or_default();
        let task = Some(VirtAddr::new(raw & !OWNER_FLAGS)).filter(|task| !task.is_null());
        let known = task.filter(|task| tasks.is_task(*task));
        // A reader is not forgotten when it gives the semaphore back, nor when it exits. A writer is.
        let is_possible = raw & READER_OWNED != 0 || task == known || OLD_UNKNOWN.contains(&raw);
        if waiters.is_empty() || !has_waiters || !is_possible {
            return None;
        }
        let words = self.words(count, owner.as_ref());
        let owner = self.owner(count, owner, known);
        Some(Lock { kind: LockKind::RwSemaphore, address, owner, words, waiters })
    }

    fn words(&self, count: u64, owner: Option<&Result<u64, ReadError>>) -> Vec<LockWord> {
        let named = |value: u64, flags: &[(u64, &'static str)]| {
            flags.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect()
        };
        let count_flags: &[_] = if self.new_bits { &COUNT_FLAGS } else { &[] };
        let mut words = vec![LockWord { member: "count.counter", value: count, flags: named(count, count_flags) }];
        if let Some(Ok(value)) = owner {
            let member = if self.new_bits { "owner.counter" } else { "owner" };
            words.push(LockWord { member, value: *value, flags: named(*value, &OWNER_FLAG_NAMES) });
        }
        words
    }

    /// `last` is the task that the owner names, where there is such a task.
    fn owner(&self, count: u64, owner: Option<Result<u64, ReadError>>, last: Option<VirtAddr>) -> Owner {
        let raw = match owner {
            None => return Owner::Unknown("this kernel does not record the owner".to_owned()),
            Some(Err(error)) => return Owner::Unknown(format!("its owner cannot be read: {error}")),
            Some(Ok(raw)) => raw,
        };
        if !self.new_bits {
            return match last {
                _ if count & OLD_ACTIVE == 0 => Owner::Nobody,
                _ if OLD_UNKNOWN.contains(&raw) => {
                    Owner::Unknown("a writer has it that handed it on, as for a file system that is frozen".to_owned())
                }
                _ if raw & READER_OWNED != 0 => Owner::Readers { count: Some(count & OLD_ACTIVE), last },
                Some(writer) => Owner::Task(writer),
                None => Owner::Unknown("somebody has it, but its owner is not set".to_owned()),
            };
        }
        let readers = (count & READERS) >> READER_SHIFT;
        match last {
            Some(writer) if count & WRITER_LOCKED != 0 && raw & READER_OWNED == 0 => Owner::Task(writer),
            _ if count & WRITER_LOCKED != 0 => {
                Owner::Unknown("a writer has it, but its owner is not set yet".to_owned())
            }
            _ if readers == 0 => Owner::Nobody,
            _ => Owner::Readers { count: Some(readers), last: last.filter(|_| raw & READER_OWNED != 0) },
        }
    }
}

#[cfg(test)]
impl RwSemLayout {
    pub(crate) fn for_tests(new_bits: bool) -> Self {
        Self {
            count: Field { offset: 0, size: 8 },
            owner: Some(Field { offset: 8, size: 8 }),
            new_bits,
            anchor: Anchor::Head(Field { offset: 24, size: 16 }),
            waiter: WaiterLayout::for_tests(),
            kind: Some(Field { offset: 24, size: 4 }),
            waiting_for_read: 1,
        }
    }
}
