//! Ending the process at once, from wherever it is: a signal handler, the allocator, another thread.
//!
//! Nothing here allocates or takes a lock; the system calls are those that `signal-safety(7)` allows.

#![allow(unsafe_code)]

use crate::unfinished::remove_all;

/// The exit status of a run that could not be carried out.
pub const CANNOT_RUN: u8 = 2;

/// Writes `message` to standard error and ends the process with `status`, without unwinding, without destructors; files
/// that are being written ([`UnfinishedFile`](crate::UnfinishedFile)) are removed.
/// May be called anywhere, also in a signal handler.
pub fn end(message: &str, status: u8) -> ! {
    remove_all();
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
    unsafe { libc::_exit(status.into()) }
}
