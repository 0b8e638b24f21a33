//! `ps`, `runq` and `dmesg`.

use vmcore_kernel::Task;
use vmcore_report::dmesg::{Dmesg, Order};
use vmcore_report::ps::{self, Ps};
use vmcore_report::runq::Runq;

use crate::cli::{self, Input};
use crate::commands::tasks::no_task;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Opened;
use crate::status::Status;

pub(crate) fn ps(arguments: &cli::Ps, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(&arguments.input)?;
    let snapshot = session.snapshot(&context.run);
    context.run.warn_gaps(&snapshot.gaps);
    let of_process =
        |task: &Task| arguments.pid.is_empty() || arguments.pid.iter().any(|pid| [task.tgid, task.pid].contains(pid));
    let order = match arguments.sort {
        _ if arguments.tree => ps::Order::Tree,
        cli::Order::Pid => ps::Order::Pid,
        cli::Order::Wait => ps::Order::Wait,
    };
    for &pid in &arguments.pid {
        if !snapshot.tasks.iter().any(|task| [task.tgid, task.pid].contains(&pid)) {
            return Err(no_task(pid, session, context));
        }
    }
    let ps = Ps::new(snapshot, order, &|task| of_process(task) && arguments.which.is_meant(task));
    if ps.tasks.is_empty() {
        context.run.note(NOBODY);
    }
    output.write(&ps)?;
    Ok(found(!snapshot.tasks.is_empty()))
}

/// Why a list of tasks is empty.
pub(super) const NOBODY: &str = "no task matches, or none could be read";

/// That there is no task with this pid.
pub(crate) fn runq(input: &Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let snapshot = session.snapshot(&context.run);
    context.run.warn_gaps(&snapshot.gaps);
    output.write(&Runq::new(snapshot))?;
    Ok(found(snapshot.cpus.iter().any(|cpu| cpu.run_queue.is_some())))
}

pub(crate) fn dmesg(arguments: &cli::Dmesg, context: &Context, output: Output) -> Result<Status, Failure> {
    let (log, gaps) = match context.session_or_minimal(&arguments.input)? {
        Opened::Whole(session) => {
            let mut gaps = session.kernel.gaps().to_vec();
            let log = context.run.step("reading the log", || session.kernel.log(&mut gaps));
            context.run.warn_gaps(&gaps);
            (log, gaps)
        }
        Opened::Minimal(minimal) => minimal.log(&context.run),
    };
    let order = if arguments.by_caller { Order::Caller } else { Order::Sequence };
    output.write(&Dmesg::new(&log, &gaps, order))?;
    Ok(found(!log.is_empty()))
}

/// A list of which nothing at all could be read answers nothing.
const fn found(anything: bool) -> Status {
    if anything { Status::NothingFound } else { Status::Inconclusive }
}
