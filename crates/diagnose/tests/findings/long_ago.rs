//! What the log tells of long ago.

use crate::*;

const REPORTS: [(&str, Issue); 3] = [
    ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 34s!", Issue::WorkqueueLockup),
    ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [foo:77]", Issue::SoftLockup),
    ("INFO: task foo:77 blocked for more than 120 seconds.", Issue::HungTask),
];

/// A machine that is up for hours, and whose log has had this line since this time.
fn reported(line: &str, at: u64) -> Machine {
    let mut machine = Machine::new();
    machine.later(10_000 * SECOND);
    machine.log_at(line, at);
    machine
}

#[test]
fn what_was_reported_long_ago_says_when_and_hides_nothing() {
    for (line, issue) in REPORTS {
        let mut machine = reported(line, 100 * SECOND);
        machine.runs(0, 30, &[], 10);
        let current = machine.task(30);
        current.last_arrival_ns = Some(NOW + 9_999 * SECOND);
        let alone = machine.judge();
        let report = finding(&alone, issue);
        assert_eq!(report.severity, Severity::Warning, "{issue:?}");
        assert!(report.summary.contains("reported 10100.0 s before the machine stopped"), "{}", report.summary);
        assert_eq!(alone.verdict.issue, Some(issue));
        // Now a real-time task keeps another one waiting, perhaps.
        let mut machine = reported(line, 100 * SECOND);
        machine.queued(40, 0, 8 * SECOND);
        machine.task(40).last_queued_ns = Some(NOW + 9_992 * SECOND);
        let now = machine.judge();
        assert_eq!(verdict(&now), (Some(Issue::Starvation), Confidence::Possible), "{issue:?}");
    }
}

#[test]
fn a_workqueue_lockup_of_a_moment_ago_is_what_it_was() {
    let (line, issue) = REPORTS[0];
    let recent = reported(line, NOW + 9_900 * SECOND).judge();
    assert_eq!(verdict(&recent), (Some(issue), Confidence::Probable));
    assert_eq!(finding(&recent, issue).severity, Severity::Critical);
}
