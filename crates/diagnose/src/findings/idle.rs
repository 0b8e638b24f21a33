//! Tasks that could run, in the queue of a CPU that has nothing but its idle task.
//!
//! Who is put into the queue of an idle CPU has it rescheduled at once (`ttwu_do_activate()` and `resched_curr()` in
//! `kernel/sched/core.c`): by an interrupt, or by a flag that a polling idle loop looks at. Where tasks wait there for seconds, that
//! wake-up was lost, or something that runs on top of the idle task keeps the CPU from them. For a shorter time the host of a
//! virtual CPU may not have run it: then it is possible only.
//!
//! The wait counts by the clock of the machine: that of an idle CPU stands still, and was last set as the task was queued.
//!
//! A task that another CPU wakes may not come that far: since 5.8 mostly, and before in part, its waker only puts it on a list of the CPU
//! that is to run it (`__ttwu_queue_wakelist()` in `kernel/sched/core.c`), which that CPU is to look at when it is told. Until then the
//! task is in the state `TASK_WAKING` and in no queue. That takes some microseconds; where it takes minutes nobody has told the CPU. Since
//! when it was woken the kernel does not keep, only when it last ran. So one is possible, and several on one CPU are probable.
//!
//! Control: a task whose cgroup or budget is used up; one that must not share the core (core scheduling keeps such a CPU idle),
//! one of `sched_ext`, and real-time tasks that are throttled, are possible only; a CPU that is out of service.

use std::cmp::Reverse;

use vmcore_kernel::{Class, Cpu, RunQueue, Task};

use super::{Context, Found};
use crate::clock::{off_cpu_evidence, off_cpu_ns, soft_lockup_ns};
use crate::derived::now_ns;
use crate::describe;
use crate::evidence::{decimal, member};
use crate::graph::{Edge, EdgeKind, Node};
use crate::idle::{OnIdle, has_idle_task, on_idle};
use crate::names::is_stopped_by_panic;
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, Value};

/// Longer than any wake-up takes.
const LONG_NS: u64 = 5_000_000_000;

/// One finding for each CPU.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut found = Found::default();
    for cpu in &facts.snapshot.cpus {
        let waiting = waiting(facts, cpu);
        found.findings.extend(finding(facts, reader, cpu, &waiting));
        found.edges.extend(edges(facts, reader, cpu, &waiting));
        found.findings.extend(not_queued(facts, reader, cpu));
    }
    found
}

/// Who waits for an idle CPU for too long, and since when.
fn waiting<'f>(facts: &'f Facts<'_>, cpu: &Cpu) -> Vec<(&'f Task, u64)> {
    let queue = cpu.run_queue.as_ref().filter(|queue| has_idle_task(cpu) && !queue.is_out_of_service());
    let queued = queue.into_iter().flat_map(|queue| &queue.queued);
    let tasks = queued.filter_map(|queued| facts.snapshot.task(queued.task)).filter(|task| may_run(facts, task));
    let waits = tasks.filter_map(|task| Some((task, waited_ns(facts, task)?)));
    let mut waiting: Vec<_> = waits.filter(|(_, waited)| *waited >= LONG_NS).collect();
    waiting.sort_by_key(|(task, waited)| (Reverse(*waited), task.pid));
    waiting
}

fn may_run(facts: &Facts<'_>, task: &Task) -> bool {
    let counters = facts.state.scheduler.task(task.address);
    task.waits_for_cpu()
        && counters.throttled_queue.is_none()
        && counters.held_back_queue.is_none()
        && counters.deadline_throttled != Some(true)
}

/// Whether all that wait are real-time tasks that have used up their share. That lasts until the next period begins, of a second mostly.
fn may_be_throttled(facts: &Facts<'_>, cpu: &Cpu, waiting: &[(&Task, u64)]) -> bool {
    facts.state.scheduler.cpu(cpu.cpu).real_time_throttled && waiting.iter().all(|(task, _)| task.is_above_fair())
}

/// Whether all that wait may be in a queue of a BPF scheduler's own: `scx_rq.runnable_list` has the tasks of any, and from which of them
/// this CPU takes its next is for that scheduler to say.
fn may_be_elsewhere(cpu: &Cpu, waiting: &[(&Task, u64)]) -> bool {
    let queued = || cpu.run_queue.iter().flat_map(|queue| &queue.queued);
    let is_extensible = |task: &Task| queued().any(|queued| queued.task == task.address && queued.class == Class::Ext);
    waiting.iter().all(|(task, _)| is_extensible(task))
}

fn waited_ns(facts: &Facts<'_>, task: &Task) -> Option<u64> {
    now_ns(facts)?.checked_sub(task.last_queued_ns.filter(|&queued| queued != 0)?)
}

/// Whether all that wait may be kept from the CPU because of what runs on another thread of its core.
pub(super) fn may_be_forced(facts: &Facts<'_>, cpu: &Cpu, waiting: &[(&Task, u64)]) -> bool {
    let Some(of_core) = facts.state.scheduler.cpu(cpu.cpu).core_cookie else { return false };
    let cookie = |task: &Task| facts.state.scheduler.task(task.address).core_cookie;
    waiting.iter().all(|(task, _)| cookie(task) != Some(of_core))
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu, waiting: &[(&Task, u64)]) -> Option<Finding> {
    let (_, longest) = *waiting.first()?;
    let queue = cpu.run_queue.as_ref()?;
    let surely = longest >= soft_lockup_ns(facts)
        && !may_be_forced(facts, cpu, waiting)
        && !may_be_elsewhere(cpu, waiting)
        && !may_be_throttled(facts, cpu, waiting);
    let confidence = if surely { Confidence::Confirmed } else { Confidence::Possible };
    let summary = format!(
        "CPU {} {}; for up to {}, these could run there and did not: {}",
        cpu.cpu,
        does(facts, cpu),
        seconds(longest),
        describe::pids(waiting.iter().map(|(task, _)| *task)),
    );
    let mut evidence = vec![current_evidence(reader, queue)];
    let shown = waiting.iter().take(describe::MAX_NAMED);
    evidence.extend(shown.map(|(task, waited)| queued_evidence(reader, cpu, task, *waited)));
    let tasks = waiting.iter().map(|(task, _)| task.address);
    Some(Finding::new(Issue::Starvation, confidence, summary, evidence).about(tasks).helped_by(Some(LOST_WAKE_UP)))
}

/// What to look at where a CPU idles though it has work.
const LOST_WAKE_UP: (&str, &str) = (
    "find out why the CPU was not told of its work: look at its interrupts and timers (`irq`, `timer`) and, of a virtual machine, at the \
     host",
    "no task keeps the CPU: an interrupt that should have woken it was lost, or its scheduler's state is wrong",
);

/// Those that an idle CPU should have put into its queue: who was woken to run there, and for how long it has not run.
fn waking<'f>(facts: &'f Facts<'_>, cpu: &Cpu) -> Vec<(&'f Task, u64)> {
    let in_service = cpu.run_queue.as_ref().is_some_and(|queue| !queue.is_out_of_service());
    let idles = in_service && has_idle_task(cpu) && matches!(on_idle(facts, cpu), OnIdle::Nothing);
    // A CPU that a panic stopped is told nothing any more.
    let stopped = facts.running_on(cpu.cpu).is_some_and(is_stopped_by_panic);
    if !idles || stopped || cpu.registers.is_none() {
        return Vec::new();
    }
    let tasks = facts.snapshot.tasks.iter().filter(|task| task.cpu == cpu.cpu && task.state.is_waking());
    let tasks = tasks.filter(|task| task.on_rq == 0 && !task.on_cpu);
    let off = tasks.filter_map(|task| Some((task, off_cpu_ns(facts, task)?)));
    let mut waking: Vec<_> = off.filter(|(_, off)| *off >= LONG_NS).collect();
    waking.sort_by_key(|(task, off)| (Reverse(*off), task.pid));
    waking
}

fn not_queued(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Option<Finding> {
    let waking = waking(facts, cpu);
    let (_, longest) = *waking.first()?;
    let limit = soft_lockup_ns(facts);
    // Where the kernel stopped itself it went on for a while with this CPU alone.
    let several = waking.iter().filter(|(_, off)| *off >= limit).count() > 1 && facts.death().is_none();
    let confidence = if several { Confidence::Probable } else { Confidence::Possible };
    let summary = format!(
        "CPU {} idles; these were woken to run there, were never put into its queue, and have not run for up to {}: {}",
        cpu.cpu,
        seconds(longest),
        describe::pids(waking.iter().map(|(task, _)| *task)),
    );
    let mut evidence: Vec<_> = cpu.run_queue.iter().map(|queue| current_evidence(reader, queue)).collect();
    for (task, _) in waking.iter().take(describe::MAX_NAMED) {
        let meaning = format!("pid {} was woken (TASK_WAKING) and is in no queue", task.pid);
        let on_rq = decimal(task.on_rq);
        evidence.push(member(reader, task.address, ("task_struct", "on_rq"), on_rq, meaning));
        evidence.extend(off_cpu_evidence(facts, reader, task));
    }
    let tasks = waking.iter().map(|(task, _)| task.address);
    Some(Finding::new(Issue::Starvation, confidence, summary, evidence).about(tasks).helped_by(Some(LOST_WAKE_UP)))
}

/// What the CPU does instead.
fn does(facts: &Facts<'_>, cpu: &Cpu) -> String {
    if cpu.registers.is_none() {
        return "has its idle task, and what runs on top of that is not known".to_owned();
    }
    match on_idle(facts, cpu) {
        OnIdle::Nothing => "idles".to_owned(),
        OnIdle::Briefly(work) | OnIdle::Long(work, _) | OnIdle::Unknown(work) => {
            format!("runs {} on top of its idle task", work.code())
        }
    }
}

fn current_evidence(reader: &dyn Reader, queue: &RunQueue) -> Evidence {
    let meaning = format!("the current task of CPU {}: its idle task", queue.cpu);
    member(reader, queue.address, ("rq", "curr"), Value::Hex(queue.current.get()), meaning)
}

fn queued_evidence(reader: &dyn Reader, cpu: &Cpu, task: &Task, waited: u64) -> Evidence {
    let meaning = format!("pid {} waits in the run queue of CPU {} for {}", task.pid, cpu.cpu, seconds(waited));
    let queued = decimal(task.last_queued_ns.unwrap_or_default());
    member(reader, task.address, ("task_struct", "sched_info.last_queued"), queued, meaning)
}

/// The tasks that wait for the CPU, and the idle task that has it.
fn edges(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu, waiting: &[(&Task, u64)]) -> Vec<Edge> {
    let Some((idle, queue)) = facts.snapshot.current(cpu).zip(cpu.run_queue.as_ref()).filter(|_| !waiting.is_empty())
    else {
        return Vec::new();
    };
    let node = Node::RunQueue { cpu: cpu.cpu };
    let why = "is the idle task, and stays on the CPU";
    let has =
        Edge::new(node.clone(), EdgeKind::RunBy, Node::task(idle), why).shown_by([current_evidence(reader, queue)]);
    let waits = waiting.iter().map(|(task, waited)| {
        let shown = queued_evidence(reader, cpu, task, *waited);
        Edge::new(Node::task(task), EdgeKind::QueuedOn, node.clone(), "is runnable and gets no CPU").shown_by([shown])
    });
    waits.chain([has]).collect()
}
