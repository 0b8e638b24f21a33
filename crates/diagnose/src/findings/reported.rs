//! What the log says and no structure of the kernel shows: an exception that the kernel survived, a stall that is over, a
//! panic by a watchdog of whose evidence nothing is left, a file system that gave up.
//!
//! The log is judged as `log` judges one that comes without a dump ([`from_log`](crate::from_log)), so that no dump is called
//! healthy of whose log it is said that it is not. That is one finding; each other kind of problem that the kernel reported
//! is one more, of no consequence for the verdict.
//!
//! Control: lines that programs wrote to `/dev/kmsg`, and reports that another detector explains.

use vmcore_console::{Kind, Occurrence};

use super::{Context, Found};
use crate::{Confidence, Facts, Finding, Issue, Severity, derived, exception, from_log, reports};

/// What the log says.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let facts = context.facts;
    // Before 5.10 sysrq-c is an exception that is caused on purpose.
    let by_sysrq = exception::by_sysrq(facts);
    let of_request = |known: &Occurrence| by_sysrq && known.event.kind == Kind::Oops;
    let problems = || facts.reports.events.iter().filter(|known| known.event.kind.is_problem() && !of_request(known));
    let mut findings: Vec<Finding> = Vec::new();
    let from_log::LogDiagnosis { verdict: judged, is_long_before_request, .. } =
        from_log::from_log_until(&facts.reports, derived::now_ns(facts));
    let asked_only = by_sysrq && judged.issue == Some(Issue::Oops);
    // Whoever could look at the page tables knows more of the livelock than the log.
    let is_known = judged.issue == Some(Issue::ThpLivelock) && context.livelock != Confidence::Insufficient;
    if let Some(issue) = judged.issue.filter(|_| !asked_only && !is_known) {
        let of_issue = || problems().filter(|known| from_log::issue_of(&known.event) == issue);
        let evidence = of_issue().take(MAX_LINES).filter_map(|known| reports::evidence(facts, known)).collect();
        let summary = from_log::report_alone(&judged.summary).trim_end_matches('.').to_owned();
        let is_over = is_long_before_request && !lasts(issue);
        let severity =
            if is_over { Severity::Info } else { severity(facts, issue, judged.confidence, of_issue().next_back()) };
        let confidence =
            if judged.confidence == Confidence::Possible { Confidence::Possible } else { Confidence::Probable };
        let last =
            of_issue().next_back().filter(|last| severity == Severity::Warning && has_passed(facts, issue, Some(last)));
        let reported = of_issue().next_back().filter(|last| reports::is_long_ago(facts, last));
        let ago = reported.map(|last| reports::ago(facts, last)).unwrap_or_default();
        let finding = Finding::new(issue, confidence, summary + &ago, evidence).with_severity(severity);
        findings.push(finding.long_ago(last.is_some()));
    }
    for known in problems() {
        let issue = from_log::issue_of(&known.event);
        if findings.iter().all(|finding| finding.issue != issue) {
            let evidence = reports::evidence(facts, known).into_iter().collect();
            let summary = from_log::in_words(&known.event);
            // What is said best by another report is no verdict of its own.
            findings.push(Finding::new(issue, Confidence::Possible, summary, evidence).with_severity(Severity::Info));
        }
    }
    let reported = |finding: Finding| Finding { is_from_log: true, only_reported: true, ..finding };
    findings.into_iter().map(reported).collect::<Vec<_>>().into()
}

/// Of anything else the machine itself shows whether it is still so when somebody asks for the crash.
const fn lasts(issue: Issue) -> bool {
    matches!(issue, Issue::FilesystemError | Issue::HardwareError)
}

/// More lines show no more.
const MAX_LINES: usize = 8;

/// Whether the last report of what passes was long before the machine stopped.
fn has_passed(facts: &Facts<'_>, issue: Issue, last: Option<&Occurrence>) -> bool {
    let passes = matches!(
        issue,
        Issue::Oops
            | Issue::SoftLockup
            | Issue::HardLockup
            | Issue::RcuStall
            | Issue::HungTask
            | Issue::WorkqueueLockup
            | Issue::IoError
            | Issue::NetworkTimeout
            | Issue::OutOfMemory
    );
    passes && last.is_some_and(|last| reports::is_long_ago(facts, last))
}

/// What explains a panic is as grave as that; of what is harmless no machine is called ill. What the machine survived explains
/// nothing that it is seen to suffer from.
fn severity(facts: &Facts<'_>, issue: Issue, judged: Confidence, last: Option<&Occurrence>) -> Severity {
    let died = facts.death().is_some_and(|death| !death.is_from_outside());
    match judged {
        Confidence::None => Severity::Info,
        _ if died && issue.explains(facts.death()) => Severity::Critical,
        Confidence::Probable if has_passed(facts, issue, last) => Severity::Warning,
        _ => issue.definition().severity.max(Severity::Warning),
    }
}
