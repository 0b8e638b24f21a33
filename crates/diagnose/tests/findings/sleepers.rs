//! Tasks that sleep for too long, and for whom.

use crate::*;

#[test]
fn a_circle_of_mutexes_is_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.sleeper(12, 5 * SECOND).waits(12, LockKind::Mutex, LOCK_B, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Deadlock), Confidence::Confirmed));
    let deadlock = finding(&diagnosis, Issue::Deadlock);
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
fn who_can_be_killed_is_only_probably_hung_and_a_parent_in_vfork_is_not() {
    let killable = |function: &str, for_ns: u64| killable_in(&[function], for_ns);
    let nfs = killable("rpc_wait_bit_killable", 130 * SECOND);
    assert_eq!(verdict(&nfs), (Some(Issue::HungTask), Confidence::Probable));
    assert!(nfs.verdict.summary.contains("rpc_wait_bit_killable"), "{}", nfs.verdict.summary);
    assert_eq!(ids(&killable("rpc_wait_bit_killable", 100 * SECOND)), []);
    assert_eq!(ids(&killable("wait_for_vfork_done", 130 * SECOND)), []);
    // Without a vmlinux: inlined, and the system call under another of its names.
    assert_eq!(ids(&killable("__ia32_sys_vfork", 130 * SECOND)), []);
    let spawn = ["wait_for_completion_state", "kernel_clone", "__do_sys_clone3"];
    assert_eq!(ids(&killable_in(&spawn, 130 * SECOND)), []);
}

/// A task that sleeps so that it can be killed, in these functions.
fn killable_in(functions: &[&str], for_ns: u64) -> Diagnosis {
    let mut machine = Machine::new();
    machine.killable(10, for_ns);
    let stack = [&["__schedule", "schedule"], functions].concat();
    machine.blocked[0] = support::stack(machine.blocked[0].task, 10, &stack);
    machine.judge()
}

#[test]
fn who_is_frozen_is_not_hung() {
    let frozen = |state: u64, function: &str| {
        let mut machine = Machine::new();
        machine.sleeper(10, 180 * SECOND);
        machine.tasks.last_mut().unwrap().state = TaskState { state, exit_state: 0 };
        machine.blocked[0] = support::stack(machine.blocked[0].task, 10, &["__schedule", "schedule", function]);
        ids(&machine.judge())
    };
    assert_eq!(frozen(0x8000, "schedule_timeout"), []);
    assert_eq!(frozen(2, "__refrigerator"), []);
    assert_eq!(frozen(2, "schedule_timeout"), [Issue::HungTask]);
}

/// Threads wait in `do_exit()` while their process dumps core.
#[test]
fn who_is_left_out_by_the_freezer_is_not_hung_but_may_wait_for_a_dead_server() {
    let left_out = |sleeps: fn(&mut Machine, i32, u64) -> &mut Machine| {
        let mut machine = Machine::new();
        sleeps(&mut machine, 10, 190 * SECOND).state.left_out.insert(task_address(10));
        ids(&machine.judge())
    };
    assert_eq!(left_out(Machine::sleeper), []);
    assert_eq!(left_out(Machine::killable), [Issue::HungTask]);
}

#[test]
fn whoever_asks_for_a_crash_saw_a_hang() {
    let asked = |for_ns: u64, message: Option<&str>| {
        let mut machine = Machine::new();
        machine.sleeper(10, for_ns);
        message.into_iter().for_each(|message| machine.panic(message, 0));
        verdict(&machine.judge())
    };
    let sysrq = Some("Kernel panic - not syncing: sysrq triggered crash");
    assert_eq!(asked(100 * SECOND, sysrq), (Some(Issue::HungTask), Confidence::Probable));
    assert_eq!(asked(130 * SECOND, sysrq), (Some(Issue::HungTask), Confidence::Confirmed));
    assert_eq!(asked(9 * SECOND, sysrq), (Some(Issue::CrashRequested), Confidence::None));
    // From outside, without a word: a machine with much to do looks the same for a while.
    assert_eq!(asked(100 * SECOND, None), (Some(Issue::HungTask), Confidence::Probable));
    assert_eq!(asked(59 * SECOND, None), (None, Confidence::None));
    let other = Some("Kernel panic - not syncing: VFS: Unable to mount root fs");
    assert_eq!(asked(100 * SECOND, other), (Some(Issue::Panic), Confidence::Confirmed));
}

#[test]
fn a_chain_of_mutexes_is_no_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(12));
    machine.sleeper(12, SECOND);
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), []);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn a_task_that_waits_for_its_own_lock_is_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::RwSemaphore, LOCK_A, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Deadlock), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("has itself"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_circle_through_readers_is_only_probable() {
    let waiting_for = |time| {
        let mut machine = Machine::new();
        machine.sleeper(10, time).waits(10, LockKind::RwSemaphore, LOCK_A, read_by(2, 11));
        machine.sleeper(11, time).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
        verdict(&machine.judge())
    };
    assert_eq!(waiting_for(70 * SECOND), (Some(Issue::Deadlock), Confidence::Probable));
    assert_eq!(waiting_for(20 * SECOND), (Some(Issue::Deadlock), Confidence::Possible));
    // The last that came may have left, and another reader is about to.
    assert_eq!(waiting_for(SECOND), (None, Confidence::None));
}

/// A fault reads `mmap_lock`, and the next system call of the same task writes it, while another's fault has it.
#[test]
fn who_read_a_lock_and_asks_to_write_it_is_no_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, 20 * SECOND).waits(10, LockKind::RwSemaphore, LOCK_A, read_by(1, 10));
    let diagnosis = machine.judge();
    assert!(!ids(&diagnosis).contains(&Issue::Deadlock), "{:?}", ids(&diagnosis));
    assert!(diagnosis.graph.edges().iter().any(|edge| edge.kind == EdgeKind::ReadBy && edge.to.is_unknown()));
}

#[test]
fn a_lock_that_is_held_too_long_names_its_owner_and_what_that_does() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::LockHeld), Confidence::Confirmed));
    let held = finding(&diagnosis, Issue::LockHeld);
    for part in ["held by pid 12", "sleeps (S) in wait_for_hardware", "for up to 130.0 s: pid 10"] {
        assert!(held.summary.contains(part), "{part} in {}", held.summary);
    }
    assert_eq!(ids(&diagnosis), [Issue::LockHeld, Issue::HungTask]);
}

#[test]
fn the_end_of_a_chain_comes_first() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 131 * SECOND).waits(11, LockKind::RwSemaphore, LOCK_B, read_by(1, 12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::LockHeld), Confidence::Probable));
    assert!(diagnosis.verdict.summary.starts_with("Rw_semaphore"), "{}", diagnosis.verdict.summary);
    let first = diagnosis.findings.iter().rfind(|finding| finding.issue == Issue::LockHeld).unwrap();
    assert!(first.summary.contains("at the end of the chain, pid 12"), "{}", first.summary);
}

#[test]
fn ordinary_contention_is_no_finding() {
    for waited in [0, SECOND, 59 * SECOND] {
        let mut machine = Machine::new();
        machine.sleeper(10, waited).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
        machine.asleep_in(12, "wait_for_hardware");
        assert_eq!(ids(&machine.judge()), [], "{waited}");
    }
}

#[test]
fn the_kernels_own_limit_counts() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND);
    machine.state.limits.hung_task = Some(5 * SECOND);
    assert_eq!(ids(&machine.judge()), [Issue::HungTask]);
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND);
    // Switched off: then the default.
    machine.state.limits.hung_task = None;
    assert_eq!(ids(&machine.judge()), []);
}

#[test]
fn a_lock_without_a_known_owner_is_only_probable() {
    let mut machine = Machine::new();
    let unknown = Owner::Unknown("its owner cannot be read".to_owned());
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, unknown);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::LockHeld), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("held, by whom is not known"), "{}", diagnosis.verdict.summary);
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

/// A task that has been asleep for so long in this function, and a disk that has had a request for so long.
fn late_disk(function: &str, asleep: u64, age_ns: u64) -> Diagnosis {
    let mut machine = Machine::new();
    machine.sleeper(10, asleep);
    machine.blocked[0] =
        support::stack(machine.blocked[0].task, 10, &["__schedule", "schedule", "io_schedule", function]);
    machine.state.late_disks.push(disk_that_is_late(age_ns));
    machine.judge()
}

pub(super) fn disk_that_is_late(age_ns: u64) -> LateDisk {
    let word = |path| Source { type_name: Some("request"), path, address: VirtAddr::new(0xffff_8880_0c00_0000) };
    LateDisk {
        name: "vda".to_owned(),
        requests: 3,
        operation: "write".to_owned(),
        sector: 2048,
        age_ns,
        timeout_ns: 30 * SECOND,
        since: (word("start_time_ns"), NOW - age_ns),
        timeout: (word("timeout"), 7500),
    }
}

#[test]
fn a_disk_that_does_not_complete_its_requests_is_behind_those_who_wait_for_it() {
    let diagnosis = late_disk("wait_on_page_bit", 130 * SECOND, 140 * SECOND);
    assert_eq!(verdict(&diagnosis), (Some(Issue::HungTask), Confidence::Confirmed));
    assert_eq!(ids(&diagnosis), [Issue::IoError, Issue::HungTask]);
    assert_eq!(finding(&diagnosis, Issue::IoError).confidence, Confidence::Probable);
    let disk = "Behind it may be that disk vda has not completed 3 requests, of which the oldest is a write at sector 2048, for 140.0 s: its driver is told \
                after 30.0 s; sleeping for input or output: pid 10";
    assert!(diagnosis.verdict.summary.contains(disk), "{}", diagnosis.verdict.summary);
    // Such a sleep is begun anew every minute.
    let anew = late_disk("io_schedule_timeout", 5 * SECOND, 140 * SECOND);
    assert_eq!((verdict(&anew), ids(&anew)), ((Some(Issue::IoError), Confidence::Probable), vec![Issue::IoError]));
    // It waits for something else, or not for long, or the disk is slow.
    let mut other = Machine::new();
    other.sleeper(10, 130 * SECOND).state.late_disks.push(disk_that_is_late(140 * SECOND));
    let other = other.judge();
    assert_eq!(verdict(&other), (Some(Issue::HungTask), Confidence::Confirmed));
    assert_eq!(finding(&other, Issue::IoError).confidence, Confidence::Possible);
    let shortly = late_disk("wait_on_page_bit", 20 * SECOND, 140 * SECOND);
    assert_eq!(finding(&shortly, Issue::IoError).confidence, Confidence::Possible);
    assert_eq!(ids(&late_disk("wait_on_page_bit", 130 * SECOND, 20 * SECOND)), [Issue::HungTask]);
}

/// A return probe on the function that sleeps, whose record is not found: the holder may sleep for a lock as well.
#[test]
fn a_holder_whose_sleep_a_tracer_hides_is_not_surely_at_the_end_of_the_chain() {
    let held = |function: &str| {
        let mut machine = Machine::new();
        machine.sleeper(10, 130 * SECOND).sleeper(11, 130 * SECOND).waits(11, LockKind::Mutex, LOCK_A, held_by(10));
        machine.blocked[0] = support::stack(machine.blocked[0].task, 10, &["__schedule", "schedule", function]);
        let diagnosis = machine.judge();
        let finding = finding(&diagnosis, Issue::LockHeld);
        (finding.confidence, finding.summary.clone())
    };
    assert_eq!(held("wait_for_something").0, Confidence::Confirmed);
    let (confidence, summary) = held("arch_rethook_trampoline");
    assert_eq!(confidence, Confidence::Probable);
    assert!(summary.contains("in a function that a tracer hides") && !summary.contains("trampoline"), "{summary}");
}
