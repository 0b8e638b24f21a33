//! Queued reader-writer locks: one word that says who has the lock, and a spin lock in whose queue all but the first wait.
//!
//! ```text
//! struct qrwlock
//!   cnts       bits 0-7 0xff while a writer has it, 8 a writer waits, from 9 on the number of readers
//!   wait_lock  taken by who waits for `cnts`; everybody behind spins for it
//! ```
//!
//! A reader that waits for a writer counts as a reader already. Neither says which task it is; only `CONFIG_DEBUG_SPINLOCK`
//! records that, of writers.
//!
//! Source: `include/asm-generic/qrwlock.h`, `kernel/locking/qrwlock.c`; the bits are those since 4.15 (kernel commit
//! b519b56e378e), which also named the byte of the writer (d13316614633).

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::{Kernel, Resolver, Snapshot};

/// `_QW_LOCKED`.
const WRITER: u32 = 0xff;
/// `_QW_WAITING`.
const WRITER_WAITS: u32 = 0x100;
/// `_QR_SHIFT`.
const READER_SHIFT: u32 = 9;

/// The word of a queued reader-writer lock, its `cnts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RwLockWord(pub u32);

impl RwLockWord {
    /// Whether a writer has it.
    #[must_use]
    pub const fn has_writer(self) -> bool {
        self.0 & WRITER == WRITER
    }

    /// Whether a writer waits for it.
    #[must_use]
    pub const fn writer_waits(self) -> bool {
        self.0 & WRITER_WAITS != 0
    }

    /// How many readers have it; while a writer has it, how many wait for that.
    #[must_use]
    pub const fn readers(self) -> u32 {
        self.0 >> READER_SHIFT
    }

    /// Whether somebody has it.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        self.has_writer() || self.readers() > 0
    }

    /// Whether a lock can have such a word: the byte of the writer is set or not.
    const fn is_one(self) -> bool {
        matches!(self.0 & WRITER, 0 | WRITER)
    }
}

/// A reader-writer lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RwLock {
    /// Its address.
    pub address: VirtAddr,
    /// Its word.
    pub word: RwLockWord,
}

impl Kernel<'_> {
    /// The reader-writer lock whose word is at `cnts`; `None` where there is none.
    #[must_use]
    pub fn rw_lock(&self, cnts: VirtAddr) -> Option<RwLock> {
        let types = Resolver::new(self.vmlinux().types());
        types.optional("qrwlock", "wlocked")?;
        let address = types.optional("qrwlock", "cnts")?.container(cnts);
        let word = RwLockWord(self.memory().read_u32(cnts).ok()?);
        word.is_one().then_some(RwLock { address, word })
    }

    /// The reader-writer lock in whose queue a CPU waits that spins for the spin lock at `wait_lock`.
    #[must_use]
    pub fn rw_lock_of_queue(&self, wait_lock: VirtAddr) -> Option<RwLock> {
        let types = Resolver::new(self.vmlinux().types());
        let address = types.optional("qrwlock", "wait_lock")?.container(wait_lock);
        self.rw_lock(types.optional("qrwlock", "cnts")?.address(address))
    }

    /// The task that has a reader-writer lock to write, where the kernel records it.
    #[must_use]
    pub fn rw_lock_owner(&self, snapshot: &Snapshot, lock: VirtAddr) -> Option<VirtAddr> {
        self.recorded_owner(snapshot, "rwlock_t", lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_parts() {
        let written = RwLockWord(0x4ff);
        assert!(written.has_writer() && written.is_taken() && !written.writer_waits() && written.is_one());
        let read = RwLockWord(0x700);
        assert!(!read.has_writer() && read.is_taken() && read.writer_waits() && read.is_one());
        assert_eq!(read.readers(), 3);
        assert!(!RwLockWord(0x100).is_taken(), "a writer is about to get it");
        assert!(!RwLockWord(1).is_one(), "the word of a spin lock");
    }
}
