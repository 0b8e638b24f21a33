//! Lists of kernel state: `timer`, `irq`, `waitq`, `workqueue`, `locks`, `rcu`, `dev`, `files`, `mount`, `net`, `kmem`, `swap`.

use vmcore_inspect::state::{self, QueueKind, State};
use vmcore_kernel::{Detail, Kernel, Snapshot, Stack, Task};
use vmcore_report::Report;

use super::inspect::address;
use crate::cli::{self, Input};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;
use crate::status::Status;

/// A list that needs the memory alone.
pub(crate) fn of_kernel<R: Report + State>(
    read: impl FnOnce(&'static Kernel<'static>) -> R,
    input: &Input,
    context: &Context,
    output: Output,
) -> Result<Status, Failure> {
    let session = context.session(input)?;
    write(&context.run.step("reading the kernel's state", || read(session.kernel)), output)
}

/// A list that names tasks.
pub(crate) fn of_tasks<R: Report + State>(
    read: impl FnOnce(&'static Kernel<'static>, &Snapshot) -> R,
    input: &Input,
    context: &Context,
    output: Output,
) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let snapshot = session.snapshot(&context.run);
    context.run.warn_gaps(&snapshot.gaps);
    write(&context.run.step("reading the kernel's state", || read(session.kernel, snapshot)), output)
}

pub(crate) fn locks(input: &Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let (snapshot, stacks) = sleeping(session, context, &|_| true);
    let spun =
        context.run.step("looking at what CPUs spin for", || vmcore_diagnose::spun_locks(session.kernel, snapshot));
    write(&state::locks(session.kernel, snapshot, &stacks, spun), output)
}

pub(crate) fn waitq(arguments: &cli::Waitq, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("waitq", &arguments.words)?;
    let session = context.session(&input)?;
    match words.as_slice() {
        [] => {
            let (snapshot, stacks) = sleeping(session, context, &|task| arguments.which.is_meant(task));
            write(&state::waiters(session.kernel, snapshot, &stacks), output)
        }
        [word] => {
            let queue = address(session.kernel, word)?;
            let kind = if arguments.simple { QueueKind::Simple } else { QueueKind::WaitQueue };
            write(&state::wait_queue(session.kernel, session.snapshot(&context.run), kind, queue), output)
        }
        _ => Err(Failure::new("there are too many arguments; an expression with spaces needs quotes")
            .hint(cli::usage_of("waitq"))),
    }
}

pub(crate) fn files(arguments: &cli::Files, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(&arguments.input)?;
    let snapshot = session.snapshot(&context.run);
    for &pid in &arguments.pid {
        if !snapshot.tasks.iter().any(|task| task.pid == pid) {
            return Err(super::tasks::no_task(pid, session, context));
        }
    }
    let by_default = arguments.pid.is_empty() && arguments.which.is_everybody();
    let meant = |task: &Task| {
        let named = arguments.pid.is_empty() || arguments.pid.contains(&task.pid);
        named && arguments.which.is_meant(task)
    };
    let (snapshot, stacks) = sleeping(session, context, &|task| !task.kernel_thread && (by_default || meant(task)));
    write(&state::files(session.kernel, snapshot, &stacks, (!by_default).then_some(&meant)), output)
}

pub(crate) fn mount(input: &Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let (snapshot, stacks) = sleeping(session, context, &|task| !task.kernel_thread);
    write(&state::mounts(session.kernel, snapshot, &stacks), output)
}

/// The stacks of the tasks that neither run nor wait for a CPU.
fn sleeping(
    session: &'static Session,
    context: &Context,
    meant: &dyn Fn(&Task) -> bool,
) -> (&'static Snapshot, Vec<Stack>) {
    let snapshot = session.snapshot(&context.run);
    context.run.warn_gaps(&snapshot.gaps);
    let tasks = snapshot.tasks.iter().enumerate();
    let asleep = tasks.filter(|(_, task)| !task.on_cpu && task.on_rq == 0 && task.pid != 0 && meant(task));
    let indices: Vec<_> = asleep.map(|(index, _)| index).collect();
    let stacks = context.run.step("unwinding stacks", || snapshot.stacks(session.kernel, &indices, Detail::Symbols));
    (snapshot, stacks)
}

/// A list of which nothing could be read answers nothing.
fn write<R: Report + State>(list: &R, output: Output) -> Result<Status, Failure> {
    output.write(list)?;
    let nothing = list.is_empty() && !list.missing().is_empty();
    Ok(if nothing { Status::Inconclusive } else { Status::NothingFound })
}
