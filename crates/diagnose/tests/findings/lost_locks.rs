//! Spin locks that nobody is left to have.

use vmcore_kernel::{CpuRegisters, RegisterSource, SpinNode};
use vmcore_memory::arch::x86_64::Registers;

use crate::cpus::spin;
use crate::*;

const SLOW_PATH: [&str; 2] = ["native_queued_spin_lock_slowpath", "driver_write"];
const NODE: VirtAddr = VirtAddr::new(0xffff_8880_0d00_0000);

/// CPU 0 spins for a lock, a moment ago.
fn spins() -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, &SLOW_PATH, SECOND / 100);
    machine.state.spins.push(spin(0));
    machine
}

fn both_spin() -> Machine {
    let mut machine = spins();
    machine.runs(1, 31, &SLOW_PATH, SECOND / 100);
    let node = SpinNode { cpu: 1, index: 0, address: NODE, next: VirtAddr::new(0), first: true };
    machine.state.spins.push(Spin { node: Some(node), polled: NODE.wrapping_add(8), ..spin(1) });
    machine
}

const LOST: (Option<Issue>, Confidence) = (Some(Issue::SpinlockHeld), Confidence::Confirmed);

#[test]
fn a_lock_that_all_cpus_spin_for_has_no_holder() {
    let diagnosis = both_spin().judge();
    assert_eq!(verdict(&diagnosis), LOST);
    assert!(diagnosis.verdict.summary.contains("no CPU is left that could have it"), "{}", diagnosis.verdict.summary);
    assert!(diagnosis.remedy[0].action.contains("who took the lock"), "{:?}", diagnosis.remedy);
    // The first of the queue that has just got the lock reads who is behind it.
    let mut taken = both_spin();
    taken.state.spins[1].polled = NODE;
    assert_eq!(ids(&taken.judge()), []);
    // One that waits for it is no holder.
    let mut pending = both_spin();
    for spin in &mut pending.state.spins {
        spin.word = SpunFor::Spin(SpinLockWord(0x100));
    }
    assert_eq!(ids(&pending.judge()), []);
}

#[test]
fn a_lock_that_one_spins_for_while_others_idle_or_compute_has_no_holder() {
    assert_eq!(verdict(&spins().judge()), LOST);
    let mut up = spins();
    up.cpus.truncate(1);
    up.running.truncate(1);
    assert_eq!(verdict(&up.judge()), LOST);
    let mut computes = spins();
    computes.runs(1, 31, &[], SECOND / 100);
    let user = Registers { cs: 0x33, eflags: 0x246, ..Registers::default() };
    computes.cpus[1].registers = Some(CpuRegisters { registers: user.into(), source: RegisterSource::GsBase });
    assert_eq!(verdict(&computes.judge()), LOST);
}

#[test]
fn a_lock_that_somebody_may_have_is_not_lost() {
    // Another CPU runs kernel code, or a handler on top of its idle task.
    let mut runs = spins();
    runs.runs(1, 31, &["driver_work", "driver_write"], SECOND / 100);
    let mut handles = spins();
    let idle = handles.running[1].1.task;
    handles.running[1].1 =
        support::stack(idle, 0, &["driver_interrupt", "asm_common_interrupt", "default_idle", "do_idle"]);
    // It is not known what it does.
    let mut unseen = spins();
    unseen.cpus[1].registers = None;
    let mut cut = spins();
    cut.running[1].1.error = Some("no unwind entry covers 0xffffffff81000000".to_owned());
    let mut blind = spins();
    blind.blind_spots.push("CPU 2 cannot be read".to_owned());
    // It panicked.
    let mut died = spins();
    died.panic("Kernel panic - not syncing: sysrq triggered crash", 1);
    for (index, machine) in [runs, handles, unseen, cut, blind, died].into_iter().enumerate() {
        assert!(!ids(&machine.judge()).contains(&Issue::SpinlockHeld), "{index}");
    }
}
