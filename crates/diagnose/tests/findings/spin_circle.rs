//! CPUs that spin in a circle, each for the lock that the next one has.

use crate::cpus::spin;
use crate::*;

const LOCKS: [VirtAddr; 2] = [VirtAddr::new(0xffff_8880_0a00_0000), VirtAddr::new(0xffff_8880_0a00_0040)];
const OFF: [u64; 2] = [0x2, 0x2];
const ON: [u64; 2] = [0x202, 0x202];

/// Two CPUs that have been at it for a moment, by all clocks; how each lock's holder is known.
fn circle(eflags: [u64; 2], found: &HolderFound) -> Machine {
    let mut machine = Machine::new();
    for ((cpu, other), eflags) in [(0, 1), (1, 0)].into_iter().zip(eflags) {
        let calls = ["native_queued_spin_lock_slowpath", "_raw_spin_lock", "driver_write"];
        machine.runs(cpu, 30 + i32::try_from(cpu).unwrap(), &calls, SECOND / 10);
        machine.interrupted(cpu, 0, eflags);
        let holders = vec![Holder { cpu: other, found: found.clone() }];
        let lock = LOCKS[usize::try_from(cpu).unwrap()];
        machine.state.spins.push(Spin { lock, polled: lock, holders, ..spin(cpu) });
    }
    machine
}

#[test]
fn a_circle_needs_no_time_where_nothing_can_come_in_between() {
    let at_hand = HolderFound::Register("rbx");
    let diagnosis = circle(OFF, &at_hand).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SpinlockHeld), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("CPU 0, CPU 1 wait for one another in a circle: a deadlock"), "{summary}");
    // An address at hand may be an old one.
    let diagnosis = circle(ON, &at_hand).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SpinlockHeld), Confidence::Possible));
    let recorded = circle(ON, &HolderFound::Recorded).judge();
    assert_eq!(verdict(&recorded), (Some(Issue::SpinlockHeld), Confidence::Confirmed));
}

#[test]
fn a_lock_that_is_waited_for_for_a_moment_is_ordinary() {
    let mut machine = circle(ON, &HolderFound::Recorded);
    machine.state.spins.truncate(1);
    assert_eq!(verdict(&machine.judge()), (None, Confidence::None));
}

#[test]
fn a_machine_on_which_no_cpu_takes_interrupts_is_not_well() {
    let mut machine = circle(OFF, &HolderFound::Recorded);
    machine.state.spins.clear();
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (None, Confidence::Insufficient));
    assert!(diagnosis.unknown.iter().any(|why| why.contains("no clock runs")), "{:?}", diagnosis.unknown);
    let mut one_takes_them = circle([OFF[0], ON[1]], &HolderFound::Recorded);
    one_takes_them.state.spins.clear();
    assert_eq!(verdict(&one_takes_them.judge()), (None, Confidence::None));
}
