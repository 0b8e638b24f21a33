//! Soft lockups: a CPU that ran one task for longer than the watchdog allows while others waited.
//!
//! The watchdog says so in the log (`BUG: soft lockup - CPU#7 stuck for 11s! [comm:pid]`); the run queue says whether
//! that task still had the CPU when the machine stopped.
//!
//! A CPU that is in kernel code for so long without a word of the watchdog is found as well.
//!
//! Control: a CPU that runs a guest of KVM does nothing else for as long as the guest likes. What KVM does between two runs of it
//! is kernel code like any other; the guest's time is not in it, for that counts as user time (`account_guest_time()`).
//!
//! A stopper thread that waits for that of another CPU is its victim: it is told as one, and what keeps the other one comes first.
//!
//! Source: `kernel/watchdog.c`, `kernel/sched/cputime.c`.

use std::cmp::Reverse;

use vmcore_console::{Kind, Occurrence, PanicReason, SoftLockup};
use vmcore_kernel::{Cpu, Task};

use super::{Context, Found};
use crate::clock::soft_lockup_ns;
use crate::describe::{pid, stuck_in};
use crate::evidence::{self, decimal};
use crate::kernel_code::in_kernel_code;
use crate::names::{own_frame, runs_guest};
use crate::reports::reported_stuck;
use crate::stuck::{is_one_stay, surely_in_kernel};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Reader, Severity, cut_stacks, reports, stoppers};

/// The watchdog counts in units of 2^30 ns, rounded, from when its own thread last ran: before the task was scheduled in.
const WATCHDOG_SLACK_S: u64 = 2;
/// Of a CPU for which somebody has been waiting for so long, `starvation` speaks.
const STARVES_NS: u64 = 5_000_000_000;

/// One finding for each CPU that the log says was locked up, and how sure it is that it still was.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut latest: Vec<(SoftLockup, &Occurrence)> = Vec::new();
    for said in facts.reports_of(Kind::SoftLockup) {
        if let Some(report) = said.event.soft_lockup() {
            latest.retain(|(known, _)| known.cpu != report.cpu);
            latest.push((report, said));
        }
    }
    latest.sort_by_key(|(report, _)| report.cpu);
    let mut findings: Vec<_> = latest.iter().map(|(report, said)| finding(facts, reader, report, said)).collect();
    findings.extend(facts.snapshot.cpus.iter().filter_map(|cpu| unreported(context, cpu)));
    // Who only waits for another one comes last.
    findings.sort_by_key(|finding| (Reverse(finding.severity), waits_for(facts, finding), Reverse(finding.confidence)));
    findings.into()
}

/// The CPU that the one of a lockup that lasts waits for.
fn waits_for(facts: &Facts<'_>, finding: &Finding) -> Option<u32> {
    let lasts = finding.severity == Severity::Critical;
    let task = finding.tasks.first().and_then(|task| facts.snapshot.task(*task)).filter(|_| lasts)?;
    stoppers::waits_for(facts, facts.snapshot.cpu_running(task)?.cpu)
}

/// `would not give it up`, or that it cannot.
fn keeps_it(awaited: Option<u32>) -> String {
    awaited.map_or_else(|| "would not give it up".to_owned(), stoppers::waits_text)
}

/// Whether a reported lockup lasted until the machine stopped.
enum Now<'a> {
    /// The same task still has the CPU, for this many nanoseconds.
    Stuck(&'a Task, u64),
    /// Something else runs there, or the task came in later, or it runs user code: the lockup was over.
    Over,
    /// The run queue cannot be read.
    Unknown,
}

fn now<'a>(facts: &'a Facts<'_>, report: &SoftLockup) -> Now<'a> {
    let queue = facts.snapshot.cpu(report.cpu).filter(|cpu| cpu.run_queue.is_some());
    let Some((cpu, current)) = queue.and_then(|cpu| Some((cpu, facts.snapshot.current(cpu)?))) else {
        return Now::Unknown;
    };
    let in_user_mode =
        facts.running_on(report.cpu).is_some_and(|stack| stack.frames.is_empty() && stack.error.is_none());
    // Whoever panics for it has seen it at that moment.
    let of_panic = facts.state.panic.cpu.is_none_or(|cpu| cpu == report.cpu);
    let over = if facts.death() == Some(PanicReason::SoftLockup) && of_panic { Now::Unknown } else { Now::Over };
    if current.pid != report.pid || in_user_mode {
        return over;
    }
    match facts.running_ns(cpu) {
        Some(running) if running / 1_000_000_000 + WATCHDOG_SLACK_S >= report.seconds => Now::Stuck(current, running),
        Some(_) => over,
        None => Now::Unknown,
    }
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, report: &SoftLockup, said: &Occurrence) -> Finding {
    let SoftLockup { cpu, seconds: stuck_s, comm, pid } = report;
    let mut evidence: Vec<_> = reports::evidence(facts, said).into_iter().collect();
    let now = now(facts, report);
    if let Now::Stuck(current, running) = now {
        let member = ("task_struct", "sched_info.last_arrival");
        let meaning = format!("the same task still has CPU {cpu}: for {}", seconds(running));
        let arrival = decimal(current.last_arrival_ns.unwrap_or_default());
        evidence.push(evidence::member(reader, current.address, member, arrival, meaning));
    }
    let is_long_ago = matches!(now, Now::Over) && reports::is_long_ago(facts, said);
    let ago = if is_long_ago { reports::ago(facts, said) } else { String::new() };
    let (confidence, severity, place, over) = match now {
        Now::Stuck(..) => {
            let surely = cut_stacks::limited(facts, *cpu, Confidence::Confirmed);
            (surely, Severity::Critical, stuck_in(facts, *cpu), "")
        }
        Now::Unknown => (Confidence::Probable, Severity::Critical, String::new(), ""),
        Now::Over => {
            (Confidence::Probable, Severity::Warning, String::new(), ", but that was over when the machine stopped")
        }
    };
    let caveat = if over.is_empty() { cut_stacks::caveat(facts, *cpu) } else { String::new() };
    let awaited = matches!(now, Now::Stuck(..)).then(|| stoppers::waits_for(facts, *cpu)).flatten();
    let keeps = keeps_it(awaited);
    let summary =
        format!("CPU {cpu} was stuck{place} for {stuck_s} s: pid {pid} \"{comm}\" {keeps}{over}{ago}{caveat}");
    let task = facts.snapshot.cpu(*cpu).and_then(|cpu| facts.snapshot.current(cpu)).filter(|task| task.pid == *pid);
    let finding = Finding::new(Issue::SoftLockup, confidence, summary, evidence).with_severity(severity);
    finding.from_log(true).long_ago(is_long_ago).about(task.map(|task| task.address))
}

/// Whether a CPU spins for a lock, or until another one has answered.
fn waits_for_another(facts: &Facts<'_>, cpu: u32) -> bool {
    let state = &facts.state;
    state.spins.iter().any(|spin| spin.cpu == cpu)
        || state.owner_spins.iter().any(|spin| spin.cpu == cpu)
        || state.calls.iter().any(|call| call.from == cpu)
}

/// A CPU that has been in kernel code for so long that the watchdog should have said so, and did not: it is off, its own
/// thread is kept from running, or its line is no longer in the log.
fn unreported(context: &Context<'_>, cpu: &Cpu) -> Option<Finding> {
    let Context { facts, reader, .. } = *context;
    let task = facts.snapshot.current(cpu).filter(|task| task.pid != 0)?;
    let limit = soft_lockup_ns(facts);
    let running = facts.running_ns(cpu).filter(|&running| running >= limit)?;
    let starves_others = cpu.run_queue.as_ref()?.queued.iter().any(|queued| {
        facts
            .snapshot
            .task(queued.task)
            .and_then(|task| facts.waiting_ns(task))
            .is_some_and(|waited| waited >= STARVES_NS)
    });
    let is_known = context.explained.contains(&cpu.cpu) || reported_stuck(facts, cpu.cpu) || starves_others;
    let is_guest = facts.running_on(cpu.cpu).is_some_and(|stack| runs_guest(stack, own_frame(stack)));
    if is_known || is_guest || !in_kernel_code(facts, cpu) {
        return None;
    }
    // Of one that waits for others just now, and may have come only now, that finding says more.
    let one_stay = is_one_stay(facts, cpu, running);
    if !one_stay && waits_for_another(facts, cpu.cpu) {
        return None;
    }
    // What it had in user code, in all its life, it did not have in the kernel.
    let in_kernel = surely_in_kernel(facts, cpu, task, running);
    if in_kernel < limit {
        return None;
    }
    let member = ("task_struct", "sched_info.last_arrival");
    let meaning = format!("{} has had CPU {} for {}", pid(task), cpu.cpu, seconds(running));
    let arrival = decimal(task.last_arrival_ns.unwrap_or_default());
    let mut evidence = vec![evidence::member(reader, task.address, member, arrival, meaning)];
    evidence.extend(task.accounting.user_ns.map(|user| {
        let meaning = format!("at most {} of that in user code", seconds(user));
        evidence::member(reader, task.address, ("task_struct", "utime"), decimal(user), meaning)
    }));
    // While the watchdog looks after a CPU, its own thread comes in between every few seconds, unless kernel code keeps it out.
    let (confidence, silence) = match facts.state.limits.is_watched(cpu.cpu) {
        _ if one_stay => (Confidence::Probable, "the watchdog said nothing"),
        true => (
            Confidence::Possible,
            "the watchdog looks after it at longer intervals: it may have been many system calls",
        ),
        false => (Confidence::Possible, "no watchdog looks after it: it may have been many system calls"),
    };
    let summary = format!(
        "CPU {} has run kernel code{} for {} without switching tasks, and {silence}: {} {}",
        cpu.cpu,
        stuck_in(facts, cpu.cpu),
        seconds(in_kernel),
        pid(task),
        keeps_it(stoppers::waits_for(facts, cpu.cpu))
    );
    Some(Finding::new(Issue::SoftLockup, confidence, summary, evidence).about([task.address]))
}
