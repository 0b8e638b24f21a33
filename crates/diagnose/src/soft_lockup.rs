//! Soft lockups: a CPU that ran one task for longer than the watchdog allows while others waited.
//!
//! The watchdog says so in the log (`BUG: soft lockup - CPU#7 stuck for 11s! [comm:pid]`); the run queue says whether
//! that task still had the CPU when the machine stopped.
//!
//! Source: `kernel/watchdog.c`.

use crate::evidence::{self, decimal};
use vmcore_console::{SoftLockup, soft_lockup};
use vmcore_kernel::Task;

use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, LogLine, Reader, Severity, Value, cut_stacks, issue};

/// The watchdog counts in units of 2^30 ns, rounded, from when its own thread last ran: before the task was scheduled in.
const WATCHDOG_SLACK_S: u64 = 2;

/// One finding for each CPU that the log says was locked up, and how sure it is that it still was.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<(Confidence, Finding)> {
    let mut latest: Vec<(SoftLockup, &LogLine)> = Vec::new();
    for line in &facts.log {
        if let Some(report) = soft_lockup(&line.text) {
            latest.retain(|(known, _)| known.cpu != report.cpu);
            latest.push((report, line));
        }
    }
    latest.sort_by_key(|(report, _)| report.cpu);
    latest.iter().map(|(report, line)| finding(facts, reader, report, line)).collect()
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
    if current.pid != report.pid || in_user_mode {
        return Now::Over;
    }
    match facts.running_ns(cpu) {
        Some(running) if running / 1_000_000_000 + WATCHDOG_SLACK_S >= report.seconds => Now::Stuck(current, running),
        Some(_) => Now::Over,
        None => Now::Unknown,
    }
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, report: &SoftLockup, line: &LogLine) -> (Confidence, Finding) {
    let SoftLockup { cpu, seconds: stuck_s, comm, pid } = report;
    let mut evidence = vec![
        Evidence::new("kernel log", format!("logged {} after boot", seconds(line.timestamp_ns)))
            .value(Value::Text(line.text.clone())),
    ];
    let now = now(facts, report);
    if let Now::Stuck(current, running) = now {
        let member = ("task_struct", "sched_info.last_arrival");
        let meaning = format!("the same task still has CPU {cpu}: for {}", seconds(running));
        let arrival = decimal(current.last_arrival_ns.unwrap_or_default());
        evidence.push(evidence::member(reader, current.address, member, arrival, meaning));
    }
    let (confidence, severity, place) = match now {
        Now::Stuck(..) => {
            (cut_stacks::limited(facts, *cpu, Confidence::Confirmed), Severity::Critical, stuck_in(facts, *cpu))
        }
        Now::Unknown => (Confidence::Probable, Severity::Critical, String::new()),
        Now::Over => (Confidence::None, Severity::Warning, String::new()),
    };
    let over = if confidence == Confidence::None { ", but that was over when the machine stopped" } else { "" };
    let caveat = if confidence == Confidence::None { String::new() } else { cut_stacks::caveat(facts, *cpu) };
    let finding = Finding {
        id: issue::SOFT_LOCKUP,
        severity,
        summary: format!(
            "CPU {cpu} was stuck{place} for {stuck_s} s: pid {pid} \"{comm}\" would not give it up{over}{caveat}"
        ),
        evidence,
    };
    (confidence, finding)
}

/// ` in FUNCTION`: the outermost kernel code that an interrupt found running.
pub(crate) fn stuck_in(facts: &Facts<'_>, cpu: u32) -> String {
    let function = facts.running_on(cpu).and_then(|stack| {
        let interrupt = stack.interrupts.iter().rev().find(|interrupt| !interrupt.registers.user_mode())?;
        stack.frames.get(interrupt.frame)?.function()
    });
    function.map(|function| format!(" in {function}")).unwrap_or_default()
}
