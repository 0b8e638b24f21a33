//! `profile`: the symbols, layouts and unwind tables of one kernel, small enough to keep for every kernel ever shipped.

use vmcore_debuginfo::{Profile, Vmlinux};
use vmcore_kernel::Kernel;

use crate::cli::{self, Format};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;
use crate::vmlinux_search;

pub(crate) fn run(arguments: &cli::Profile, context: &Context, output: Output) -> Result<Status, Failure> {
    if output.format() != Format::Text {
        return Err(Failure::new("a profile is one binary file and has no other form").hint("leave --format out"));
    }
    let output = output.for_binary()?;
    let vmlinux = context
        .run
        .step("opening the vmlinux", || Vmlinux::open_with(&arguments.vmlinux, &[vmlinux_search::SYSTEM.into()]))?;
    let profile = context.run.step("making the profile", || Profile::of(&vmlinux))?;
    // Asked before it is called written: nobody looks at a profile until a machine has crashed.
    Kernel::check_debug_info(profile.opened())?;
    output.write_with(|out| out.write_all(profile.bytes()))?;
    Ok(Status::NothingFound)
}
