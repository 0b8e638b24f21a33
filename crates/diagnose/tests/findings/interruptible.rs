//! Tasks that sleep for locks so that a signal wakes them: only circles of them are wrong.

use vmcore_diagnose::graph::ShapeKind;

use crate::*;

/// How a task is put to sleep, by its pid and for how long.
type Sleeps = fn(&mut Machine, i32, u64) -> &mut Machine;

/// Two tasks, each with the other's mutex.
fn circle(sleeps: [Sleeps; 2], for_ns: u64) -> Diagnosis {
    let mut machine = Machine::new();
    for ((pid, other, lock), sleeps) in [(10, 11, LOCK_A), (11, 10, LOCK_B)].into_iter().zip(sleeps) {
        sleeps(&mut machine, pid, for_ns).waits(pid, LockKind::Mutex, lock, held_by(other));
    }
    machine.judge()
}

#[test]
fn a_circle_is_a_deadlock_at_once_however_its_tasks_sleep() {
    let cases: [([Sleeps; 2], _, _); 5] = [
        ([Machine::sleeper, Machine::sleeper], "for ever", ""),
        ([Machine::interruptible, Machine::interruptible], "until a signal", " (a signal may end each of these waits)"),
        ([Machine::killable, Machine::killable], "until a signal", " (a deadly signal may end each of these waits)"),
        (
            [Machine::sleeper, Machine::interruptible],
            "until a signal",
            " (a signal may end the wait of pid 11 \"comm11\")",
        ),
        (
            [Machine::killable, Machine::interruptible],
            "until a signal",
            " (a signal may end the wait of pid 11 \"comm11\", and a deadly signal may end the wait of pid 10 \"comm10\")",
        ),
    ];
    for (sleeps, until, ends) in cases {
        for for_ns in [SECOND / 10, 500 * SECOND / 3] {
            let diagnosis = circle(sleeps, for_ns);
            assert_eq!(verdict(&diagnosis), (Some(Issue::Deadlock), Confidence::Confirmed));
            let summary = &diagnosis.verdict.summary;
            assert!(summary.contains(&format!("each other's locks, {until}")), "{summary}");
            assert!(summary.ends_with(&format!("held by pid 10 \"comm10\"{ends}.")), "{summary}");
            let shapes: Vec<_> = diagnosis.graph.shapes().iter().map(|shape| shape.kind).collect();
            assert_eq!(shapes, [ShapeKind::Deadlock]);
            assert_eq!(diagnosis.remedy[0].action.contains("send the signal"), until != "for ever");
        }
    }
}

#[test]
fn a_second_reader_of_a_terminal_is_no_finding() {
    let mut machine = Machine::new();
    machine.interruptible(10, 180 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.asleep_in(11, "n_tty_read");
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::CrashRequested), Confidence::None));
    assert!(diagnosis.graph.edges().is_empty());
}

#[test]
fn a_lock_is_held_for_as_long_as_nobody_could_interrupt_the_wait() {
    let held = |uninterruptible: u64| {
        let mut machine = Machine::new();
        machine.interruptible(10, 180 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
        machine.sleeper(11, uninterruptible).waits(11, LockKind::Mutex, LOCK_A, held_by(12));
        machine.asleep_in(12, "wait_for_hardware");
        machine.judge()
    };
    assert_eq!(ids(&held(SECOND)), []);
    let diagnosis = held(130 * SECOND);
    assert_eq!(verdict(&diagnosis), (Some(Issue::LockHeld), Confidence::Confirmed));
    let who = "for up to 130.0 s: pid 11 \"comm11\"; in its queue, too: pid 10 \"comm10\"";
    assert!(diagnosis.verdict.summary.contains(who), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_chain_goes_on_over_who_can_be_interrupted() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.interruptible(11, 130 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(
        ids(&diagnosis),
        [Issue::LockHeld, Issue::HungTask],
        "the second lock keeps from running only who can be interrupted"
    );
    let held = finding(&diagnosis, Issue::LockHeld);
    assert!(held.summary.contains("at the end of the chain, pid 12 \"comm12\" sleeps (S)"), "{}", held.summary);
    let kinds: Vec<_> = diagnosis.graph.edges().iter().map(|edge| edge.kind).collect();
    assert_eq!(kinds, [EdgeKind::SleepsOn, EdgeKind::SleepsOn, EdgeKind::OwnedBy, EdgeKind::OwnedBy]);
}

/// The one who unlocks writes the next owner into the mutex and then wakes it.
#[test]
fn who_only_has_to_pick_a_mutex_up_waits_for_nobody() {
    let handed = |flags: Vec<&'static str>| {
        let mut machine = Machine::new();
        machine.sleeper(10, SECOND / 100).waits(10, LockKind::Mutex, LOCK_A, held_by(10));
        machine.state.locks[0].words[0].flags = flags;
        ids(&machine.judge())
    };
    assert_eq!(handed(vec!["MUTEX_FLAG_WAITERS", "MUTEX_FLAG_PICKUP"]), []);
    assert_eq!(handed(vec!["MUTEX_FLAG_WAITERS"]), [Issue::Deadlock]);
}
