//! A heap with a limit that says so when it is reached.
//!
//! `RLIMIT_AS` would count the mapped files, which take no memory that the system could not take back; `RLIMIT_DATA` would
//! count thread stacks in full. Both make an allocation fail, which ends a Rust program with SIGABRT. Here the bytes
//! that are allocated are counted, and nothing is while there is no limit.
//! Where the user has set such a limit all the same, the failed allocation is explained.
//!
//! Below it is the system's heap. With musl it is mimalloc: musl's own has one lock for all threads, and makes `analyze` and
//! `bt --all` take twice as long.

#![allow(unsafe_code)]

#[cfg(not(target_env = "musl"))]
use std::alloc::System as Below;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

#[cfg(target_env = "musl")]
use mimalloc::MiMalloc as Below;

use crate::ending::{CANNOT_RUN, end};

/// Bytes that may be allocated.
static LIMIT: AtomicI64 = AtomicI64::new(0);
static LIMITED: AtomicBool = AtomicBool::new(false);
/// Bytes allocated since there is a limit. What was there before counts when it is freed: at most some kilobytes too few.
static USED: AtomicI64 = AtomicI64::new(0);
/// What the process ends with where there is no more.
static STATUS: AtomicU8 = AtomicU8::new(CANNOT_RUN);

const MESSAGE: &str = "error: more memory is needed than --max-memory allows\n\
                       hint: allow more, or leave the option out\n";

const EXHAUSTED: &str = "error: the system gives no more memory\n\
                         hint: see `ulimit -v`, the limits of the container or service, and what else runs here\n";

/// The heap, as a program's `#[global_allocator]`. Where the system has no more, the process ends with status 2 (or
/// that of the limit) and an explanation.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoundedHeap;

impl BoundedHeap {
    /// From now on, the process ends with `status` and an explanation rather than have more than `bytes` allocated, or
    /// where the system gives no more.
    ///
    /// It has no effect unless this is the program's `#[global_allocator]`. Stacks and mapped files do not count.
    pub fn limit(bytes: u64, status: u8) {
        STATUS.store(status, Ordering::Relaxed);
        LIMIT.store(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        USED.store(0, Ordering::Relaxed);
        LIMITED.store(true, Ordering::Relaxed);
    }
}

impl BoundedHeap {
    /// What `work` leaves allocated, in bytes, with its result. Other threads must rest meanwhile: theirs would count, too.
    ///
    /// It is 0 unless this is the program's `#[global_allocator]`.
    pub fn measured<T>(work: impl FnOnce() -> T) -> (T, u64) {
        let was_limited = LIMITED.swap(true, Ordering::Relaxed);
        if !was_limited {
            LIMIT.store(i64::MAX, Ordering::Relaxed);
        }
        let before = USED.load(Ordering::Relaxed);
        let result = work();
        let after = USED.load(Ordering::Relaxed);
        LIMITED.store(was_limited, Ordering::Relaxed);
        (result, u64::try_from(after.saturating_sub(before)).unwrap_or(0))
    }
}

fn count(bytes: i64) {
    if LIMITED.load(Ordering::Relaxed) {
        let used = USED.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if bytes > 0 && used > LIMIT.load(Ordering::Relaxed) {
            end(MESSAGE, STATUS.load(Ordering::Relaxed));
        }
    }
}

/// The block, if there is one: without, the Rust runtime would end the process with SIGABRT.
fn given(block: *mut u8) -> *mut u8 {
    if block.is_null() { end(EXHAUSTED, STATUS.load(Ordering::Relaxed)) } else { block }
}

/// `Layout` and `realloc` allow no size above `isize::MAX`.
fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: every call is passed on to the allocator below as it is, and its answer is given back as it is. Counting
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for BoundedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the rules of this same function.
        given(unsafe { Below.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the rules of this same function.
        given(unsafe { Below.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller keeps the rules of this same function, and `block` came from `Below`.
        unsafe { Below.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(signed(new_size) - signed(layout.size()));
        // SAFETY: the caller keeps the rules of this same function, and `block` came from `Below`.
        given(unsafe { Below.realloc(block, layout, new_size) })
    }
}
