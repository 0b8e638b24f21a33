//! `vmcore-thp`: arguments in, exit status out. Everything between is in the crates.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod debuginfod;
mod failure;
mod logging;
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

use crate::cli::Cli;
use crate::status::Status;

/// The one exit point.
fn main() -> ExitCode {
    let status = match Cli::try_parse() {
        Ok(cli) => commands::run(&cli).unwrap_or_else(|failure| failure.report()),
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
