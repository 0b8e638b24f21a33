//! Findings beside the livelock, each with what must not be one.

#![allow(clippy::panic, reason = "a test says what it found")]

mod neighbours_support;
mod support;

use neighbours_support::*;
use vmcore_diagnose::{Confidence, Diagnosis, Finding, Severity, issue};
use vmcore_kernel::{LockKind, Owner};

fn finding<'d>(diagnosis: &'d Diagnosis, id: &str) -> &'d Finding {
    let ids: Vec<_> = diagnosis.findings.iter().map(|finding| finding.id).collect();
    diagnosis.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id} in {ids:?}"))
}

fn ids(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.findings.iter().map(|finding| finding.id).collect()
}

fn verdict(diagnosis: &Diagnosis) -> (Option<&'static str>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

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
fn a_null_pointer_names_function_and_address() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::OOPS), Confidence::Confirmed));
    for part in ["read_value+0x10 [driver]", "reads 0x18 through a NULL pointer", "on CPU 0 in pid 20"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
}

#[test]
fn an_exception_that_nobody_died_of_is_no_oops() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), [issue::CRASH_REQUESTED]);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn an_oops_without_registers_is_known_by_the_log_alone() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    machine.running.clear();
    machine.log("RIP: 0010:read_value+0x10/0x20 [driver]");
    let diagnosis = machine.judge();
    let oops = finding(&diagnosis, issue::OOPS);
    assert!(oops.evidence.iter().any(|evidence| evidence.meaning == "where it was"), "{:?}", oops.evidence);
    assert_ne!(verdict(&diagnosis).1, Confidence::Confirmed);
}

#[test]
fn reasons_to_panic_have_their_own_names() {
    let expected = [
        ("Out of memory: system-wide panic_on_oom is enabled", Some(issue::OUT_OF_MEMORY)),
        ("VFS: Unable to mount root fs", Some(issue::PANIC)),
        ("sysrq triggered crash", None),
    ];
    for (reason, issue) in expected {
        let mut machine = Machine::new();
        machine.panic(&format!("Kernel panic - not syncing: {reason}"), 0);
        assert_eq!(verdict(&machine.judge()).0, issue, "{reason}");
    }
}

#[test]
fn a_crash_on_request_is_no_fault_but_what_it_shows_is() {
    let mut machine = Machine::new();
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    machine.sleeper(10, 130 * SECOND);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::HUNG_TASK), Confidence::Confirmed));
    assert_eq!(finding(&diagnosis, issue::CRASH_REQUESTED).severity, Severity::Info);
}

#[test]
fn what_explains_the_panic_comes_before_what_does_not() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(10));
    machine.panic("Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis).0, Some(issue::OUT_OF_MEMORY));
    assert_eq!(ids(&diagnosis), [issue::DEADLOCK, issue::OUT_OF_MEMORY]);
}

#[test]
fn no_neighbour_masks_the_livelock() {
    let mut machine = Machine::livelock();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 130 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.panic("Kernel panic - not syncing: hung_task: blocked tasks", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::THP_LIVELOCK), Confidence::Confirmed));
    assert_eq!(ids(&diagnosis), [issue::DEADLOCK, issue::HUNG_TASK]);
}
