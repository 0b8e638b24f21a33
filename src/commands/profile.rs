//! `profile`: the symbols, layouts and unwind tables of one kernel, small enough to keep for every kernel ever shipped.

use vmcore_debuginfo::{Vmlinux, write_profile};

use crate::cli;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Context;
use crate::status::Status;
use crate::vmlinux_search;

pub(crate) fn run(arguments: &cli::Profile, context: &Context, output: Output) -> Result<Status, Failure> {
    let output = output.for_binary()?;
    let vmlinux = context
        .step("opening the vmlinux", || Vmlinux::open_with(&arguments.vmlinux, &[vmlinux_search::SYSTEM.into()]))?;
    let write = || output.write_with(|mut out| write_profile(&vmlinux, &mut out));
    context.step("writing the profile", write)?;
    Ok(Status::NothingFound)
}
