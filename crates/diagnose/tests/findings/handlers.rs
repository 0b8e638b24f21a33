//! CPUs that were in a handler of an interrupt: stuck in it, or passing through.

use crate::cpus::{WATCHED, spin};
use crate::*;

/// CPU 1 was stopped in a handler of an interrupt that came while kernel code ran with interrupts on.
fn in_a_handler(behind: u64) -> Diagnosis {
    let mut machine = Machine::new();
    let handler = ["stop_this_cpu", "asm_exc_nmi", "driver_interrupt", "asm_common_interrupt"];
    machine.runs(1, 31, &[&handler[..], &["driver_loop", "driver_write"]].concat(), SECOND);
    machine.interrupted(1, 2, 0x46);
    machine.interrupted(1, 4, 0x246);
    machine.cpus[1].run_queue.as_mut().unwrap().clock_ns -= behind;
    machine.judge()
}

#[test]
fn a_handler_that_does_not_end_is_what_keeps_a_cpu() {
    let stuck = in_a_handler(12 * SECOND);
    assert_eq!(verdict(&stuck), (Some(Issue::HardLockup), Confidence::Probable));
    assert!(stuck.verdict.summary.contains("12.0 s in driver_interrupt"), "{}", stuck.verdict.summary);
    // One that the CPU is only passing through is not.
    assert_eq!(ids(&in_a_handler(SECOND / 100)), []);
}

/// CPU 1 runs this on top of its idle task, with these flags, and its clock is so far behind.
fn on_idle(functions: &[&str], eflags: u64, behind: u64, watchdog: Option<u64>) -> Machine {
    let mut machine = Machine::new();
    let idle = machine.running[1].1.task;
    let loop_of_idle = ["asm_sysvec_call_function", "default_idle", "do_idle", "cpu_startup_entry"];
    machine.running[1].1 = support::stack(idle, 0, &[functions, &loop_of_idle].concat());
    // An NMI stopped it.
    let stopped = functions.iter().position(|name| *name == "asm_exc_nmi").unwrap();
    machine.interrupted(1, stopped + 1, eflags);
    machine.interrupted(1, functions.len() + 1, 0x246);
    machine.cpus[1].run_queue.as_mut().unwrap().clock_ns -= behind;
    machine.state.limits.watchdog = watchdog;
    machine
}

const STOPPED: [&str; 3] = ["crash_nmi_callback", "exc_nmi", "asm_exc_nmi"];

#[test]
fn a_cpu_that_is_stuck_on_top_of_its_idle_task_does_not_idle() {
    let handler = [&STOPPED[..], &["native_queued_spin_lock_slowpath", "driver_interrupt"]].concat();
    let stuck = on_idle(&handler, 0x46, 60 * SECOND, WATCHED).judge();
    assert_eq!(verdict(&stuck), (Some(Issue::HardLockup), Confidence::Probable));
    let summary = &stuck.verdict.summary;
    assert!(summary.contains("60.0 s in native_queued_spin_lock_slowpath, on top of its idle task"), "{summary}");
    // It spins for a lock: that says more.
    let mut spins = on_idle(&handler, 0x46, 60 * SECOND, WATCHED);
    spins.state.spins.push(spin(1));
    spins.runs(0, 30, &["driver_work", "driver_write"], SECOND);
    assert_eq!(verdict(&spins.judge()), (Some(Issue::SpinlockHeld), Confidence::Probable));
    // With interrupts on, or without a watchdog for this CPU, an idle CPU's clock stands still as long.
    let mut other_is_watched = on_idle(&handler, 0x46, 60 * SECOND, WATCHED);
    other_is_watched.state.limits.watched = Some(CpuMask::of(&[0]));
    let unwatched = on_idle(&handler, 0x46, 60 * SECOND, None);
    for machine in [on_idle(&handler, 0x246, 60 * SECOND, WATCHED), unwatched, other_is_watched] {
        let diagnosis = machine.judge();
        assert_eq!(verdict(&diagnosis), (None, Confidence::Insufficient));
        assert!(
            diagnosis.unknown.iter().any(|line| line.contains("on top of its idle task")),
            "{:?}",
            diagnosis.unknown
        );
    }
}

#[test]
fn a_cpu_that_idles_or_was_caught_in_an_interrupt_is_well() {
    let handler = [&STOPPED[..], &["run_timer_softirq"]].concat();
    assert_eq!(verdict(&on_idle(&handler, 0x46, SECOND, WATCHED).judge()), (None, Confidence::None));
    assert_eq!(verdict(&on_idle(&handler, 0x46, SECOND, None).judge()), (None, Confidence::None));
    // Softirqs run with interrupts on: only the watchdog would say that one does not end.
    assert_eq!(verdict(&on_idle(&handler, 0x246, SECOND, None).judge()), (None, Confidence::Insufficient));
    let idles = [&STOPPED[..], &["intel_idle.constprop.0", "cpuidle_enter_state"]].concat();
    assert_eq!(verdict(&on_idle(&idles, 0x46, 60 * SECOND, None).judge()), (None, Confidence::None));
}

/// However long an administrator has the watchdog wait, its thread comes in between.
#[test]
fn a_patient_watchdog_sees_an_idle_cpu_every_few_seconds_all_the_same() {
    const PATIENT: Option<u64> = Some(60 * SECOND);
    let handler = [&STOPPED[..], &["driver_interrupt"]].concat();
    let stuck = on_idle(&handler, 0x46, 55 * SECOND, PATIENT).judge();
    assert_eq!(verdict(&stuck), (Some(Issue::HardLockup), Confidence::Probable));
    // Its thread comes every 24 s.
    assert_eq!(verdict(&on_idle(&handler, 0x46, 25 * SECOND, PATIENT).judge()), (None, Confidence::None));
}
