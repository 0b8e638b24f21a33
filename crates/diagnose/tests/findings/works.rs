//! Works that are flushed and not done.

use vmcore_kernel::Source;

use crate::*;

const WORK: VirtAddr = VirtAddr::new(0xffff_8880_0a00_0000);

fn doing(worker: i32) -> AwaitedWork {
    AwaitedWork::Doing {
        work: WORK,
        function: Some("do_the_work".to_owned()),
        worker: task_address(worker),
        current_work_at: Source {
            type_name: Some("worker"),
            path: "current_work",
            address: VirtAddr::new(0xffff_8880_0a00_1000),
        },
    }
}

#[test]
fn a_work_that_is_not_done_names_its_worker_and_what_that_does() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits_for_work(10, doing(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::WorkNotDone), Confidence::Confirmed));
    let summary = &finding(&diagnosis, Issue::WorkNotDone).summary;
    for part in ["(do_the_work)", "its worker pid 12", "sleeps (S) in wait_for_hardware", "for up to 130.0 s: pid 10"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    let hung = &finding(&diagnosis, Issue::HungTask).summary;
    assert!(hung.contains("for work 0xffff88800a000000 (do_the_work)"), "{hung}");
    let kinds: Vec<_> = diagnosis.graph.edges().iter().map(|edge| edge.kind).collect();
    assert_eq!(kinds, [EdgeKind::WaitsForWork, EdgeKind::DoneBy]);
    assert_eq!(diagnosis.graph.shapes(), []);
}

#[test]
fn who_flushes_a_work_that_needs_its_lock_is_in_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits_for_work(10, doing(11));
    machine.sleeper(11, 6 * SECOND).waits(11, LockKind::Mutex, LOCK_A, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Deadlock), Confidence::Confirmed));
    let deadlock = finding(&diagnosis, Issue::Deadlock);
    for part in
        ["2 tasks wait for each other,", "waits for work", "done by pid 11", "waits for mutex", "held by pid 10"]
    {
        assert!(deadlock.summary.contains(part), "{part} in {}", deadlock.summary);
    }
    assert!(deadlock.evidence.iter().all(|evidence| evidence.place.is_some() && evidence.value.is_some()));
    let shapes = diagnosis.graph.shapes();
    assert_eq!(shapes.iter().map(|shape| shape.kind).collect::<Vec<_>>(), [ShapeKind::Deadlock]);
}

#[test]
fn a_work_that_takes_its_time_is_no_finding() {
    let mut machine = Machine::new();
    machine.sleeper(10, 59 * SECOND).waits_for_work(10, doing(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), []);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn a_work_that_nobody_has_begun_or_that_is_not_known_leads_to_an_unknown_node() {
    let queued = AwaitedWork::Queued { work: WORK, function: None };
    let unknown = AwaitedWork::Unknown("its worker is between two works".to_owned());
    for (work, expected) in [(queued, Some(Issue::WorkNotDone)), (unknown, Some(Issue::HungTask))] {
        let mut machine = Machine::new();
        machine.sleeper(10, 130 * SECOND).waits_for_work(10, work);
        let diagnosis = machine.judge();
        assert_eq!(diagnosis.verdict.issue, expected);
        assert!(diagnosis.graph.edges().iter().any(|edge| edge.to.is_unknown()), "{:?}", diagnosis.graph.edges());
    }
}
