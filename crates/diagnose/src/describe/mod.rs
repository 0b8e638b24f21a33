//! Tasks and CPUs in words.

pub(crate) mod lock;
pub(crate) mod spun;
pub(crate) mod work;

use vmcore_kernel::Task;
use vmcore_memory::VirtAddr;

use crate::clock::off_cpu_ns;
use crate::interrupts::kept_at;
use crate::names::{is_hidden, sleeps_in};
use crate::text::seconds;
use crate::{Facts, derived};

/// Why a kernel panicked that was stopped by an NMI.
pub(crate) const OF_NMI: &str = "for an NMI of unknown origin: somebody asked for a dump, as one does of a machine that \
                                 hangs, or a watchdog on its board or the hardware raised it";

/// How many tasks are named one by one.
pub(crate) const MAX_NAMED: usize = 8;

/// `pid 12 "name"`.
pub(crate) fn pid(task: &Task) -> String {
    format!("pid {} \"{}\"", task.pid, task.comm)
}

/// `SCHED_FIFO priority 50` and `SCHED_NORMAL nice 0`, as `chrt` and `nice` count them, by `task_struct.policy` and `prio`; or that its
/// priority is lent.
pub(crate) fn rank(task: &Task) -> String {
    let boosted = if task.is_boosted() { "boosted to " } else { "" };
    let rank = match task.prio {
        ..0 => return task.policy.name().to_string(),
        prio @ 0..=99 => format!("priority {}", 99 - prio),
        prio => format!("nice {}", prio.saturating_sub(120)),
    };
    format!("{} {boosted}{rank}", task.policy.name())
}

/// As [`pid`], for the task at an address.
pub(crate) fn pid_at(facts: &Facts<'_>, task: VirtAddr) -> String {
    facts.snapshot.task(task).map_or_else(|| format!("the task at {task}"), pid)
}

/// `pid 1 "a", pid 2 "b" and 3 more`.
pub(crate) fn pids<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> String {
    few(tasks.into_iter().collect::<Vec<_>>().into_iter().map(pid), ", ")
}

/// The first [`MAX_NAMED`] of some names, and how many more there are.
pub(crate) fn few(names: impl ExactSizeIterator<Item = String>, between: &str) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    let named = names.take(MAX_NAMED).collect::<Vec<_>>().join(between);
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// What a task was doing, after its name: `runs on CPU 1`, `sleeps (D) in msleep`.
pub(crate) fn doing(facts: &Facts<'_>, task: &Task) -> String {
    if let Some(cpu) = facts.snapshot.cpu_running(task) {
        return format!("runs on CPU {}", cpu.cpu);
    }
    if task.waits_for_cpu() {
        return format!("is runnable and waits for CPU {}", task.cpu);
    }
    if task.state.is_waking() {
        return format!("was woken and waits until CPU {} takes it into its run queue", task.cpu);
    }
    if let Some(wait) = derived::lock_wait(facts, task.address) {
        return format!("itself waits for {}", lock::name(wait.kind, wait.lock));
    }
    if let Some(wait) = derived::page_wait(facts, task.address) {
        return format!("itself waits for page {}", wait.page);
    }
    if let Some(wait) = derived::work_wait(facts, task.address) {
        return format!("itself waits for {}", work::name(&wait.work));
    }
    let stack = facts.stack_of(task.address);
    let place = stack.and_then(sleeps_in).map(|function| format!(" in {function}")).unwrap_or_default();
    let time = off_cpu_ns(facts, task).map(|ns| format!(" for {}", seconds(ns))).unwrap_or_default();
    let hidden = if stack.is_some_and(is_hidden) { ", in a function that a tracer hides" } else { "" };
    format!("sleeps ({}){place}{time}{hidden}", task.state.letter())
}

/// `CPU 1 (pid 2 "name")`.
pub(crate) fn on_cpu(facts: &Facts<'_>, number: u32) -> String {
    let task = facts.snapshot.cpu(number).and_then(|cpu| facts.snapshot.current(cpu));
    task.map_or_else(|| format!("CPU {number}"), |task| format!("CPU {number} ({})", pid(task)))
}

/// ` in FUNCTION [MODULE]`: the kernel code that keeps a CPU.
pub(crate) fn stuck_in(facts: &Facts<'_>, cpu: u32) -> String {
    let function = facts.running_on(cpu).and_then(|stack| {
        let frame = stack.frames.get(kept_at(facts, cpu)?)?;
        let module = frame.location.symbol.as_ref().and_then(|symbol| symbol.module.as_ref());
        let module = module.map(|module| format!(" [{module}]")).unwrap_or_default();
        Some(format!("{}{module}", frame.function()?))
    });
    function.map(|function| format!(" in {function}")).unwrap_or_default()
}

/// ` on CPU 1 in pid 12 "name"`, as far as it is known.
pub(crate) fn died_on(facts: &Facts<'_>) -> String {
    let panic = &facts.state.panic;
    let cpu = panic.cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
    let task = panic.cpu.and_then(|cpu| facts.snapshot.current(facts.snapshot.cpu(cpu)?));
    let pid = match task {
        Some(task) => format!(" in {}", pid(task)),
        None => panic.pid.map(|pid| format!(" in pid {pid}")).unwrap_or_default(),
    };
    format!("{cpu}{pid}")
}
