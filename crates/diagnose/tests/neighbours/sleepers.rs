//! Tasks that sleep for too long, and for whom.

use crate::*;

#[test]
fn a_circle_of_mutexes_is_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.sleeper(12, 5 * SECOND).waits(12, LockKind::Mutex, LOCK_B, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::DEADLOCK), Confidence::Confirmed));
    let deadlock = finding(&diagnosis, issue::DEADLOCK);
    for part in ["2 tasks", "pid 10 \"comm10\" waits for mutex", "held by pid 11", "pid 11 \"comm11\" waits"] {
        assert!(deadlock.summary.contains(part), "{part} in {}", deadlock.summary);
    }
    assert!(!deadlock.summary.contains("pid 12"), "{}", deadlock.summary);
    assert!(deadlock.evidence.iter().all(|evidence| evidence.place.is_some() && evidence.value.is_some()));
}

#[test]
fn the_stacks_of_who_waits_are_shown_and_what_to_do_is_said() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.sleeper(12, 7 * SECOND);
    let pids: Vec<_> = machine.tasks.iter().map(|task| task.pid).collect();
    let diagnosis = machine.judge();
    let shown: Vec<_> = diagnosis.stacks.iter().map(|stack| pids[stack.task]).collect();
    assert_eq!(shown, [0, 0, 10, 11]);
    assert_eq!(diagnosis.remedy.len(), 1);
    assert!(Machine::new().judge().remedy.is_empty());
}

#[test]
fn who_can_be_killed_is_not_hung() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND);
    machine.tasks.last_mut().unwrap().state = TaskState { state: 0x102, exit_state: 0 };
    assert_eq!(ids(&machine.judge()), [""; 0]);
}

#[test]
fn a_chain_of_mutexes_is_no_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(12));
    machine.sleeper(12, SECOND);
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), [""; 0]);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn a_task_that_waits_for_its_own_lock_is_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::RwSemaphore, LOCK_A, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::DEADLOCK), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("has itself"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_circle_through_readers_is_only_probable() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::RwSemaphore, LOCK_A, read_by(2, 11));
    machine.sleeper(11, SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    assert_eq!(verdict(&machine.judge()), (Some(issue::DEADLOCK), Confidence::Probable));
}

#[test]
fn a_lock_that_is_held_too_long_names_its_owner_and_what_that_does() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::LOCK_HELD), Confidence::Confirmed));
    let held = finding(&diagnosis, issue::LOCK_HELD);
    for part in ["held by pid 12", "sleeps (S) in wait_for_hardware", "for up to 130.0 s: pid 10"] {
        assert!(held.summary.contains(part), "{part} in {}", held.summary);
    }
    assert_eq!(ids(&diagnosis), [issue::LOCK_HELD, issue::HUNG_TASK]);
}

#[test]
fn the_end_of_a_chain_comes_first() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 131 * SECOND).waits(11, LockKind::RwSemaphore, LOCK_B, read_by(1, 12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::LOCK_HELD), Confidence::Probable));
    assert!(diagnosis.verdict.summary.starts_with("rw_semaphore"), "{}", diagnosis.verdict.summary);
    let first = diagnosis.findings.iter().rfind(|finding| finding.id == issue::LOCK_HELD).unwrap();
    assert!(first.summary.contains("at the end of the chain, pid 12"), "{}", first.summary);
}

#[test]
fn ordinary_contention_is_no_finding() {
    for waited in [0, SECOND, 119 * SECOND] {
        let mut machine = Machine::new();
        machine.sleeper(10, waited).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
        machine.asleep_in(12, "wait_for_hardware");
        assert_eq!(ids(&machine.judge()), [""; 0], "{waited}");
    }
}

#[test]
fn the_kernels_own_limit_counts() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND);
    machine.state.hung_task_timeout_ns = Some(5 * SECOND);
    assert_eq!(ids(&machine.judge()), [issue::HUNG_TASK]);
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND);
    // Switched off: then the default.
    machine.state.hung_task_timeout_ns = Some(0);
    assert_eq!(ids(&machine.judge()), [""; 0]);
}

#[test]
fn a_lock_without_a_known_owner_is_only_probable() {
    let mut machine = Machine::new();
    let unknown = Owner::Unknown("its owner cannot be read".to_owned());
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, unknown);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::LOCK_HELD), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("holder not known"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_lock_that_cannot_be_told_is_said_to_be_one() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND);
    machine.blocked[0] = support::stack(machine.blocked[0].task, 10, &["__schedule", "__mutex_lock.isra.0", "driver"]);
    let summary = machine.judge().verdict.summary;
    assert!(summary.contains("for a lock that could not be told, in driver"), "{summary}");
}

#[test]
fn a_deadlock_is_a_circle_in_the_graph() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    let graph = machine.judge().graph;
    let kinds: Vec<_> = graph.shapes().iter().map(|shape| shape.kind).collect();
    assert_eq!(kinds, [vmcore_diagnose::graph::ShapeKind::Deadlock]);
}
