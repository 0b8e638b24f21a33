//! Sleeps of which no watchdog complains, and those that take as long as they take.

use crate::*;

/// A task that has been asleep for so long in these functions.
fn asleep(machine: &mut Machine, pid: i32, for_ns: u64, functions: &[&str]) {
    machine.sleeper(pid, for_ns);
    let at = machine.blocked.len() - 1;
    let functions = [&["__schedule", "schedule"], functions].concat();
    machine.blocked[at] = support::stack(machine.blocked[at].task, pid, &functions);
}

/// Pid 10 ends once pid 11 of its process, which runs or sleeps in this function, has written the core.
fn ends_after_core(other: Option<&str>) -> Machine {
    let mut machine = Machine::new();
    asleep(&mut machine, 10, 150 * SECOND, &["coredump_task_exit", "do_exit", "do_group_exit", "get_signal"]);
    if let Some(function) = other {
        machine.runs(1, 11, &[function, "get_signal"], SECOND / 100);
        machine.task(11).tgid = 10;
    }
    machine
}

#[test]
fn a_thread_that_waits_for_the_core_of_its_process_is_not_hung() {
    assert_eq!(ids(&ends_after_core(Some("do_coredump")).judge()), []);
    assert_eq!(ids(&ends_after_core(Some("vfs_coredump")).judge()), []);
    // The stack of one that sleeps so that a signal wakes it is not known.
    let mut pipe = ends_after_core(None);
    pipe.interruptible(11, SECOND).task(11).tgid = 10;
    pipe.state.owners.clear();
    assert_eq!(ids(&pipe.judge()), []);
    // Nobody writes it.
    for machine in [ends_after_core(None), ends_after_core(Some("vfs_write"))] {
        assert_eq!(verdict(&machine.judge()), (Some(Issue::HungTask), Confidence::Confirmed));
    }
}

const DIRECT: [&str; 3] = ["io_schedule_timeout", "blk_io_schedule", "__blkdev_direct_IO_simple"];

#[test]
fn who_waits_for_a_disk_itself_is_hung_before_its_sleep_is_begun_anew() {
    let direct_beside = |disks: Vec<LateDisk>, times: &[u64]| {
        let mut machine = Machine::new();
        machine.state.late_disks = disks;
        for (&time, pid) in times.iter().zip(10..) {
            asleep(&mut machine, pid, time * SECOND, &DIRECT);
        }
        machine.judge()
    };
    let direct = |times: &[u64]| direct_beside(Vec::new(), times);
    assert_eq!(verdict(&direct(&[41])), (Some(Issue::HungTask), Confidence::Possible));
    // Each of them may only discard.
    assert_eq!(verdict(&direct(&[41, 12])), (Some(Issue::HungTask), Confidence::Possible));
    let several = direct_beside(vec![crate::sleepers::disk_that_is_late(41 * SECOND)], &[41, 12]);
    assert_eq!(verdict(&several), (Some(Issue::HungTask), Confidence::Probable));
    assert!(several.verdict.summary.contains("longer than 10.0 s, up to 41.0 s"), "{}", several.verdict.summary);
    // A disk may be slow.
    assert_eq!(ids(&direct(&[9, 8])), []);
}

/// Killable sleepers, and somebody who asked for the crash.
fn killable(sleepers: i32, for_ns: u64) -> Diagnosis {
    let mut machine = Machine::new();
    for pid in 0..sleepers {
        machine.killable(10 + pid, for_ns);
    }
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    machine.judge()
}

#[test]
fn several_that_only_a_deadly_signal_wakes_may_be_what_the_crash_was_asked_for() {
    assert_eq!(verdict(&killable(6, 110 * SECOND)), (Some(Issue::HungTask), Confidence::Possible));
    assert_eq!(verdict(&killable(6, 130 * SECOND)), (Some(Issue::HungTask), Confidence::Probable));
    let well = (Some(Issue::CrashRequested), Confidence::None);
    assert_eq!(verdict(&killable(1, 110 * SECOND)), well);
    assert_eq!(verdict(&killable(6, 5 * SECOND)), well);
}
