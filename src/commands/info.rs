//! `info`: what the dump is of.

use vmcore_debuginfo::VmlinuxKind;
use vmcore_kernel::{Followed, Kernel, StacksFollowed, hex};
use vmcore_report::Gap;
use vmcore_report::info::{DebugInfo, Info};

use super::machine;
use crate::cli::Input;
use crate::context::Context;
use crate::failure::Failure;
use crate::minimal::Minimal;
use crate::output::Output;
use crate::session::{Opened, Session};
use crate::status::Status;

pub(crate) fn run(input: &Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = match context.session_or_minimal(input)? {
        Opened::Whole(session) => session,
        Opened::Minimal(minimal) => return of_minimal(&minimal, context, output),
    };
    let snapshot = session.snapshot(&context.run);
    let mut gaps = snapshot.gaps.clone();
    let log = context.run.step("reading the log", || session.kernel.log(&mut gaps));
    let followed = context.run.step("unwinding stacks", || snapshot.stacks_followed(session.kernel));
    gaps.extend(tables_not_understood(followed));
    context.run.warn_gaps(&gaps);
    let uptime_ns = session.kernel.uptime_ns(&log);
    output.write(&Info {
        dump: machine::dump(session, snapshot),
        kernel: machine::kernel(session.kernel, snapshot, followed),
        debuginfo: debuginfo(session),
        panic: session.kernel.panic(snapshot, &log).into(),
        uptime_ns,
        crash_time: session.kernel.crash_time(uptime_ns),
        tasks: Some(snapshot.tasks.len()),
        machine: vmcore_inspect::machine(session.kernel).into(),
        gaps: gaps.iter().map(Gap::new).collect(),
    })?;
    Ok(Status::NothingFound)
}

/// What VMCOREINFO and the log alone tell.
fn of_minimal(minimal: &Minimal, context: &Context, output: Output) -> Result<Status, Failure> {
    let (log, gaps) = minimal.log(&context.run);
    output.write(&Info {
        dump: machine::minimal_dump(minimal),
        kernel: machine::minimal_kernel(minimal),
        debuginfo: DebugInfo { source: "none", path: machine::display(&minimal.vmcore), build_id: None, matches: None },
        panic: minimal.kernel.panic(&log).into(),
        uptime_ns: minimal.kernel.uptime_ns(&log),
        crash_time: minimal.kernel.vmcoreinfo().crash_time(),
        tasks: None,
        machine: vmcore_inspect::Machine::unknown().into(),
        gaps: gaps.iter().map(Gap::new).collect(),
    })?;
    Ok(Status::NothingFound)
}

/// Where most stacks are cut off.
fn tables_not_understood(followed: StacksFollowed) -> Option<vmcore_kernel::Gap> {
    let Followed { total, ended, .. } = followed.tasks;
    let why = format!("only {ended} of {total} could be followed to their end, so this kernel's were not understood");
    followed.tasks.is_mostly_cut().then(|| vmcore_kernel::Gap::new("unwind tables", why))
}

fn debuginfo(session: &Session) -> DebugInfo {
    DebugInfo {
        source: match session.kernel.vmlinux().kind() {
            VmlinuxKind::File => "vmlinux",
            VmlinuxKind::Profile => "profile",
            VmlinuxKind::Parts => "dump",
        },
        path: machine::display(&session.vmlinux),
        build_id: session.kernel.vmlinux().build_id().map(hex),
        matches: matches(session.kernel),
    }
}

/// A kernel opens only where what can be compared is equal: so the question is whether anything could be.
fn matches(kernel: &Kernel<'_>) -> Option<bool> {
    let vmlinux = kernel.vmlinux();
    if let (Some(dump), Some(vmlinux)) = (kernel.build_id(), vmlinux.build_id()) {
        return Some(dump == vmlinux);
    }
    Some(machine::banner(kernel)? == vmlinux.banner()?.trim_end())
}
