//! Time in the kernel that is one stay there, and time that many system calls add up to.

use crate::cpus::{WATCHED, spin, unanswered_call};
use crate::*;

const PATIENT: Option<u64> = Some(60 * SECOND);

/// Pid 30 has had CPU 0 for so long, in these functions.
fn lone(functions: &[&str], running: u64, watchdog: Option<u64>) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, functions, running);
    machine.state.limits.watchdog = watchdog;
    machine
}

#[test]
fn a_lone_task_that_makes_system_calls_all_day_is_stuck_in_none() {
    let verdict =
        |running, watchdog| verdict(&lone(&["read_zero", "vfs_read", "ksys_read"], running, watchdog).judge());
    let soft = |confidence| (Some(Issue::SoftLockup), confidence);
    assert_eq!(verdict(150 * SECOND, None), soft(Confidence::Possible));
    assert_eq!(verdict(22 * SECOND, WATCHED), soft(Confidence::Probable));
    // The watchdog's thread comes every 24 s.
    assert_eq!(verdict(22 * SECOND, PATIENT), soft(Confidence::Possible));
    assert_eq!(verdict(30 * SECOND, PATIENT), soft(Confidence::Probable));
}

/// Pid 30 spins for a lock that CPU 1 seems to have.
fn spinning(running: u64, watchdog: Option<u64>) -> Machine {
    let mut machine = lone(&["native_queued_spin_lock_slowpath", "driver_write"], running, watchdog);
    machine.runs(1, 31, &["driver_work", "driver_write"], SECOND);
    let holders = vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }];
    machine.state.spins.push(Spin { holders, ..spin(0) });
    machine
}

#[test]
fn who_is_caught_spinning_between_two_visits_of_the_watchdog_may_have_just_come() {
    let verdict = |running, watchdog| verdict(&spinning(running, watchdog).judge());
    let spins = |confidence| (Some(Issue::SpinlockHeld), confidence);
    assert_eq!(verdict(150 * SECOND, None), spins(Confidence::Possible));
    assert_eq!(verdict(22 * SECOND, WATCHED), spins(Confidence::Probable));
    assert_eq!(verdict(22 * SECOND, PATIENT), spins(Confidence::Possible));
    // With interrupts off its clock would have gone on between two locks.
    let mut deaf = spinning(150 * SECOND, None);
    deaf.interrupted(0, 0, 0x46);
    deaf.cpus[0].run_queue.as_mut().unwrap().clock_ns -= 40 * SECOND;
    let found = deaf.judge();
    assert_eq!(finding(&found, Issue::SpinlockHeld).confidence, Confidence::Probable);
}

/// Pid 30 waits for CPU 1 to answer, whose last tick was so long ago, and whose flags are these.
fn asks(watchdog: Option<u64>, behind: u64, eflags: u64) -> Machine {
    let functions = ["smp_call_function_many_cond", "smp_call_function", "driver_write"];
    let mut machine = lone(&functions, 30 * SECOND, watchdog);
    machine.runs(1, 31, &["driver_work", "driver_write"], SECOND / 1000);
    machine.interrupted(1, 0, eflags);
    machine.cpus[1].run_queue.as_mut().unwrap().clock_ns -= behind;
    machine.state.calls.push(unanswered_call());
    machine
}

#[test]
fn a_call_to_a_cpu_that_ticks_with_interrupts_on_may_be_new() {
    let call = |machine: Machine| finding(&machine.judge(), Issue::UnansweredCall).confidence;
    assert_eq!(call(asks(None, 0, 0x46)), Confidence::Possible);
    assert_eq!(call(asks(WATCHED, 0, 0x46)), Confidence::Confirmed);
    assert_eq!(call(asks(WATCHED, 3 * SECOND, 0x246)), Confidence::Confirmed);
    assert_eq!(call(asks(WATCHED, 0, 0x246)), Confidence::Possible);
    // The watchdog has seen the caller wait.
    let mut reported = asks(WATCHED, 0, 0x246);
    soft_lockup(&mut reported, 0, 30);
    assert_eq!(call(reported), Confidence::Confirmed);
}
