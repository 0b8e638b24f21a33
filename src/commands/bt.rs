//! `bt`: stacks.

use vmcore_diagnose::FaultingAddresses;
use vmcore_kernel::{Detail, Snapshot, Stack, StackEnd};
use vmcore_memory::VirtAddr;
use vmcore_report::bt::{Bt, Style};

use super::tasks::{all_tasks, no_task};
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;
use crate::status::Status;

pub(crate) fn run(arguments: &cli::Bt, context: &Context, output: Output) -> Result<Status, Failure> {
    let ends_with_it = !context.has_session();
    let session = context.session(&arguments.input)?;
    let snapshot = session.snapshot(&context.run);
    let tasks = select(arguments, session, context)?;
    if tasks.is_empty() {
        context.run.note(super::lists::NOBODY);
    }
    let stacks = context.run.step("unwinding stacks", || snapshot.stacks(session.kernel, &tasks, Detail::Source));
    session.tell_module_files();
    context.run.warn_gaps(&snapshot.gaps);
    let style = Style { registers: arguments.registers, fold: !arguments.each && !arguments.registers };
    let faults = FaultingAddresses::of(&stacks, snapshot, session.kernel);
    let write = || output.write(&Bt::new(snapshot, &stacks, &faults, style));
    if ends_with_it {
        session.last(write)?;
    } else {
        write()?;
    }
    let incomplete = session.kernel.dump().incomplete().is_some();
    let status = status(&stacks, snapshot, incomplete);
    if ends_with_it {
        // To free each would only delay the end.
        std::mem::forget(stacks);
    }
    Ok(status)
}

/// No frame at all answers nothing, unless all were in user mode; an incomplete dump that lost a stack, or what leads to
/// one, answers not all.
fn status(stacks: &[Stack], snapshot: &Snapshot, incomplete: bool) -> Status {
    if stacks.is_empty() && !snapshot.tasks.is_empty() && snapshot.gaps.is_empty() {
        // That nobody is as was asked for is an answer.
        return Status::NothingFound;
    }
    let nothing = stacks.iter().all(|stack| stack.frames.is_empty() && stack.end != StackEnd::UserMode);
    let lost = !snapshot.gaps.is_empty() || stacks.iter().any(|stack| stack.end == StackEnd::Truncated);
    if nothing || incomplete && lost { Status::Inconclusive } else { Status::NothingFound }
}

/// Indices of the tasks that were asked for, in the order of the options; every CPU's current task without any.
fn select(arguments: &cli::Bt, session: &Session, context: &Context) -> Result<Vec<usize>, Failure> {
    let snapshot = session.snapshot(&context.run);
    let named = !(arguments.cpu.is_empty() && arguments.pid.is_empty() && arguments.task.is_empty());
    if !named && (arguments.all || !arguments.which.is_everybody()) {
        return Ok(meant(arguments, snapshot, 0..snapshot.tasks.len()));
    }
    if !named {
        return Ok(all_current(snapshot));
    }
    let mut chosen = Vec::new();
    for list in &arguments.cpu {
        match list.numbers() {
            Some(numbers) => {
                let tasks: Result<Vec<_>, _> = numbers.iter().map(|&cpu| current(snapshot, cpu)).collect();
                chosen.extend(tasks?);
            }
            None => chosen.extend(all_current(snapshot)),
        }
    }
    for &pid in &arguments.pid {
        chosen.extend(with_pid(snapshot, pid).ok_or_else(|| no_task(pid, session, context))?);
    }
    for &address in &arguments.task {
        let address = VirtAddr::new(address);
        let task = snapshot.task_index(address);
        chosen.push(task.ok_or_else(|| {
            Failure::new(format_args!("there is no task_struct at {address}")).hint(all_tasks(session, context))
        })?);
    }
    Ok(meant(arguments, snapshot, chosen))
}

/// Those that `--state` and `--comm` leave.
fn meant(arguments: &cli::Bt, snapshot: &Snapshot, tasks: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let is_meant = |index: &usize| snapshot.tasks.get(*index).is_some_and(|task| arguments.which.is_meant(task));
    tasks.into_iter().filter(is_meant).collect()
}

/// What every CPU was running, by CPU. CPUs whose run queue cannot be read are among the snapshot's gaps.
fn all_current(snapshot: &Snapshot) -> Vec<usize> {
    let current = |cpu: &vmcore_kernel::Cpu| snapshot.task_index(cpu.run_queue.as_ref()?.current);
    snapshot.cpus.iter().filter_map(current).collect()
}

fn current(snapshot: &Snapshot, number: u32) -> Result<usize, Failure> {
    let Some(cpu) = snapshot.cpu(number) else {
        let known: Vec<_> = snapshot.cpus.iter().map(|cpu| cpu.cpu.to_string()).collect();
        return Err(Failure::new(format_args!("the machine has no CPU {number}"))
            .hint(format_args!("its CPUs are {}", known.join(", "))));
    };
    let queue = cpu.run_queue.as_ref();
    queue.and_then(|queue| snapshot.task_index(queue.current)).ok_or_else(|| {
        Failure::inconclusive(format_args!("what CPU {number} was running cannot be read from the dump"))
    })
}

/// The task with this thread id. All idle tasks have 0.
fn with_pid(snapshot: &Snapshot, pid: i32) -> Option<Vec<usize>> {
    let tasks = snapshot.tasks.iter().enumerate().filter(|(_, task)| task.pid == pid);
    let found: Vec<usize> = tasks.map(|(index, _)| index).collect();
    (!found.is_empty()).then_some(found)
}
