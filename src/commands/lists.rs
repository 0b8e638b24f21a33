//! `ps`, `runq` and `dmesg`: lists that need no arguments.

use vmcore_report::dmesg::{Dmesg, Order};
use vmcore_report::{ps::Ps, runq::Runq};

use crate::cli::{self, Input};
use crate::failure::Failure;
use crate::minimal::Opened;
use crate::output::Output;
use crate::session::Context;
use crate::status::Status;

pub(crate) fn ps(input: &Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let snapshot = session.snapshot(context);
    context.warn_gaps(&snapshot.gaps);
    output.write(&Ps::new(snapshot))?;
    Ok(found(!snapshot.tasks.is_empty()))
}

pub(crate) fn runq(input: &Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let snapshot = session.snapshot(context);
    context.warn_gaps(&snapshot.gaps);
    output.write(&Runq::new(snapshot))?;
    Ok(found(snapshot.cpus.iter().any(|cpu| cpu.run_queue.is_some())))
}

pub(crate) fn dmesg(arguments: &cli::Dmesg, context: &Context, output: Output) -> Result<Status, Failure> {
    let (log, gaps) = match context.session_or_minimal(&arguments.input)? {
        Opened::Whole(session) => {
            let mut gaps = session.kernel.gaps().to_vec();
            let log = context.step("reading the log", || session.kernel.log(&mut gaps));
            context.warn_gaps(&gaps);
            (log, gaps)
        }
        Opened::Minimal(minimal) => minimal.log(context),
    };
    let order = if arguments.by_caller { Order::Caller } else { Order::Sequence };
    output.write(&Dmesg::new(&log, &gaps, order))?;
    Ok(found(!log.is_empty()))
}

/// A list of which nothing at all could be read answers nothing.
const fn found(anything: bool) -> Status {
    if anything { Status::NothingFound } else { Status::Inconclusive }
}
