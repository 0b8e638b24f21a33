//! What a kernel log alone tells of a hang.
//!
//! A log has no page tables and no run queues: it shows CPUs that copy to or from user memory, fault, and never come
//! back, but neither what the page-table entry is nor who should have run instead. So nothing here is more than probable.

#[cfg(test)]
mod tests;

mod cause;
mod copies;
mod cut;
mod harmless;
mod silent;
mod timeline;
mod words;

use vmcore_console::{Event, Extent, Kind, Log, PanicReason};
use vmcore_memory::VirtAddr;

use crate::known_issues::Source;
use crate::{Confidence, Issue, KnownIssue, Remedy, Verdict, known_issues};
use cause::{Cause, before, cause, waits_for_lock};
pub use copies::FaultingCopy;
use copies::{HUGE_PAGE, copies, may_share_process, most_on_one_page};
pub(crate) use harmless::report_alone;
pub use timeline::TimelineEntry;
use timeline::timeline;

/// What a log tells.
#[derive(Clone, Debug, PartialEq)]
pub struct LogDiagnosis {
    /// The answer: at most probable.
    pub verdict: Verdict,
    /// The copies that fault, one for each CPU, in the order of the log.
    pub copies: Vec<FaultingCopy>,
    /// What the kernel reported, in the order in which it did.
    pub timeline: Vec<TimelineEntry>,
    /// What a log cannot show, and what of this one could not be told.
    pub unknown: Vec<String>,
    /// The known bug that it looks like.
    pub known_issue: Option<KnownIssue>,
    /// What to do, most effective first.
    pub remedy: Vec<Remedy>,
    /// Whether it is about what was reported long before somebody asked for the crash, and may have been over.
    pub is_long_before_request: bool,
}

/// Judges a log.
#[must_use]
pub fn from_log(log: &Log) -> LogDiagnosis {
    from_log_in(Source::Text, log, None)
}

/// Judges the log in a dump of which nothing else can be read.
#[must_use]
pub fn from_log_in_dump(log: &Log) -> LogDiagnosis {
    from_log_in(Source::Dump, log, None)
}

/// Judges the log of a machine that stopped at `now_ns`, where that is known of more than the log.
pub(crate) fn from_log_until(log: &Log, now_ns: Option<u64>) -> LogDiagnosis {
    from_log_in(Source::Text, log, now_ns)
}

fn from_log_in(source: Source, log: &Log, now_ns: Option<u64>) -> LogDiagnosis {
    let copies = copies(log);
    let cause = cause(log);
    let release = log.machine.release.as_deref();
    let judged = verdict(log, cause.as_ref(), &copies);
    let verdict = cut::settle(silent::settle(harmless::settle(judged, cause.as_ref(), log, now_ns), log), log);
    let is_livelock = verdict.issue == Some(Issue::ThpLivelock);
    let (timeline, left_out) = timeline(log, cause.as_ref());
    LogDiagnosis {
        unknown: unknown(log, is_livelock.then_some(source), left_out),
        known_issue: verdict.issue.and_then(|issue| known_issues::known_issue(issue, release, None)),
        remedy: verdict.issue.map(|issue| remedy(issue, cause.as_ref(), release, source)).unwrap_or_default(),
        is_long_before_request: cause.as_ref().is_some_and(Cause::is_long_before_request),
        timeline,
        verdict,
        copies,
    }
}

fn verdict(log: &Log, cause: Option<&Cause<'_>>, copies: &[FaultingCopy]) -> Verdict {
    let together = most_on_one_page(copies);
    let locked_up = cause.is_some_and(is_locked_up);
    // Of those that only may be retried, two make no livelock beside a lockup that explains them as well.
    let clear = together.iter().filter(|copy| copy.works_in.is_none()).count();
    if together.len() >= 2 && (cause.is_none() || locked_up && clear > 0) {
        return livelock(log, &together, locked_up && clear >= 2);
    }
    if let Some(cause) = cause {
        let retried = copies.iter().filter(|copy| locked_up && copy.waits_in.is_none());
        let retried = retried.min_by_key(|copy| copy.works_in.is_some());
        return problem(cause, retried);
    }
    let reports = log.traces.iter().filter(|trace| trace.has_state()).count();
    let of_kind = |kind: Kind| log.events.iter().filter(|known| known.event.kind == kind).count();
    let short: Vec<&Event> =
        log.events.iter().map(|known| &known.event).filter(|event| event.is_short_stall()).collect();
    if let Some(stall) = short.first() {
        let summary = format!(
            "{}: that is no hang, but as little as some kernels are built to report. Nothing else is reported.",
            words::capital(&words::short(stall))
        );
        return Verdict { issue: Some(Issue::RcuStall), confidence: Confidence::Possible, summary };
    }
    if reports > 0 && of_kind(Kind::StateShown) > 0 {
        let summary = format!(
            "Somebody asked for the stacks of {reports} tasks or CPUs (sysrq); the kernel itself reports nothing wrong."
        );
        return Verdict { issue: None, confidence: Confidence::Insufficient, summary };
    }
    if reports > 0 {
        return Verdict { issue: None, confidence: Confidence::Insufficient, summary: headless(reports, copies) };
    }
    if log.extent.lines == 0 {
        return Verdict { issue: None, confidence: Confidence::Insufficient, summary: "The log is empty.".to_owned() };
    }
    if log.extent.kernel_lines == 0 {
        let summary = "This does not look like a kernel log: no line is in the kernel's format.".to_owned();
        return Verdict { issue: None, confidence: Confidence::Insufficient, summary };
    }
    let summary = format!(
        "No lockup, panic, oops, hung task, stall, warning or failing device is reported in {} lines. A machine can hang \
         without a word in its log.",
        log.extent.lines
    );
    Verdict { issue: None, confidence: Confidence::None, summary }
}

/// What the kernel reported itself.
fn problem(cause: &Cause<'_>, retried: Option<&FaultingCopy>) -> Verdict {
    let event = &cause.main.event;
    let mut summary = format!("{}.", words::summary(cause).trim_end_matches('.'));
    if let Some(before) = before(cause) {
        let when = before.timestamp_ns.map(|ns| format!(" (at {} s)", ns / 1_000_000_000)).unwrap_or_default();
        summary = format!("{summary} Before it{when}: {}.", words::short(&before.event).trim_end_matches('.'));
    }
    match retried.map(|copy| copy.works_in.as_deref()) {
        Some(None) => summary.push_str(
            " It was copying to or from user memory and faulting: it may be the huge-page livelock, which one CPU's report \
             does not show.",
        ),
        Some(Some(function)) => {
            summary = format!(
                "{summary} A copy to or from user memory faults, and its fault is at work in {function}: it may only take long."
            );
        }
        None => {}
    }
    if cause.main.is_over {
        summary.push_str(" That was over soon.");
    }
    if let Some(request) = cause.request {
        let still =
            if cause.is_long_before_request() { "; whether it was still like that, the log does not say" } else { "" };
        summary = format!("{summary} Then {}{still}.", words::request(&request.event));
    }
    if cause.others > 0 {
        let (are, reports) = if cause.others == 1 { ("is", "report") } else { ("are", "reports") };
        summary = format!("{summary} {} more {reports} {are} from other times: see the time line.", cause.others);
    }
    // It may have been the hardware.
    let is_nmi = event.panic_reason() == Some(PanicReason::Nmi) || event.is_unknown_nmi();
    // Some processors have such words in their banks whenever they are switched on.
    let is_left_over =
        cause.main.is_of_boot_before && event.is_polled_machine_check() && !event.is_enabled_machine_check();
    let confidence = if is_nmi || is_left_over { Confidence::Possible } else { Confidence::Probable };
    Verdict { issue: Some(issue_of(event)), confidence, summary }
}

/// What to do about an issue. Of a CPU that waits for a lock the question is not why its own interrupts are off.
fn remedy(issue: Issue, cause: Option<&Cause<'_>>, release: Option<&str>, source: Source) -> Vec<Remedy> {
    if issue == Issue::HardLockup && cause.is_some_and(|cause| waits_for_lock(&cause.main.event)) {
        return vec![Remedy {
            action:
                "find the CPU that holds the lock: look first at the stacks of those that are not about to take one \
                     themselves"
                    .to_owned(),
            command: None,
            why:
                "a CPU that waits for a lock with its interrupts off is the victim of whoever does not release it; who \
                  that is, a dump shows that is read with the kernel's debug information"
                    .to_owned(),
        }];
    }
    let panic = cause.and_then(|cause| cause.of(Kind::Panic).last()).map(|event| event.text.as_str());
    let mut remedies = known_issues::remedies_by_log(issue, release, source);
    remedies.extend(known_issues::setting_behind(issue, panic));
    remedies
}

/// The issue that a report is about.
pub(crate) fn issue_of(event: &Event) -> Issue {
    match event.kind {
        Kind::SoftLockup => Issue::SoftLockup,
        Kind::HardLockup => Issue::HardLockup,
        Kind::RcuStall | Kind::RcuStarved => Issue::RcuStall,
        Kind::HungTask => Issue::HungTask,
        Kind::WorkqueueLockup => Issue::WorkqueueLockup,
        Kind::UnansweredCall => Issue::UnansweredCall,
        Kind::Oops if event.is_sysrq_oops() => Issue::CrashRequested,
        Kind::Oops => Issue::Oops,
        Kind::CrashRequested => Issue::CrashRequested,
        Kind::Panic => panic_issue(event.panic_reason()),
        Kind::OutOfMemory | Kind::CgroupOutOfMemory => Issue::OutOfMemory,
        Kind::AllocationFailure => Issue::AllocationFailure,
        Kind::IoError | Kind::IoTimeout => Issue::IoError,
        Kind::Filesystem => Issue::FilesystemError,
        Kind::NetTimeout => Issue::NetworkTimeout,
        Kind::InitStopped => Issue::InitStopped,
        Kind::Hardware | Kind::CorrectedHardware => Issue::HardwareError,
        Kind::Warning | Kind::Lockdep | Kind::Sanitizer | Kind::Corruption => Issue::Warning,
        Kind::Backtrace | Kind::Task | Kind::StateShown | Kind::CutHere => Issue::Warning,
    }
}

/// A report in one sentence.
pub(crate) fn in_words(event: &Event) -> String {
    words::capital(&words::short(event))
}

/// By the watchdog that panicked, where one did.
const fn panic_issue(reason: Option<PanicReason>) -> Issue {
    match reason {
        Some(PanicReason::SoftLockup) => Issue::SoftLockup,
        Some(PanicReason::HardLockup) => Issue::HardLockup,
        Some(PanicReason::RcuStall) => Issue::RcuStall,
        Some(PanicReason::WorkqueueStall) => Issue::WorkqueueLockup,
        Some(PanicReason::OutOfMemory) => Issue::OutOfMemory,
        Some(PanicReason::Oops) => Issue::Oops,
        Some(PanicReason::HungTask) => Issue::HungTask,
        Some(PanicReason::Requested | PanicReason::Nmi) => Issue::CrashRequested,
        Some(PanicReason::Hardware) => Issue::HardwareError,
        Some(PanicReason::Watchdog | PanicReason::Warning | PanicReason::Other) | None => Issue::Panic,
    }
}

/// Reports without the lines that say what they are about.
fn headless(reports: usize, copies: &[FaultingCopy]) -> String {
    let what = if reports == 1 { "is 1 report of a CPU".to_owned() } else { format!("are {reports} reports of CPUs") };
    let copy = copies.first().map(|copy| {
        format!(
            " One shows a CPU that faults in a copy at the user address {:#x}: it may be the huge-page livelock.",
            copy.address
        )
    });
    format!(
        "There {what} here, but the lines that say why the kernel printed them are missing.{}",
        copy.unwrap_or_default()
    )
}

/// Whether the story is that of a CPU that is locked up softly, and of nothing that such a lockup follows from.
fn is_locked_up(cause: &Cause<'_>) -> bool {
    let says = |event: &Event| event.kind == Kind::SoftLockup || event.panic_reason() == Some(PanicReason::SoftLockup);
    let follows = matches!(cause.main.event.kind, Kind::HardLockup | Kind::Oops);
    !follows && cause.story.iter().any(|known| says(&known.event))
}

fn livelock(log: &Log, copies: &[&FaultingCopy], locked_up: bool) -> Verdict {
    let release = log.machine.release.as_deref();
    let known = known_issues::known_issue(Issue::ThpLivelock, release, None);
    let is_fixed = known.is_some_and(|known| known.in_this_kernel == Some(false));
    let of_one = may_share_process(copies);
    let confidence = if locked_up && !is_fixed && of_one { Confidence::Probable } else { Confidence::Possible };
    let first = copies.first().map_or(VirtAddr::new(0), |copy| copy.address);
    let same = copies.iter().all(|copy| copy.address == first);
    let place = match same {
        true => format!("at the same user address {first:#x}"),
        false => {
            let start = VirtAddr::new(first.get() / HUGE_PAGE * HUGE_PAGE);
            format!("in the same 2 MiB of user memory at {start:#x}")
        }
    };
    let lockup = if locked_up {
        "and the watchdog found a CPU locked up"
    } else if let Some(function) = copies.iter().find_map(|copy| copy.works_in.as_deref()) {
        &format!("but one is at work in {function}, which a fault that is retried does not run")
    } else {
        "and why they were reported is not in the log"
    };
    let whose = if of_one {
        ""
    } else {
        " But they are of several processes, which have a page in common only after a fork or in shared memory."
    };
    let fixed =
        if is_fixed { " By its release this kernel has the fix of that bug, so it may be another one." } else { "" };
    let summary = format!(
        "{} CPUs fault again and again in copies {place}, {lockup}: this is the pattern of CPUs waiting for a huge page whose \
         splitter cannot run. Who splits it, a log does not show.{whose}{fixed}",
        copies.len()
    );
    Verdict { issue: Some(Issue::ThpLivelock), confidence, summary }
}

/// What a log cannot show; of a livelock it depends on where the log is from.
fn unknown(log: &Log, livelock_in: Option<Source>, left_out: u64) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(source) = livelock_in {
        let needs = match source {
            Source::Text => "the run queues and page tables of a dump (`vmcore-thp analyze`)",
            Source::Dump => "this dump's run queues and page tables, which cannot be read without debug information",
        };
        unknown.push(format!("who splits the huge page and why it cannot run: that needs {needs}"));
    }
    unknown.extend(silent::unknown(log));
    let unnamed = log.traces.iter().filter(|trace| trace.cpu.is_none() && trace.has_state()).count();
    let mut count = |number: u64, what: &str, which: &str| match number {
        0 => {}
        1 => unknown.push(format!("1 {what} {which}")),
        _ => unknown.push(format!("{number} {what}s {which}")),
    };
    let Extent { lines_of_other_boots, unattributed_lines, cut_lines, dropped_traces, .. } = log.extent;
    count(
        lines_of_other_boots,
        "line",
        "from other boots (this report covers the boot with the worst report, else the last that ended without a word, \
         else the last)",
    );
    count(unnamed as u64, "report", "whose CPU is not known: the lines that name it are missing");
    count(unattributed_lines, "line", "of reports that fit no CPU's report");
    let are_cut = if cut_lines == 1 { "that was too long and was cut" } else { "that were too long and were cut" };
    count(cut_lines, "line", are_cut);
    count(dropped_traces, "report", "between the first and the latest that are kept");
    count(left_out, "report", "that the time line leaves out");
    count(log.extent.lost_messages, "message", "that the kernel printed and the console lost");
    count(log.extent.dropped_events, "event", "between the first and the latest that are kept, none graver than those");
    unknown
}
