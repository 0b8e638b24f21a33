//! How the kernel died: oopses, panics, no memory.

use crate::*;

#[test]
fn a_null_pointer_names_function_and_address() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Oops), Confidence::Confirmed));
    for part in ["read_value+0x10 [driver]", "reads 0x18 through a NULL pointer", "on CPU 0 in pid 20"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
}

/// Its `BUG()` is what `workqueue.panic_on_stall` asks for.
#[test]
fn the_watchdog_of_work_queues_dies_of_what_it_found() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    for frame in &mut machine.running[0].1.frames {
        let symbol = std::sync::Arc::make_mut(&mut frame.location).symbol.as_mut();
        symbol
            .into_iter()
            .filter(|symbol| symbol.name == "read_value")
            .for_each(|it| it.name = "wq_watchdog_timer_fn".into());
    }
    assert_eq!(verdict(&machine.judge()).0, Some(Issue::WorkqueueLockup));
}

#[test]
fn an_exception_that_nobody_died_of_is_only_what_the_log_says() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), [Issue::CrashRequested, Issue::Oops]);
    assert_eq!(verdict(&diagnosis), (Some(Issue::Oops), Confidence::Probable));
    assert!(finding(&diagnosis, Issue::Oops).only_reported);
}

#[test]
fn an_oops_without_registers_is_known_by_the_log_alone() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    machine.running.clear();
    let diagnosis = machine.judge();
    let oops = finding(&diagnosis, Issue::Oops);
    assert!(oops.evidence.iter().any(|evidence| evidence.meaning == "where it was"), "{:?}", oops.evidence);
    assert!(oops.summary.contains("in read_value"), "{}", oops.summary);
    assert_eq!(verdict(&diagnosis), (Some(Issue::Oops), Confidence::Probable));
}

#[test]
fn reasons_to_panic_have_their_own_names() {
    let expected = [
        ("Out of memory: system-wide panic_on_oom is enabled", Some(Issue::OutOfMemory)),
        ("VFS: Unable to mount root fs", Some(Issue::Panic)),
        ("workqueue: stall lasted 66s, exceeding threshold 60s", Some(Issue::WorkqueueLockup)),
        ("sysrq triggered crash", Some(Issue::CrashRequested)),
    ];
    for (reason, issue) in expected {
        let mut machine = Machine::new();
        machine.panic(&format!("Kernel panic - not syncing: {reason}"), 0);
        assert_eq!(verdict(&machine.judge()).0, issue, "{reason}");
    }
}

#[test]
fn who_had_the_memory_is_named() {
    let mut machine = Machine::new();
    machine.log("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name");
    machine.log("[    123]     0   123      301       16    28672        0             0 small");
    machine.log("[    188]     0   188   219898   219532  1798144        0             0 eater");
    machine.panic("Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", 0);
    let summary = machine.judge().verdict.summary;
    assert!(summary.contains("pid 188 \"eater\" had the most of it, 857 MiB"), "{summary}");
}

#[test]
fn a_crash_on_request_is_no_fault_but_what_it_shows_is() {
    let mut machine = Machine::new();
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    machine.sleeper(10, 130 * SECOND);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::HungTask), Confidence::Confirmed));
    assert_eq!(finding(&diagnosis, Issue::CrashRequested).severity, Severity::Info);
}

/// What the log of a healthy machine may hold, and what it is about.
const ROUTINE: [(&str, Issue); 2] = [
    (
        "Memory cgroup out of memory: Killed process 850 (java) total-vm:4000000kB, anon-rss:500000kB",
        Issue::OutOfMemory,
    ),
    ("EDAC MC0: 1 CE memory read error on DIMM#0 (channel:1 slot:0)", Issue::HardwareError),
];

#[test]
fn what_is_routine_is_possible_shortly_before_the_end() {
    for (text, issue) in ROUTINE {
        for is_asked_for in [false, true] {
            let mut machine = Machine::new();
            machine.log_at(text, NOW - 10 * SECOND);
            if is_asked_for {
                machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
            }
            let diagnosis = machine.judge();
            assert_eq!(verdict(&diagnosis), (Some(issue), Confidence::Possible), "{}", diagnosis.verdict.summary);
        }
    }
}

#[test]
fn what_is_routine_is_named_and_nothing_long_before_the_end() {
    for (text, issue) in ROUTINE {
        for is_asked_for in [false, true] {
            let mut machine = Machine::new();
            machine.log_at(text, 10 * SECOND);
            machine.later(1000 * SECOND);
            if is_asked_for {
                machine.panic_at("Kernel panic - not syncing: sysrq triggered crash", 0, NOW + 1000 * SECOND);
            }
            let diagnosis = machine.judge();
            assert_eq!(verdict(&diagnosis), (Some(issue), Confidence::None), "{}", diagnosis.verdict.summary);
            assert!(diagnosis.verdict.summary.contains("1190.0 s before"), "{}", diagnosis.verdict.summary);
            assert_eq!(finding(&diagnosis, issue).severity, Severity::Info);
        }
    }
}

#[test]
fn what_is_routine_hides_no_hang_and_is_named_beside_it() {
    for (text, issue) in ROUTINE {
        let mut machine = Machine::new();
        machine.log_at(text, NOW - 10 * SECOND);
        machine.sleeper(10, 130 * SECOND);
        let diagnosis = machine.judge();
        assert_eq!(verdict(&diagnosis), (Some(Issue::HungTask), Confidence::Confirmed));
        assert!(finding(&diagnosis, issue).summary.contains(text));
    }
}

#[test]
fn memory_of_a_control_group_for_which_the_kernel_panics() {
    let mut machine = Machine::new();
    machine.log(ROUTINE[0].0);
    machine.panic("Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::OutOfMemory), Confidence::Confirmed));
    let asked =
        finding(&diagnosis, Issue::OutOfMemory).evidence.iter().find(|known| known.meaning.contains("when no memory"));
    assert_eq!(
        asked.and_then(|known| known.value.clone()),
        Some(vmcore_diagnose::Value::Text(ROUTINE[0].0.to_owned()))
    );
}

#[test]
fn what_explains_the_panic_comes_before_what_does_not() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(10));
    machine.panic("Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis).0, Some(Issue::OutOfMemory));
    assert_eq!(ids(&diagnosis), [Issue::Deadlock, Issue::OutOfMemory]);
}

#[test]
fn no_other_finding_masks_the_livelock() {
    let mut machine = Machine::livelock();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 130 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.panic("Kernel panic - not syncing: hung_task: blocked tasks", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::ThpLivelock), Confidence::Confirmed));
    assert_eq!(ids(&diagnosis), [Issue::Deadlock, Issue::HungTask]);
}

/// A circle of locks, and a machine that panicked for this.
fn deadlock_and(reason: &str) -> Diagnosis {
    let mut machine = Machine::new();
    machine.sleeper(10, 20 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 20 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.panic(&format!("Kernel panic - not syncing: {reason}"), 0);
    machine.judge()
}

#[test]
fn what_gives_up_on_a_machine_from_outside_is_explained_by_any_hang() {
    for reason in [
        "NMI: Not continuing",
        "00: An NMI occurred. Depending on your system the reason for the NMI is logged in any one of the following resources:",
        "Software Watchdog Timer expired",
        "watchdog pretimeout event",
    ] {
        assert_eq!(verdict(&deadlock_and(reason)), (Some(Issue::Deadlock), Confidence::Confirmed), "{reason}");
    }
    assert_eq!(verdict(&deadlock_and("Fatal machine check")), (Some(Issue::HardwareError), Confidence::Confirmed));
}

#[test]
fn an_nmi_of_unknown_origin_is_neither_a_fault_of_the_hardware_nor_health() {
    let stopped = |sleeps_for: Option<u64>| {
        let mut machine = Machine::new();
        machine.panic("Kernel panic - not syncing: NMI: Not continuing", 0);
        if let Some(ns) = sleeps_for {
            machine.sleeper(10, ns);
        }
        verdict(&machine.judge())
    };
    assert_eq!(stopped(None), (Some(Issue::CrashRequested), Confidence::Possible));
    assert_eq!(stopped(Some(15 * SECOND)), (Some(Issue::HungTask), Confidence::Probable));
}

#[test]
fn a_watchdog_that_nobody_reset_is_a_panic_where_nothing_hangs() {
    let mut machine = Machine::new();
    machine.panic("Kernel panic - not syncing: Software Watchdog Timer expired", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Panic), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("no program had reset a watchdog"), "{}", diagnosis.verdict.summary);
}
