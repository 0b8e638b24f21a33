//! Ctrl-C for a program that keeps what it has done: it is asked to end, and ends itself.

#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::unfinished::{action_of, remove_and_end, set_action};

/// The signal that asked the process to end; 0 before one did.
static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// From now on, the first SIGINT, SIGTERM or SIGHUP only makes [`is_interrupted`] true. The second ends the process as
/// [`remove_unfinished_on_signals`](crate::remove_unfinished_on_signals) has it. One that is ignored stays so.
///
/// For programs only, as that one.
///
/// # Errors
///
/// As `sigaction(2)`.
pub fn note_interrupts() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        if action_of(signal)? != libc::SIG_IGN {
            set_action(signal, note as *const () as usize)?;
        }
    }
    Ok(())
}

/// Whether the process was asked to end.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed) != 0
}

/// Ends the process by the signal that asked it to end, so that whoever waits for it sees that it was one: a shell has 128 and
/// the signal's number. Returns if there was none.
pub fn end_as_interrupted() {
    match INTERRUPTED.load(Ordering::Relaxed) {
        0 => {}
        signal => remove_and_end(signal),
    }
}

extern "C" fn note(signal: libc::c_int) {
    if INTERRUPTED.swap(signal, Ordering::Relaxed) != 0 {
        remove_and_end(signal);
    }
}
