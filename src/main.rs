//! The program; all of it is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    vmcore_thp::run(std::env::args_os().collect(), None).into()
}
