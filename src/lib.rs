//! `vmcore-thp`: arguments in, exit status out. Everything between is in the crates.
//!
//! A library, so that the wheel for Python (`crates/python`) has the same program in it. Who calls [`run`] gives the process
//! away to it: handlers of signals stay, and with `--timeout` and `--max-memory` it may end the process.

#![forbid(unsafe_code)]

mod arguments;
mod bounds;
mod cli;
mod commands;
mod context;
mod debuginfod;
mod failure;
mod files;
mod logging;
#[cfg(feature = "mcp")]
mod mcp;
mod minimal;
mod output;
mod pasted;
mod pile_view;
mod profile_files;
mod profiles;
mod program;
mod progress;
mod remote;
mod remote_debug;
mod run;
mod screen;
mod secrets;
mod servers;
mod session;
mod shell;
mod slips;
mod status;
mod unpack;
mod users_cache;
mod values;
mod vmcoreinfo;
mod vmlinux_search;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

use vmcore_os::BoundedHeap;

use crate::status::Status;

/// Counts what is allocated, for `--max-memory`.
#[global_allocator]
static HEAP: BoundedHeap = BoundedHeap;

/// Runs a command line, with the program's name before it, and gives the status to exit with: the one exit point, but for the
/// ends that `bounds` and a lost file bring about. `program` is what starts this program, where that is not the file that the
/// process runs.
#[must_use]
pub fn run(words: Vec<OsString>, program: Option<PathBuf>) -> u8 {
    // Without the handler the run is the same; only its end is less clear if a file is cut short.
    let _ = vmcore_os::explain_lost_mappings();
    // Without these, the next run that writes to the same directory removes what this one leaves.
    let _ = vmcore_os::remove_unfinished_on_signals();
    program.into_iter().for_each(program::set);
    let status = run_words(words);
    if status == Status::Interrupted {
        vmcore_os::end_as_interrupted();
    }
    status.code()
}

/// Runs a command line: that of this process or, in the copies of a worker, one that it was sent.
fn run_words(words: Vec<OsString>) -> Status {
    match arguments::parse(words) {
        Ok(parsed) => {
            let result = match parsed.cli.worker() {
                Some(search) => worker::serve(search, run_words),
                None => commands::run(&parsed),
            };
            bounds::finish();
            servers::tell();
            result.unwrap_or_else(|failure| failure.report())
        }
        Err(usage) => arguments::explain(&usage),
    }
}
