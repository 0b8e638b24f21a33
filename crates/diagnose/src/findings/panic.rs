//! How the kernel died, by what it said, where no other detector speaks of it: no memory, a request, and reasons that are
//! unknown here.

use vmcore_console::{Kind, Occurrence, PanicReason, largest_process, panic_message};

use super::{Context, Found};
use crate::describe::{OF_NMI, died_on};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Severity, Value};

const PAGE_KIB: u64 = 4;

/// The finding about the panic itself.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let facts = context.facts;
    let Some(message) = facts.state.panic.message.as_ref() else { return Found::default() };
    let reason = panic_message(message).unwrap_or(message);
    let on = died_on(facts);
    let mut evidence = vec![message_evidence(facts, message)];
    let (issue, summary) = match facts.death() {
        Some(PanicReason::Requested) => (Issue::CrashRequested, format!("somebody asked for this crash (sysrq-c){on}")),
        // What was wrong is for the other detectors to say; where none does, it may have been the hardware.
        Some(PanicReason::Nmi) => {
            let summary = format!("the kernel panicked{on} {OF_NMI} ({reason})");
            let finding = Finding::new(Issue::CrashRequested, Confidence::Possible, summary, evidence);
            return finding.with_severity(Severity::Critical).from_log(true).into();
        }
        Some(PanicReason::OutOfMemory) => {
            let (more, eater) = memory(facts);
            evidence.extend(more);
            (Issue::OutOfMemory, format!("no memory was left, and the kernel panicked{on}: {reason}{eater}"))
        }
        Some(PanicReason::Hardware) => {
            (Issue::HardwareError, format!("the kernel panicked{on} for an error of the hardware: {reason}"))
        }
        // What the watchdog found, the log tells better.
        Some(PanicReason::WorkqueueStall) if facts.reports_of(Kind::WorkqueueLockup).next().is_none() => (
            Issue::WorkqueueLockup,
            format!("work was queued for too long, for which the kernel panicked{on}: {reason}"),
        ),
        Some(PanicReason::Watchdog) => {
            (Issue::Panic, format!("the kernel panicked{on}, as no program had reset a watchdog in time: {reason}"))
        }
        Some(PanicReason::Other | PanicReason::Warning) => (Issue::Panic, format!("the kernel panicked{on}: {reason}")),
        _ => return Found::default(),
    };
    Finding::new(issue, Confidence::Confirmed, summary, evidence).from_log(true).into()
}

/// Who asked for memory when none was left, and who had most of it.
fn memory(facts: &Facts<'_>) -> (Vec<Evidence>, String) {
    let mut evidence = Vec::new();
    // The last report is of who asked, and found nobody left to be killed.
    // A kernel may also be made to panic for the memory of a control group.
    let asks = |known: &&Occurrence| matches!(known.event.kind, Kind::OutOfMemory | Kind::CgroupOutOfMemory);
    let asked = facts.reports.events.iter().rfind(asks).and_then(|asked| facts.line(asked));
    evidence.extend(
        asked.map(|line| Evidence::new("kernel log", "when no memory was left").value(Value::Text(line.text.clone()))),
    );
    let lines: Vec<_> = facts.log.iter().map(|line| line.text.as_str()).collect();
    let Some(row) = largest_process(&lines) else { return (evidence, String::new()) };
    let meaning = format!("pid {} had the most memory: {} pages", row.pid, row.pages);
    let text = lines.get(row.line).copied().unwrap_or_default().to_owned();
    evidence.push(Evidence::new("kernel log", meaning).value(Value::Text(text)));
    let mib = row.pages.saturating_mul(PAGE_KIB) / 1024;
    (evidence, format!("; pid {} \"{}\" had the most of it, {mib} MiB", row.pid, row.comm))
}

/// The panic's first line.
pub(super) fn message_evidence(facts: &Facts<'_>, message: &str) -> Evidence {
    let mut said =
        facts.reports_of(Kind::Panic).chain(facts.reports_of(Kind::Oops)).filter_map(|known| facts.line(known));
    let meaning = match said.find(|line| line.text.starts_with(message)) {
        Some(line) => format!("logged {} after boot", seconds(line.timestamp_ns)),
        None => "the kernel's last words".to_owned(),
    };
    Evidence::new("kernel log", meaning).value(Value::Text(message.to_owned()))
}
