//! How the kernel died, by what it said: one kind of death for each of the kernel's own reasons to panic.
//!
//! ```text
//! Kernel panic - not syncing: hung_task: blocked tasks
//! ```
//!
//! Source: the callers of `panic` in `kernel/hung_task.c`, `kernel/watchdog.c`, `kernel/rcu/tree_stall.h`, `mm/oom_kill.c`,
//! `arch/x86/kernel/dumpstack.c`, `drivers/tty/sysrq.c`.

use super::{Neighbour, oom, oops};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Severity, Value, issue};

const PANIC: &str = "Kernel panic - not syncing: ";

/// Why the kernel stopped itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// It did not: the dump was taken from outside.
    None,
    /// Somebody asked for it.
    Requested,
    HungTask,
    SoftLockup,
    HardLockup,
    RcuStall,
    OutOfMemory,
    /// An exception in kernel code.
    Oops,
    Other,
}

impl Death {
    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        let Some(message) = &facts.state.panic.message else { return Self::None };
        let Some(reason) = message.strip_prefix(PANIC) else {
            // An oops that started the crash kernel. Up to 5.9 that was what sysrq-c did.
            return if oops::by_sysrq(facts) { Self::Requested } else { Self::Oops };
        };
        match Self::by_reason(reason) {
            Self::Oops if oops::by_sysrq(facts) => Self::Requested,
            death => death,
        }
    }

    /// By what follows `Kernel panic - not syncing: `.
    pub(crate) fn by_reason(reason: &str) -> Self {
        const REASONS: [(&str, Death); 9] = [
            ("sysrq triggered crash", Death::Requested),
            ("hung_task: ", Death::HungTask),
            ("softlockup: ", Death::SoftLockup),
            ("hard lockup", Death::HardLockup),
            ("watchdog detected hard lockup", Death::HardLockup),
            ("rcu stall", Death::RcuStall),
            ("out of memory", Death::OutOfMemory),
            ("system is deadlocked on memory", Death::OutOfMemory),
            ("fatal exception", Death::Oops),
        ];
        let reason = reason.to_ascii_lowercase();
        REASONS.iter().find(|(begin, _)| reason.starts_with(begin)).map_or(Self::Other, |(_, death)| *death)
    }
}

/// What no other detector speaks of: memory, requests, and reasons that are unknown here.
pub(crate) fn detect(facts: &Facts<'_>) -> Option<Neighbour> {
    let message = facts.state.panic.message.as_ref()?;
    let reason = message.strip_prefix(PANIC).unwrap_or(message);
    let place = place(facts);
    let (id, severity, mut summary) = match Death::of(facts) {
        Death::Requested => {
            (issue::CRASH_REQUESTED, Severity::Info, format!("somebody asked for this crash (sysrq-c){place}"))
        }
        Death::OutOfMemory => (
            issue::OUT_OF_MEMORY,
            Severity::Critical,
            format!("no memory was left, and the kernel panicked{place}: {reason}"),
        ),
        Death::Other => (issue::PANIC, Severity::Critical, format!("the kernel panicked{place}: {reason}")),
        _ => return None,
    };
    let mut evidence = vec![message_evidence(facts, message)];
    if id == issue::OUT_OF_MEMORY {
        evidence.extend(last_line(facts, " invoked oom-killer: ", "who asked for memory when none was left"));
        if let Some(eater) = oom::largest(facts) {
            let (pid, comm, mib) = (eater.pid, eater.comm, eater.resident_mib);
            summary = format!("{summary}; pid {pid} \"{comm}\" had the most of it, {mib} MiB");
            evidence.push(eater.evidence);
        }
    }
    Some((Confidence::Confirmed, Finding { id, severity, summary, evidence }))
}

/// ` on CPU 1 in pid 12 "name"`, as far as it is known.
pub(crate) fn place(facts: &Facts<'_>) -> String {
    let panic = &facts.state.panic;
    let cpu = panic.cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
    let task = panic.cpu.and_then(|cpu| facts.snapshot.current(facts.snapshot.cpu(cpu)?));
    let pid = match task {
        Some(task) => format!(" in {}", super::lock_text::pid(task)),
        None => panic.pid.map(|pid| format!(" in pid {pid}")).unwrap_or_default(),
    };
    format!("{cpu}{pid}")
}

/// The panic's first line.
pub(crate) fn message_evidence(facts: &Facts<'_>, message: &str) -> Evidence {
    let logged = facts.log.iter().find(|line| line.text.starts_with(message));
    let meaning = match logged {
        Some(line) => format!("logged {} after boot", seconds(line.timestamp_ns)),
        None => "the kernel's last words".to_owned(),
    };
    Evidence::new("kernel log", meaning).value(Value::Text(message.to_owned()))
}

fn last_line(facts: &Facts<'_>, holds: &str, meaning: &str) -> Option<Evidence> {
    let line = facts.log.iter().rev().find(|line| line.text.contains(holds))?;
    Some(Evidence::new("kernel log", meaning).value(Value::Text(line.text.clone())))
}
