//! `vmcore-thp`: arguments in, exit status out. Everything between is in the crates.

#![forbid(unsafe_code)]

mod bounds;
mod cli;
mod commands;
mod debuginfod;
mod failure;
mod logging;
mod minimal;
mod output;
mod progress;
mod session;
mod status;
mod unpack;
mod values;
mod vmcoreinfo;
mod vmlinux_search;

use std::process::ExitCode;

use clap::Parser;

use vmcore_os::BoundedHeap;

use crate::cli::Cli;
use crate::status::Status;

/// Counts what is allocated, for `--max-memory`.
#[global_allocator]
static HEAP: BoundedHeap = BoundedHeap;

/// The one exit point, but for the ends that `bounds` and a lost file bring about.
fn main() -> ExitCode {
    // Without the handler the run is the same; only its end is less clear if a file is cut short.
    let _ = vmcore_os::explain_lost_mappings();
    // Without these, the next run that writes to the same directory removes what this one leaves.
    let _ = vmcore_os::remove_unfinished_on_signals();
    let status = match Cli::try_parse() {
        Ok(cli) => {
            let result = commands::run(&cli);
            bounds::finish();
            result.unwrap_or_else(|failure| failure.report())
        }
        Err(usage) => {
            // Help and version are not errors: they go to standard output.
            let status = if usage.use_stderr() { Status::CannotRun } else { Status::NothingFound };
            // Nobody is left to be told when even this cannot be written.
            let _ = usage.print();
            status
        }
    };
    status.into()
}
