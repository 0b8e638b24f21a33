//! How long a run may take and how much memory it may need: `--timeout` and `--max-memory`, for unattended use.
//!
//! Whoever watches over many runs kills those that take too long or too much; then there is no message, and there may be
//! half an output. Here the run ends itself, with status 2. A file that is being written is removed, and one that is
//! complete is never taken back: the run has then reached its end.

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use vmcore_os::{BoundedHeap, end};
use vmcore_triage::FailureKind;

use crate::cli::Global;
use crate::failure::Failure;
use crate::status;
use crate::values::Nanoseconds;

const RUNNING: u8 = 0;
const FINISHED: u8 = 1;
const TIMED_OUT: u8 = 2;

/// How the run has come to an end, if it has. Who says so first decides.
static END: AtomicU8 = AtomicU8::new(RUNNING);

/// Ends the run in this way, or says in which way it has ended already.
fn end_by(way: u8) -> Result<(), u8> {
    END.compare_exchange(RUNNING, way, Ordering::AcqRel, Ordering::Acquire).map(|_| ())
}

/// Sets the bounds that were asked for.
pub(crate) fn set(options: &Global) -> Result<(), Failure> {
    if options.tell_failure {
        status::tell_failures();
    }
    if let Some(bytes) = options.max_memory {
        BoundedHeap::limit(bytes, status::of_failure(FailureKind::Memory));
    }
    let Some(timeout) = options.timeout else { return Ok(()) };
    thread::Builder::new()
        .name("timeout".to_owned())
        .spawn(move || watch(timeout))
        .map_err(|error| Failure::new(format_args!("cannot start a thread for --timeout: {error}")))?;
    Ok(())
}

fn watch(Nanoseconds(ns): Nanoseconds) {
    thread::sleep(Duration::from_nanos(ns));
    if end_by(TIMED_OUT).is_ok() {
        let seconds = Duration::from_nanos(ns).as_secs_f64();
        let message = format!(
            "error: the run was not finished after {seconds} s, the time that --timeout allows\n\
             hint: allow more; -v says which step takes how long\n"
        );
        end(&message, status::of_failure(FailureKind::Timeout));
    }
}

/// Says that the output is complete, so that nothing takes it back. Does not return if the time was up before.
pub(crate) fn finish() {
    if end_by(FINISHED) == Err(TIMED_OUT) {
        // The other thread is about to end the process.
        loop {
            thread::park();
        }
    }
}
