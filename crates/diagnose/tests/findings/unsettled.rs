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

/// So many of four busy tasks look for memory.
fn thrashes(looking: usize) -> Machine {
    let mut machine = Machine::new();
    let code = |index: usize| match index < looking {
        true => ["shrink_lruvec", "try_to_free_pages", "__alloc_pages", "vfs_read"],
        false => ["copy_page_to_iter", "filemap_read", "ext4_file_read_iter", "vfs_read"],
    };
    machine.runs(0, 30, &code(0), SECOND / 100);
    machine.runs(1, 31, &code(1), SECOND / 100);
    machine.interrupted(0, 0, 0x246);
    machine.interrupted(1, 0, 0x246);
    machine.queued(32, 1, SECOND / 10);
    let queued = machine.tasks.len() - 1;
    machine.waiting.push(support::stack(queued, 32, &code(2)));
    machine.sleeper(33, SECOND / 10);
    let asleep = machine.tasks.len() - 1;
    machine.blocked[0] = support::stack(asleep, 33, &code(3));
    machine
}

#[test]
fn a_machine_on_which_most_tasks_look_for_memory_is_not_well() {
    let diagnosis = thrashes(3).judge();
    assert_eq!(verdict(&diagnosis), INSUFFICIENT);
    assert!(diagnosis.verdict.summary.contains("looking for memory: 3 of 4"), "{}", diagnosis.verdict.summary);
    assert_eq!(verdict(&thrashes(2).judge()), HEALTHY);
    let mut requested = thrashes(4);
    requested.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    assert_eq!(verdict(&requested.judge()), (Some(Issue::CrashRequested), Confidence::Insufficient));
}

/// CPU 1 was stopped.
fn stopped() -> Machine {
    let mut machine = Machine::new();
    let idle = machine.running[1].1.task;
    let functions = ["stop_this_cpu", "__sysvec_reboot", "asm_sysvec_reboot", "default_idle", "do_idle"];
    machine.running[1].1 = support::stack(idle, 0, &functions);
    machine.interrupted(1, 3, 0x246);
    machine
}

#[test]
fn a_cpu_that_was_stopped_without_a_panic_is_of_a_machine_that_goes_down() {
    let diagnosis = stopped().judge();
    assert_eq!(verdict(&diagnosis), INSUFFICIENT);
    assert!(
        diagnosis.verdict.summary.contains("was going down: CPU 1 is in stop_this_cpu"),
        "{}",
        diagnosis.verdict.summary
    );
    let mut requested = stopped();
    requested.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    assert_eq!(verdict(&requested.judge()), (Some(Issue::CrashRequested), Confidence::None));
}

/// Process 1 sleeps, and runs a program or not.
fn first_process(comm: &str, program: bool) -> Machine {
    let mut machine = Machine::new();
    machine.interruptible(1, SECOND);
    let first = machine.task(1);
    first.comm = comm.to_owned();
    if !program {
        (first.mm, first.active_mm) = (None, None);
    }
    machine
}

#[test]
fn a_machine_that_has_not_come_up_is_not_well() {
    let diagnosis = first_process("swapper/0", false).judge();
    assert_eq!(verdict(&diagnosis), INSUFFICIENT);
    assert!(diagnosis.verdict.summary.contains("has not come up in 200.0 s"), "{}", diagnosis.verdict.summary);
    assert_eq!(verdict(&first_process("systemd", true).judge()), HEALTHY);
    let mut early = first_process("swapper/0", false);
    for cpu in &mut early.cpus {
        cpu.run_queue.as_mut().unwrap().clock_ns = 20 * SECOND;
    }
    assert_eq!(verdict(&early.judge()), HEALTHY);
}

#[test]
fn a_machine_all_of_whose_programs_are_frozen_is_not_well() {
    let frozen = |awake: i32| {
        let mut machine = Machine::new();
        for pid in 50..54 {
            machine.sleeper(pid, SECOND);
            machine.task(pid).state = TaskState { state: 0x8000, exit_state: 0 };
        }
        for pid in 0..awake {
            machine.interruptible(60 + pid, SECOND);
        }
        machine.judge()
    };
    assert_eq!(verdict(&frozen(1)), INSUFFICIENT);
    assert!(frozen(1).verdict.summary.contains("all 4 programs are frozen"), "{}", frozen(1).verdict.summary);
    // A cgroup is frozen.
    assert_eq!(verdict(&frozen(2)), HEALTHY);
}
