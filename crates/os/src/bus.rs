//! SIGBUS: bytes of a mapped file that are not there any more.
//!
//! The file was cut short after it was mapped, or cannot be read: a disk that fails, a network that is gone. The kernel
//! sends the signal to the thread that touched the bytes, and nothing can give it others. The handler looks the address
//! up among the mappings of [`Mapping`](crate::Mapping), says which kind of file it was, and ends the process. A SIGBUS
//! of another origin does what it did without the handler.
//!
//! A handler may interrupt anything, so that the mappings are in a table of a fixed size without a lock.

#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{mem, ptr};

use crate::ending::{CANNOT_RUN, end};

/// Mappings at a time: one or two for each file, and a split dump may have a dozen. More of them are not explained.
const SLOTS: usize = 64;
/// The start of a slot that is taken but not filled yet: no mapping starts there.
const TAKEN: usize = 1;

static TABLE: [Slot; SLOTS] = [const { Slot::empty() }; SLOTS];

/// What a mapped file is to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The memory dump, or a part of it.
    Dump,
    /// The debug information.
    Vmlinux,
}

/// One mapping. An `end` of 0 means that there is none.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    kind: AtomicUsize,
}

impl Slot {
    const fn empty() -> Self {
        Self { start: AtomicUsize::new(0), end: AtomicUsize::new(0), kind: AtomicUsize::new(0) }
    }

    fn contains(&self, address: usize) -> bool {
        // `end` is written last and taken away first.
        let end = self.end.load(Ordering::Acquire);
        (self.start.load(Ordering::Acquire)..end).contains(&address)
    }
}

/// A mapping's place in the table; `None` where the table was full.
#[derive(Debug)]
pub(crate) struct Watched(Option<usize>);

impl Watched {
    pub(crate) fn new(range: Range<usize>, kind: FileKind) -> Self {
        let take = |slot: &Slot| slot.start.compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let index = TABLE.iter().position(take);
        if let Some(slot) = index.and_then(|index| TABLE.get(index)) {
            slot.kind.store(kind as usize, Ordering::Release);
            slot.start.store(range.start, Ordering::Release);
            slot.end.store(range.end, Ordering::Release);
        }
        Self(index)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(slot) = self.0.and_then(|index| TABLE.get(index)) {
            slot.end.store(0, Ordering::Release);
            slot.start.store(0, Ordering::Release);
        }
    }
}

/// From now on, when bytes of a mapped file are gone, the process says so on standard error and ends with status 2.
///
/// For programs only, and at their start: it takes the signal for the whole process.
///
/// # Errors
///
/// As `sigaction(2)`.
pub fn explain_lost_mappings() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = install());
    result
}

fn install() -> io::Result<()> {
    // SAFETY: `sigaction` is a C structure of integers, for which zeroes are valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // On the alternative stack, which the runtime gives every thread: whose own stack is in which state is not known.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is initialized and the handler has the signature that SA_SIGINFO asks for. It uses only atomics
    // and system calls that are safe in a handler.
    match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid `siginfo_t`; SIGBUS that it raises itself has an address, one
    // that was sent by a process has whatever is in the union, which is only compared.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some(slot) = TABLE.iter().find(|slot| slot.contains(address)) {
        end(explanation(slot.kind.load(Ordering::Acquire)), CANNOT_RUN);
    }
    // SAFETY: both are safe in a handler. The signal is blocked until it returns, and then ends the process as it would
    // have without a handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

fn explanation(kind: usize) -> &'static str {
    if kind == FileKind::Vmlinux as usize {
        "error: the vmlinux was cut short, or its disk or network failed, while it was being read\n\
         hint: wait until the file is complete, or copy it to a local disk\n"
    } else {
        "error: the dump file was cut short, or its disk or network failed, while it was being read\n\
         hint: wait until the dump is complete, or copy it to a local disk\n"
    }
}
