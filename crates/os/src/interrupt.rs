//! Ctrl-C for a program that keeps what it has done: it is asked to end, and ends itself.

#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::unfinished::{action_of, remove_and_end, set_action};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

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
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn note(signal: libc::c_int) {
    if INTERRUPTED.swap(true, Ordering::Relaxed) {
        remove_and_end(signal);
    }
}
