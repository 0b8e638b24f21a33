//! Tasks that could run and get no CPU, because a real-time task keeps theirs, or kernel code that is not preempted.
//!
//! Of real-time tasks nothing in the kernel complains: the soft-lockup watchdog's own thread outranks them all. Of kernel
//! code that watchdog does complain, where it is on.
//!
//! Fair tasks take turns: every tick looks whether the current one has had its share (`task_tick_fair()` in
//! `kernel/sched/fair.c`), and in user code, or as the serving of its page fault ends, it loses the CPU at once. Where one
//! keeps the CPU for long all the same, its tick may be dead. But shares differ: beside a task of a heavy cgroup one
//! of `SCHED_IDLE` may have to wait for minutes. So that is possible only.
//!
//! Control: a task that takes its turn behind others, or one that waits for a CPU of which it is known already what keeps
//! it: a lockup, or the livelock.

use vmcore_kernel::{Cpu, Policy, Task};

use super::{Context, Found};
use crate::clock::soft_lockup_ns;
use crate::describe::{self, stuck_in};
use crate::evidence::{decimal, member};
use crate::granted::grant;
use crate::graph::{Edge, EdgeKind, Node};
use crate::kernel_code::{in_kernel_code, may_be_of_a_moment};
use crate::reports::reported_stuck;
use crate::stuck::{has_run_ns, surely_in_kernel, surely_in_user};
use crate::text::seconds;
use crate::time_on_cpu::{self, Outranked, keeps_equals_out};
use crate::{
    Confidence, Evidence, Facts, Finding, Issue, KernelPreemption, Reader, Severity, Value, counted, cut_stacks,
    stoppers,
};

/// Real-time throttling gives others a share of every second, and migration looks for another CPU at once.
const LONG_NS: u64 = 5_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// One finding for each CPU.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut found = Found::default();
    for cpu in facts.snapshot.cpus.iter().filter(|cpu| !context.explained.contains(&cpu.cpu)) {
        found.findings.extend(finding(facts, reader, cpu));
        found.edges.extend(edges(facts, reader, cpu));
    }
    found
}

/// Who keeps a CPU, and who has been waiting for it too long.
fn starved<'f>(facts: &'f Facts<'_>, cpu: &'f Cpu) -> Option<(&'f Task, Vec<(&'f Task, u64)>)> {
    let hog = hog(facts, cpu)?;
    let long_ns = match keeps(facts, cpu, hog) {
        Keeps::ByRank if stoppers::waits_for_another(facts, cpu.cpu) => return None,
        Keeps::ByRank => LONG_NS,
        Keeps::InKernel { .. } | Keeps::Unpreempted if reported_stuck(facts, cpu.cpu) => return None,
        Keeps::Unpreempted if cpu.registers.is_none() => return None,
        Keeps::InKernel { .. } => LONG_NS,
        Keeps::Unpreempted => soft_lockup_ns(facts),
    };
    if !hog.is_above_fair() && facts.running_ns(cpu).is_none_or(|running| running < long_ns) {
        return None;
    }
    let long = outranked(facts, cpu, hog).filter_map(|task| Some((task, waited_ns(facts, cpu, hog, task)?)));
    let mut waiting: Vec<_> = long.filter(|(_, waited)| *waited >= long_ns).collect();
    waiting.sort_by_key(|(task, waited)| (std::cmp::Reverse(*waited), task.pid));
    (!waiting.is_empty()).then_some((hog, waiting))
}

/// Who keeps a CPU: its current task. Where that is a fair one, it may only have a moment that such are granted: then it is the real-time
/// task that was passed over for it, and is busy whenever it can.
fn hog<'f>(facts: &'f Facts<'_>, cpu: &'f Cpu) -> Option<&'f Task> {
    let current = facts.snapshot.current(cpu).filter(|task| task.pid != 0)?;
    let mut displaced = grant(facts, cpu).into_iter().flat_map(|grant| grant.displaced);
    displaced.find(|task| counted::is_always_busy(facts, cpu, task, LONG_NS)).or(Some(current))
}

/// Whether a task is its CPU's current one.
fn is_current(facts: &Facts<'_>, cpu: &Cpu, task: &Task) -> bool {
    facts.snapshot.current(cpu).is_some_and(|current| current.address == task.address)
}

/// How a task keeps its CPU from others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// It outranks them.
    ByRank,
    /// It is in kernel code, which need not be preempted, and whether it surely has been.
    InKernel { surely: bool },
    /// It should have lost the CPU to them: it is in user code, has been for most of the time, or where it was is not known.
    Unpreempted,
}

fn keeps(facts: &Facts<'_>, cpu: &Cpu, hog: &Task) -> Keeps {
    if hog.is_above_fair() {
        return Keeps::ByRank;
    }
    let running_ns = facts.running_ns(cpu).unwrap_or_default();
    match in_kernel_code(facts, cpu) {
        true if surely_in_kernel(facts, cpu, hog, running_ns) >= LONG_NS => Keeps::InKernel { surely: true },
        true if is_likely_there(facts, cpu, hog, running_ns) => Keeps::InKernel { surely: false },
        _ => Keeps::Unpreempted,
    }
}

/// Whether a task that was caught in kernel code is likely to have been there all the time, though it had more time than that in user code in
/// a life of which it cannot be told when: the watchdog's thread would have had the CPU meanwhile. Where it serves user code with an exception
/// or an interrupt, that may be of the moment.
fn is_likely_there(facts: &Facts<'_>, cpu: &Cpu, hog: &Task, running_ns: u64) -> bool {
    let limits = &facts.state.limits;
    let has_no_break = limits.is_watched(cpu.cpu) && running_ns >= limits.soft_lockup_ns();
    let of_a_moment = facts.running_on(cpu.cpu).is_some_and(may_be_of_a_moment);
    has_no_break && !of_a_moment && surely_in_user(facts, cpu, hog, running_ns) < LONG_NS
}

/// For how long a task has been kept waiting, where that is too long. Under real-time load fair tasks are granted some
/// milliseconds of every second: there the wait counts that they had in all, if the hog has done nothing but run.
fn waited_ns(facts: &Facts<'_>, cpu: &Cpu, hog: &Task, task: &Task) -> Option<u64> {
    let at_once = facts.waiting_ns(task).filter(|&waiting| waiting >= LONG_NS);
    let in_all = || {
        let starved = counted::starved(facts, task, LONG_NS)?;
        counted::is_always_busy(facts, cpu, hog, LONG_NS).then_some(starved.waited_ns)
    };
    at_once.or_else(in_all)
}

/// Who waits in the queue of a CPU and would not take it from `hog`; also who has it for a moment only.
fn outranked<'f>(facts: &'f Facts<'_>, cpu: &'f Cpu, hog: &Task) -> impl Iterator<Item = &'f Task> {
    let queued = cpu.run_queue.iter().flat_map(|queue| &queue.queued);
    let rank = if hog.is_above_fair() { hog.prio } else { i32::MIN };
    let equals = keeps_equals_out(hog);
    let tasks = queued.filter_map(|queued| facts.snapshot.task(queued.task)).filter(|task| task.waits_for_cpu());
    let current = facts.snapshot.current(cpu).filter(|task| task.address != hog.address && task.pid != 0);
    current.into_iter().chain(tasks).filter(move |task| task.prio > rank || equals && task.prio == rank)
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Option<Finding> {
    let (hog, waiting) = starved(facts, cpu)?;
    let (first, longest) = *waiting.first()?;
    // Of one that is granted moments it is the sum of all its waits.
    let in_all = if facts.waiting_ns(first).is_none_or(|at_once| at_once < longest) { " in all" } else { "" };
    let how = keeps(facts, cpu, hog);
    let running = facts.running_ns(cpu).filter(|_| is_current(facts, cpu, hog));
    let gravity = gravity(facts, cpu, how, hog, &waiting);
    let kept = match (gravity.outlasted_ns, running) {
        (Some(ns), _) => format!(", and nobody of a lower rank has had it for {}", seconds(ns)),
        (None, Some(ns)) => format!(", for {} without a break", seconds(ns)),
        (None, None) if is_current(facts, cpu, hog) => String::new(),
        (None, None) => ", but for the moments that fair tasks are granted".to_owned(),
    };
    let not_run = not_run(facts, cpu, hog);
    let summary = format!(
        "CPU {} ({}) keeps its CPU {}{kept}; for up to {}{in_all}, these could run and did not: {}{}{}",
        cpu.cpu,
        describe::pid(hog),
        match how {
            Keeps::ByRank => format!("as {}", describe::rank(hog)),
            Keeps::InKernel { .. } => in_kernel(facts, cpu.cpu),
            Keeps::Unpreempted =>
                "though tasks of its class take turns: its tick may be dead, or their shares small".to_owned(),
        },
        seconds(longest),
        describe::pids(waiting.iter().map(|(task, _)| *task)),
        cut_stacks::caveat(facts, cpu.cpu),
        not_run.as_deref().unwrap_or_default(),
    );
    let mut facts_shown = vec![kept_evidence(facts, reader, cpu, hog)];
    let shown = waiting.iter().take(describe::MAX_NAMED);
    facts_shown.extend(shown.map(|(task, waited)| queued_evidence(reader, cpu, task, *waited)));
    let confidence = cut_stacks::limited(facts, cpu.cpu, gravity.confidence);
    let confidence = if not_run.is_some() { confidence.min(Confidence::Possible) } else { confidence };
    let tasks = std::iter::once(hog).chain(waiting.iter().map(|(task, _)| *task)).map(|task| task.address);
    Some(Finding::new(Issue::Starvation, confidence, summary, facts_shown).with_severity(gravity.severity).about(tasks))
}

/// What is said of a task that has had its CPU for long and has not run for as long in all its life: the host has not run the CPU, or
/// interrupts have had it.
fn not_run(facts: &Facts<'_>, cpu: &Cpu, hog: &Task) -> Option<String> {
    facts.running_ns(cpu).filter(|&running| is_current(facts, cpu, hog) && running >= LONG_NS)?;
    let ran_ns = has_run_ns(facts, cpu, hog).filter(|&ran| ran < LONG_NS)?;
    Some(format!(
        "; but it has run for no more than {} in all its life: either interrupts had the CPU, or the host did not run it",
        seconds(ran_ns)
    ))
}

/// How sure it is, how serious, and for how long tasks of higher ranks have had the CPU, where that is what shows it.
struct Gravity {
    confidence: Confidence,
    severity: Severity,
    outlasted_ns: Option<u64>,
}

impl Gravity {
    fn critical(confidence: Confidence) -> Self {
        Self { confidence, severity: Severity::Critical, outlasted_ns: None }
    }

    fn warning(confidence: Confidence) -> Self {
        Self { severity: Severity::Warning, ..Self::critical(confidence) }
    }
}

/// Kernel code may take its time, but not longer than the watchdog allows.
fn gravity(facts: &Facts<'_>, cpu: &Cpu, how: Keeps, hog: &Task, waiting: &[(&Task, u64)]) -> Gravity {
    let running_ns = facts.running_ns(cpu).unwrap_or_default();
    match how {
        Keeps::Unpreempted => Gravity::critical(Confidence::Possible),
        Keeps::InKernel { .. } if running_ns < soft_lockup_ns(facts) => Gravity::warning(Confidence::Confirmed),
        // What keeps the scheduler from it there is not known.
        Keeps::InKernel { surely } if !surely || facts.preemption.of_kernel_code == KernelPreemption::Yes => {
            Gravity::critical(Confidence::Probable)
        }
        Keeps::ByRank if !is_current(facts, cpu, hog) => by_rank(facts, cpu, hog, waiting),
        Keeps::ByRank if running_ns < LONG_NS => match by_rank(facts, cpu, hog, waiting) {
            // Nor was it one that came and went.
            known if known.outlasted_ns.is_some() && running_ns >= SECOND_NS => {
                Gravity::critical(Confidence::Confirmed)
            }
            known => known,
        },
        Keeps::InKernel { .. } | Keeps::ByRank => Gravity::critical(Confidence::Confirmed),
    }
}

/// A real-time task that has only just come need not be who kept the others waiting; but threads of the highest class of all, such as the
/// watchdog's, come in between now and then, and grants do. That nobody of a lower rank has run since one of the others was queued shows it,
/// or that the task has done nothing in its life but run.
fn by_rank(facts: &Facts<'_>, cpu: &Cpu, hog: &Task, waiting: &[(&Task, u64)]) -> Gravity {
    let mut known = Outranked::Shortly;
    for (task, _) in waiting {
        match time_on_cpu::outranked(facts, cpu, task, LONG_NS) {
            Outranked::For(ns) => {
                return Gravity { outlasted_ns: Some(ns), ..Gravity::critical(Confidence::Probable) };
            }
            Outranked::Unknown => known = Outranked::Unknown,
            Outranked::Shortly => {}
        }
    }
    match known {
        _ if counted::is_always_busy(facts, cpu, hog, LONG_NS) => Gravity::critical(Confidence::Probable),
        Outranked::Unknown => Gravity::critical(Confidence::Possible),
        // Whoever else had its turn, one of them had none in all that time.
        _ if waiting.iter().any(|(task, _)| never_had_its_turn(facts, task)) => Gravity::critical(Confidence::Possible),
        _ => Gravity::warning(Confidence::Possible),
    }
}

/// Whether a task has waited at once for longer than a small share explains. One of `SCHED_IDLE` may have none.
fn never_had_its_turn(facts: &Facts<'_>, task: &Task) -> bool {
    task.policy != Policy::IDLE && facts.waiting_ns(task).is_some_and(|waiting| waiting >= soft_lockup_ns(facts))
}

/// `in FUNCTION, kernel code that is not preempted`.
fn in_kernel(facts: &Facts<'_>, cpu: u32) -> String {
    let code = code(facts, cpu);
    match facts.preemption.of_kernel_code {
        KernelPreemption::Yes => {
            format!("{code}, and did not lose it though kernel code is preempted: preemption may be off there")
        }
        KernelPreemption::No | KernelPreemption::Unknown => format!("{code} that is not preempted"),
    }
}

/// `in FUNCTION, kernel code`.
fn code(facts: &Facts<'_>, cpu: u32) -> String {
    let place = stuck_in(facts, cpu);
    if place.is_empty() { "in kernel code".to_owned() } else { format!("{}, kernel code", place.trim_start()) }
}

fn queued_evidence(reader: &dyn Reader, cpu: &Cpu, task: &Task, waited: u64) -> Evidence {
    let queued_for = cpu.run_queue.as_ref().and_then(|queue| queue.waiting_ns(task));
    if queued_for.is_none_or(|queued| queued < LONG_NS) {
        let meaning = format!(
            "pid {} has waited for a CPU for {} in all, and was granted no more than moments of CPU {}",
            task.pid,
            seconds(waited),
            cpu.cpu
        );
        return member(reader, task.address, ("task_struct", "sched_info.run_delay"), decimal(waited), meaning);
    }
    let meaning = format!("pid {} waits in the run queue of CPU {} for {}", task.pid, cpu.cpu, seconds(waited));
    let queued = decimal(task.last_queued_ns.unwrap_or_default());
    member(reader, task.address, ("task_struct", "sched_info.last_queued"), queued, meaning)
}

/// The tasks that wait for a CPU, the CPU, and who keeps it.
fn edges(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu) -> Vec<Edge> {
    let Some((hog, waiting)) = starved(facts, cpu) else { return Vec::new() };
    let queue = Node::RunQueue { cpu: cpu.cpu };
    let why = match is_current(facts, cpu, hog) {
        true => "runs there and keeps the CPU",
        false => "keeps the CPU, but for the moments that fair tasks are granted",
    };
    let keeps = Edge::new(queue.clone(), EdgeKind::RunBy, Node::task(hog), why);
    let waits = waiting.iter().filter(|(task, _)| !is_current(facts, cpu, task)).map(|(task, waited)| {
        let shown = queued_evidence(reader, cpu, task, *waited);
        let why = "is runnable and gets no CPU";
        Edge::new(Node::task(task), EdgeKind::QueuedOn, queue.clone(), why).shown_by([shown])
    });
    waits.chain([keeps.shown_by([kept_evidence(facts, reader, cpu, hog)])]).collect()
}

/// Who has the CPU, and its rank.
fn kept_evidence(facts: &Facts<'_>, reader: &dyn Reader, cpu: &Cpu, hog: &Task) -> Evidence {
    let running = facts.running_ns(cpu).filter(|_| is_current(facts, cpu, hog));
    let running = running.map(|ns| format!(", on CPU {} for {}", cpu.cpu, seconds(ns))).unwrap_or_default();
    let meaning = format!("{} is {}{running}", describe::pid(hog), describe::rank(hog));
    member(reader, hog.address, ("task_struct", "prio"), Value::Decimal(hog.prio.into()), meaning)
}
