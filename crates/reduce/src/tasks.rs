//! Tasks: how they are scheduled, what is counted of them, what they are in the middle of.

use std::collections::{BTreeMap, BTreeSet};

use vmcore_diagnose::{Spinner, begins_with_page_fault};
use vmcore_kernel::{Stack, Task as KernelTask};
use vmcore_memory::VirtAddr;
use vmcore_synth::scenario::{Doing, Life, Policy, Process, Scenario, State, Task, Under};

use crate::machine::{lag_ns, now_ns};
use crate::objects::SpinLocks;
use crate::pages::PageNames;
use crate::stacks::{self, Pieces};
use crate::{Source, seconds};

/// `TASK_KILLABLE`: `TASK_WAKEKILL | TASK_UNINTERRUPTIBLE`.
const KILLABLE: u64 = 0x102;
/// `MAX_RT_PRIO`.
const REAL_TIME: i32 = 100;
/// From here on a wait in all one's life tells something.
const TELLING_NS: u64 = 1_000_000_000;

/// Adds a task, and the process and modules that it needs.
pub(crate) fn add(
    source: &Source<'_, '_>,
    index: usize,
    (pages, spins): (&PageNames, &SpinLocks),
    scenario: &mut Scenario,
    modules: &mut BTreeMap<String, BTreeSet<String>>,
) {
    let facts = source.facts;
    let Some(task) = facts.snapshot.tasks.get(index).filter(|task| task.cpu < scenario.cpus) else { return };
    if scenario.offline.contains(&task.cpu) {
        return;
    }
    let running_on = facts.snapshot.cpu_running(task).map(|cpu| cpu.cpu);
    let stack = facts.stack_of(task.address);
    stack.into_iter().for_each(|stack| stacks::note_modules(stack, modules));
    let pieces = stack.map(Pieces::of);
    let state = state(task, running_on.is_some());
    let process = task.mm.map(|mm| process(source, mm, pages, scenario));
    let (doing, under) = match (&pieces, running_on) {
        (Some(pieces), Some(cpu)) => running(source, task, cpu, (stack, pieces), spins),
        (Some(pieces), None) => (stacks::asleep(pieces, pages.of_splitter(source, task.address)), Under::Nothing),
        (None, _) => (Doing::Sleep, Under::Nothing),
    };
    let cpu = running_on.unwrap_or(task.cpu).min(scenario.cpus.saturating_sub(1));
    let added = Task {
        pid: task.pid,
        tgid: (task.tgid != task.pid && task.tgid > 0).then_some(task.tgid),
        comm: task.comm.clone(),
        process,
        cpu,
        state,
        seconds: seconds(since_ns(source, task, state)).min(scenario.uptime),
        policy: policy(task),
        doing,
        under,
        faults: task.accounting.minor_faults.filter(|_| running_on.is_some()),
        life: life(source, task, state),
        allowed: allowed(source, task, scenario.cpus),
    };
    scenario.task.push(added);
}

fn state(task: &KernelTask, runs: bool) -> State {
    if runs {
        return State::Running;
    }
    if task.waits_for_cpu() {
        return State::Queued;
    }
    match task.state.is_uninterruptible() {
        true if task.state.state & KILLABLE == KILLABLE => State::Killable,
        true => State::Blocked,
        false => State::Sleeping,
    }
}

/// For how long a task has been in its state, by the clock of the whole machine.
fn since_ns(source: &Source<'_, '_>, task: &KernelTask, state: State) -> u64 {
    let facts = source.facts;
    let now = now_ns(source);
    match state {
        State::Running => {
            let Some(cpu) = facts.snapshot.cpu_running(task) else { return 0 };
            let lag = cpu.run_queue.as_ref().map(|queue| lag_ns(source, queue)).unwrap_or_default();
            facts.running_ns(cpu).map_or(0, |running| running.saturating_add(lag))
        }
        State::Queued => facts.waiting_ns(task).unwrap_or_default(),
        State::Blocked | State::Killable | State::Sleeping => {
            let last = task.last_arrival_ns.into_iter().chain(task.exec_start_ns).max().filter(|&last| last != 0);
            last.and_then(|last| now.checked_sub(last)).unwrap_or_default()
        }
    }
}

fn policy(task: &KernelTask) -> Policy {
    match task.prio {
        ..0 => Policy::Deadline,
        prio @ 0..REAL_TIME => Policy::Fifo(u8::try_from(99 - prio).unwrap_or(1).max(1)),
        _ => Policy::Fair,
    }
}

/// What is counted where the state alone does not tell.
fn life(source: &Source<'_, '_>, task: &KernelTask, state: State) -> Life {
    let counters = source.facts.state.scheduler.task(task.address);
    let age = || now_ns(source).checked_sub(counters.start_ns?).map(seconds);
    let waited = counters.run_delay_ns.filter(|waited| *waited >= TELLING_NS);
    let counts = task.is_above_fair() || waited.is_some();
    let runs = state == State::Running;
    Life {
        user: task.accounting.user_ns.filter(|_| runs).map(seconds),
        system: task.accounting.system_ns.filter(|_| runs).map(seconds),
        ran: counters.run_ns.filter(|_| counts).map(seconds),
        waited: waited.map(seconds),
        age: if counts { age() } else { None },
    }
}

fn allowed(source: &Source<'_, '_>, task: &KernelTask, cpus: u32) -> Option<Vec<u32>> {
    let mask = source.facts.state.scheduler.task(task.address).allowed?;
    let some: Vec<_> = (0..cpus).filter(|cpu| mask.contains(*cpu)).collect();
    (some.len() < usize::try_from(cpus).unwrap_or_default()).then_some(some)
}

/// The name of a task's process, which is added where it is new.
fn process(source: &Source<'_, '_>, mm: VirtAddr, pages: &PageNames, scenario: &mut Scenario) -> String {
    let known = pages.process_name(source, mm);
    if scenario.process.iter().all(|process| process.name != known) {
        scenario.process.push(Process { name: known.clone(), map: Vec::new() });
    }
    known
}

/// What a running task does, and what interrupted it.
fn running(
    source: &Source<'_, '_>,
    task: &KernelTask,
    cpu: u32,
    (stack, pieces): (Option<&Stack>, &Pieces),
    spins: &SpinLocks,
) -> (Doing, Under) {
    if let Some(spinner) = source.diagnosis.spinners.iter().find(|spinner| spinner.task == task.address) {
        return (faulting(spinner, pieces), stacks::under(pieces));
    }
    if let Some((lock, slow_path)) = spins.waited_by(cpu) {
        let mut calls = pieces.calls();
        calls.pop();
        // One who waits in the queue of a reader-writer lock is shown as its first.
        calls.pop_if(|function| slow_path == Some(function.as_str()));
        return (Doing::Spin { lock, calls, slow_path: slow_path.map(str::to_owned), owner: None }, Under::Nothing);
    }
    let died_here = source.facts.state.panic.cpu == Some(cpu);
    if died_here && let Some(exception) = stacks::exception(pieces) {
        return (exception, Under::Nothing);
    }
    let page = spins.held_by(cpu);
    let in_user = stack.is_some_and(|stack| stack.interrupts.iter().any(|interrupt| interrupt.registers.user_mode()));
    match stacks::doing(pieces, page) {
        Doing::Sleep if in_user || task.mm.is_some() => (Doing::User, stacks::under(pieces)),
        Doing::Sleep => (Doing::Loop, stacks::under(pieces)),
        doing => (doing, stacks::under(pieces)),
    }
}

/// A fault that is taken again and again.
fn faulting(spinner: &Spinner, pieces: &Pieces) -> Doing {
    let address = spinner.address.map(VirtAddr::get).unwrap_or_default();
    // The copy itself is the generation's own.
    let mut calls = pieces.calls();
    calls.pop();
    let mut interruptions = pieces.interruptions.iter();
    if interruptions.any(|piece| begins_with_page_fault(piece.iter().map(String::as_str))) {
        Doing::Fault { address, calls }
    } else {
        Doing::BetweenFaults { address, calls }
    }
}
