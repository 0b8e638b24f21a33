//! `analyze`: the verdict.

use vmcore_diagnose::{FaultingAddresses, Options, collect, from_log_in_dump, judge, log_lines, read_log};
use vmcore_kernel::Snapshot;
use vmcore_report::analyze::{Analyze, Brief, KernelLog, Subject, Wide};
use vmcore_report::drgn_script::DrgnScript;
use vmcore_report::log::Log;

use super::machine;
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::minimal::Minimal;
use crate::output::Output;
use crate::session::{Opened, Session};
use crate::status::Status;

pub(crate) fn run(arguments: &cli::Analyze, context: &Context, output: Output) -> Result<Status, Failure> {
    let write = |analyze: &Analyze<'_>| match (arguments.brief, arguments.wide) {
        (true, _) => output.write(&Brief(analyze)),
        (_, true) => output.write(&Wide(analyze)),
        _ => output.write(analyze),
    };
    match context.session_or_minimal(&arguments.judge.input)? {
        Opened::Whole(session) => of_session(&arguments.judge, session, context, write),
        Opened::Minimal(minimal) => of_minimal(&minimal, context, write),
    }
}

/// The verdict as a script for drgn, which needs a vmlinux as well.
pub(crate) fn drgn_script(arguments: &cli::Judge, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(&arguments.input)?;
    let mut checks = 0;
    of_session(arguments, session, context, |analyze| {
        let script = DrgnScript::new(analyze);
        checks = script.checks;
        output.write(&script)
    })?;
    // A script that reads nothing answers nothing.
    Ok(if checks == 0 { Status::Inconclusive } else { Status::NothingFound })
}

fn of_session(
    arguments: &cli::Judge,
    session: &Session,
    context: &Context,
    write: impl FnOnce(&Analyze<'_>) -> Result<(), Failure>,
) -> Result<Status, Failure> {
    let snapshot = session.snapshot(&context.run);
    let facts = context.run.step("unwinding stacks", || collect(session.kernel, snapshot));
    let options = Options { spin_threshold_ns: arguments.spin_threshold.0 };
    session.tell_module_files();
    let diagnosis = context.run.step("judging", || judge(&facts, session.kernel, &options));
    // What could not be read of the log is among the facts' gaps already.
    let log = context.run.step("reading the log", || session.kernel.log(&mut Vec::new()));
    let uptime_ns = session.kernel.uptime_ns(&log);
    let subject = Subject {
        dump: machine::dump(session, snapshot),
        kernel: machine::kernel(session.kernel, snapshot, facts.state.followed),
        panic: session.kernel.panic(snapshot, &log).into(),
        uptime_ns,
        crash_time: session.kernel.crash_time(uptime_ns),
        machine: vmcore_inspect::machine(session.kernel).into(),
        faulting_addresses: FaultingAddresses::of(&diagnosis.stacks, snapshot, session.kernel),
    };
    let log = KernelLog { lines: &facts.log, reports: &facts.reports };
    write(&Analyze::new(subject, snapshot, &diagnosis).with_log(log))?;
    Ok(Status::of_verdict(diagnosis.verdict.confidence))
}

/// By the log alone: see [`Minimal`].
fn of_minimal(
    minimal: &Minimal,
    context: &Context,
    write: impl FnOnce(&Analyze<'_>) -> Result<(), Failure>,
) -> Result<Status, Failure> {
    let (log, gaps) = minimal.log(&context.run);
    let diagnosis = context.run.step("judging", || minimal.judge(&log, &gaps));
    let subject = Subject {
        dump: machine::minimal_dump(minimal),
        kernel: machine::minimal_kernel(minimal),
        panic: minimal.kernel.panic(&log).into(),
        uptime_ns: minimal.kernel.uptime_ns(&log),
        crash_time: minimal.kernel.vmcoreinfo().crash_time(),
        machine: vmcore_inspect::Machine::unknown().into(),
        faulting_addresses: FaultingAddresses::default(),
    };
    let lines = log_lines(&log);
    let reports = read_log(&lines);
    let told = from_log_in_dump(&reports);
    let told = Log::new(minimal.vmcore.display().to_string(), &reports, &told);
    let log = KernelLog { lines: &lines, reports: &reports };
    write(&Analyze::new(subject, &Snapshot::default(), &diagnosis).by_log(told).with_log(log))?;
    Ok(Status::of_verdict(diagnosis.verdict.confidence))
}
