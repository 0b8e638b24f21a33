//! Reading what a judgement needs, and no more: the stacks of tasks that run, wait for a CPU, or are blocked.

use vmcore_console::Caller;
use vmcore_kernel::{Cpu, Detail, Kernel, LogRecord, Snapshot, Stack, Task};

use crate::describe::few;
use crate::{Derived, Evidence, Facts, KernelPreemption, LogLine, Place, Preemption, Value, read_log, state};

/// The CPUs whose current task is known, with its stack.
pub(crate) fn running_stacks<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, detail: Detail) -> Vec<(u32, Stack)> {
    let current = |cpu: &Cpu| Some((cpu.cpu, snapshot.task_index(cpu.run_queue.as_ref()?.current)?));
    let (cpus, tasks): (Vec<_>, Vec<_>) = snapshot.cpus.iter().filter_map(current).unzip();
    cpus.into_iter().zip(snapshot.stacks(kernel, &tasks, detail)).collect()
}

/// Reads the facts of a kernel. The stacks that are shown in full have source lines, the others only symbols.
#[must_use]
pub fn collect<'a, 'k>(kernel: &'k Kernel<'k>, snapshot: &'a Snapshot) -> Facts<'a> {
    let running = running_stacks(kernel, snapshot, Detail::Source);
    let mut gaps = snapshot.gaps.clone();
    let known = gaps.len();
    let log = kernel.log(&mut gaps);
    let mut blind_spots = Vec::new();
    if log.is_empty() || gaps.len() > known {
        blind_spots.push("the kernel log cannot be read in full, so a lockup that it reports may be missed".to_owned());
    }
    if !kernel.percpu().is_complete() {
        blind_spots
            .push("the kernel's CPU masks cannot be read, so there may be CPUs that were not looked at".to_owned());
    }
    if snapshot.is_partial {
        blind_spots
            .push("not all tasks and run queues can be read, so one that hangs or waits may be missed".to_owned());
    }
    let blocked = stacks_of(kernel, snapshot, Task::sleeps_uninterruptibly);
    let state = state::collect(kernel, snapshot, &blocked, &running, &log);
    let log = log_lines(&log);
    if state.unseen_waits > 0 {
        blind_spots.push(format!(
            "tasks that sleep, and whose stacks or locks cannot be read: {}; a deadlock among them may be missed",
            state.unseen_waits
        ));
    }
    if keeps_no_times(snapshot) {
        blind_spots.push(
            "the kernel does not keep since when tasks have been on a CPU or waiting for one (sched_info), so one that keeps its CPU, or \
             gets none, may be missed"
                .to_owned(),
        );
    }
    if let Some(traced) = traced(&state.traced) {
        blind_spots.push(traced);
    }
    if let Some(gap) = &state.unread_grace_period {
        blind_spots.push(format!("{gap}; one that does not end may be missed"));
    }
    Facts {
        release: kernel.release().map(str::to_owned),
        snapshot,
        running,
        waiting: stacks_of(kernel, snapshot, Task::waits_for_cpu),
        blocked,
        preemption: preemption(kernel),
        reports: read_log(&log),
        log,
        gaps,
        blind_spots,
        incomplete: kernel.dump().incomplete().map(ToString::to_string),
        state,
        derived: Derived::default(),
    }
}

/// Whether tasks run or wait for a CPU, and of none it is known since when: a kernel without `CONFIG_SCHED_INFO`, or one that could
/// keep these times and does not (`sched_info_on()`, up to 5.13).
fn keeps_no_times(snapshot: &Snapshot) -> bool {
    let mut busy =
        snapshot.tasks.iter().filter(|task| task.pid != 0 && (task.on_cpu || task.waits_for_cpu())).peekable();
    let is_kept = |at: Option<u64>| at.is_some_and(|at| at != 0);
    busy.peek().is_some() && !busy.any(|task| is_kept(task.last_arrival_ns) || is_kept(task.last_queued_ns))
}

/// What it means that callers are lost to a tracer on the stacks of these tasks.
fn traced(pids: &[i32]) -> Option<String> {
    let named = few(pids.iter().map(i32::to_string), ", ");
    let stacks = match pids {
        [] => return None,
        [_] => format!("the stack of pid {named} is"),
        _ => format!("the stacks of pids {named} are"),
    };
    Some(format!(
        "{stacks} traced: what stood in the place of a return address is in no record of a tracer, so not all functions that \
         led there are known"
    ))
}

/// The lines that the kernel itself logged: with facility 0. Anybody may write to `/dev/kmsg` with another.
#[must_use]
pub fn log_lines(log: &[LogRecord]) -> Vec<LogLine> {
    log.iter().filter(|record| record.facility == 0).flat_map(lines).collect()
}

/// The lines of a record: each but the first is as one of its own.
fn lines(record: &LogRecord) -> Vec<LogLine> {
    let caller = record.caller.and_then(|caller| match caller {
        vmcore_kernel::Caller::Cpu(cpu) => Some(Caller::Cpu(cpu)),
        vmcore_kernel::Caller::Task(pid) => u32::try_from(pid).ok().map(Caller::Task),
    });
    let line = |text: &str| LogLine { timestamp_ns: record.timestamp_ns, caller, text: text.to_owned() };
    record.text.lines().map(line).collect()
}

fn preemption(kernel: &Kernel<'_>) -> Preemption {
    let found = kernel.preemption();
    let of_kernel_code = match found.preempts_kernel_code() {
        Some(false) => KernelPreemption::No,
        Some(true) => KernelPreemption::Yes,
        None => KernelPreemption::Unknown,
    };
    let mut evidence = Evidence::new("preemption model", format!("preempt={}: {}", found.model.name(), found.evidence));
    evidence.place = found.address.map(Place::Kernel);
    evidence.value = found.value.map(|value| Value::Decimal(value.into()));
    Preemption::new(of_kernel_code, evidence)
}

fn stacks_of(kernel: &Kernel<'_>, snapshot: &Snapshot, which: impl Fn(&Task) -> bool) -> Vec<Stack> {
    let indices: Vec<_> =
        snapshot.tasks.iter().enumerate().filter(|(_, task)| which(task)).map(|(index, _)| index).collect();
    snapshot.stacks(kernel, &indices, Detail::Symbols)
}
