//! Ending the process at once, from wherever it is: a signal handler, the allocator, another thread.
//!
//! Nothing here allocates or takes a lock; the system calls are those that `signal-safety(7)` allows.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The exit status of a run that could not be carried out.
const CANNOT_RUN: i32 = 2;

/// The file that would be left behind: null, or a C string that is never freed.
static UNFINISHED: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Has [`end`] remove the file at `path`, which is being written. There is one such file at a time.
pub fn remove_if_unfinished(path: &Path) {
    // A path that the system has opened has no zero in it.
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return };
    // Whoever is in `end` may be reading it: it is never freed. A run writes one file.
    UNFINISHED.store(path.into_raw(), Ordering::Release);
}

/// Takes back [`remove_if_unfinished`]: the file is complete, or is gone.
pub fn forget_unfinished() {
    UNFINISHED.store(ptr::null_mut(), Ordering::Release);
}

/// Writes `message` to standard error and ends the process with status 2, without unwinding, without destructors.
/// May be called anywhere, also in a signal handler.
pub fn end(message: &str) -> ! {
    let path = UNFINISHED.swap(ptr::null_mut(), Ordering::AcqRel);
    if !path.is_null() {
        // SAFETY: not null, so it came from `CString::into_raw` and was not freed: a C string.
        unsafe { libc::unlink(path) };
    }
    let mut rest = message.as_bytes();
    while !rest.is_empty() {
        // SAFETY: the pointer and length are those of a slice.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
            // Nobody is left to be told.
            _ => break,
        }
    }
    // SAFETY: it has no preconditions, and does not return.
    unsafe { libc::_exit(CANNOT_RUN) }
}
