//! Machines of which nothing is wrong, and which are not well.

use crate::*;

const INSUFFICIENT: (Option<Issue>, Confidence) = (None, Confidence::Insufficient);
const HEALTHY: (Option<Issue>, Confidence) = (None, Confidence::None);

/// The only CPU of a machine runs this, since a moment ago, with these flags.
fn alone(functions: &[&str], eflags: u64) -> Machine {
    let mut machine = Machine::new();
    machine.cpus.truncate(1);
    machine.running.truncate(1);
    if !functions.is_empty() {
        machine.runs(0, 30, functions, SECOND / 250);
        machine.interrupted(0, 0, eflags);
    }
    machine
}

#[test]
fn the_clock_of_a_machine_with_one_cpu_stands_still_with_it() {
    let diagnosis = alone(&["driver_loop", "driver_write"], 0x46).judge();
    assert_eq!(verdict(&diagnosis), INSUFFICIENT);
    assert!(diagnosis.unknown.iter().any(|line| line.contains("no clock runs")), "{:?}", diagnosis.unknown);
    assert_eq!(verdict(&alone(&["driver_loop", "driver_write"], 0x246).judge()), HEALTHY);
    assert_eq!(verdict(&alone(&[], 0).judge()), HEALTHY);
    // It stopped itself, and what for is known.
    let mut requested = alone(&["driver_loop", "driver_write"], 0x46);
    requested.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    assert_eq!(verdict(&requested.judge()), (Some(Issue::CrashRequested), Confidence::None));
}

#[test]
fn an_only_cpu_in_a_handler_on_top_of_its_idle_task_is_deaf_too() {
    let mut machine = alone(&[], 0);
    let idle = machine.running[0].1.task;
    let handler = ["driver_interrupt", "asm_common_interrupt", "default_idle", "do_idle"];
    machine.running[0].1 = support::stack(idle, 0, &handler);
    machine.interrupted(0, 0, 0x46);
    assert_eq!(verdict(&machine.judge()), INSUFFICIENT);
}
