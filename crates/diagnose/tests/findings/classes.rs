//! Who keeps a CPU by its scheduling class, and who only seems to.

use vmcore_kernel::{Class, CpuGrants, Queued};

use crate::starvation::granted;
use crate::*;

/// The stopper of CPU 0 waits for that of CPU 1, where pid 31 runs in a loop of the kernel.
fn stoppers(of_cpu_1: Option<u64>) -> Diagnosis {
    stoppers_waiting(of_cpu_1).judge()
}

fn stoppers_waiting(of_cpu_1: Option<u64>) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 15, &["multi_cpu_stop", "cpu_stopper_thread", "smpboot_thread_fn", "kthread"], 25 * SECOND);
    machine.task(15).prio = 0;
    machine.task(15).policy = Policy(1);
    machine.queued(40, 0, 25 * SECOND);
    machine.runs(1, 31, &["driver_loop", "driver_write"], 40 * SECOND);
    if let Some(waits_ns) = of_cpu_1 {
        machine.queued(16, 1, waits_ns);
        let stopper = task_address(16);
        machine.task(16).prio = 0;
        let queue = machine.cpus[1].run_queue.as_mut().unwrap();
        queue.queued = vec![Queued { task: stopper, class: Class::Stop }];
    }
    machine
}

#[test]
fn a_stopper_that_waits_for_another_keeps_its_cpu_as_a_victim() {
    let diagnosis = stoppers(Some(25 * SECOND));
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Confirmed));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("CPU 1 (pid 31") && summary.contains("pid 16"), "{summary}");
    assert_eq!(ids(&diagnosis), [Issue::Starvation], "CPU 0 is no finding of its own");
    // Where all have come, that is no reason.
    let summary = stoppers(None).verdict.summary;
    assert!(summary.contains("CPU 0 (pid 15"), "{summary}");
}

/// The watchdog complains of the CPU first that only waits.
#[test]
fn a_stopper_that_waits_for_another_is_no_lockup_to_name_first() {
    let mut machine = stoppers_waiting(Some(25 * SECOND));
    machine.log("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [comm15:15]");
    soft_lockup(&mut machine, 1, 31);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SoftLockup), Confidence::Confirmed));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("pid 31 \"comm31\" would not give it up"), "{summary}");
    let victim = diagnosis.findings.iter().find(|finding| finding.summary.contains("CPU 0")).unwrap();
    assert!(victim.summary.contains("pid 15 \"comm15\" waits for the stopper thread of CPU 1"), "{}", victim.summary);
    // Where that is all there is, the machine is ill all the same.
    let mut machine = stoppers_waiting(Some(25 * SECOND));
    machine.runs(1, 32, &["driver_loop", "driver_write"], SECOND);
    soft_lockup(&mut machine, 0, 15);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SoftLockup), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("waits for the stopper thread of CPU 1"));
}

/// All have come, and what CPU 1 calls for them does not come back: all have their interrupts off.
#[test]
fn a_stopper_that_waits_with_interrupts_off_is_a_victim_too() {
    let of_thread = ["multi_cpu_stop", "cpu_stopper_thread", "smpboot_thread_fn", "kthread"];
    let works = [&["patch_all"][..], &of_thread].concat();
    let machine = |first: &[&str], second: &[&str]| {
        let mut machine = Machine::new();
        machine.runs(0, 15, first, 25 * SECOND);
        machine.runs(1, 16, second, 25 * SECOND);
        for cpu in 0..2 {
            machine.interrupted(cpu, 0, 0x46);
            machine.cpus[cpu as usize].run_queue.as_mut().unwrap().clock_ns = NOW - 12 * SECOND;
        }
        // One whose clock goes on.
        let mut third = machine.cpus[0].clone();
        third.cpu = 2;
        let queue = third.run_queue.as_mut().unwrap();
        (queue.cpu, queue.clock_ns, queue.current) = (2, NOW, queue.idle);
        machine.cpus.push(third);
        machine.running.push((2, support::stack(0, 0, &["default_idle", "do_idle", "cpu_startup_entry"])));
        machine.judge()
    };
    let check = |diagnosis: Diagnosis, culprit: u32, victim: u32| {
        assert_eq!(verdict(&diagnosis).0, Some(Issue::HardLockup));
        let begins = format!("CPU {culprit} (");
        assert!(diagnosis.verdict.summary.starts_with(&begins), "{}", diagnosis.verdict.summary);
        let waits = format!("it waits for the stopper thread of CPU {culprit}");
        let of_victim = |finding: &&Finding| finding.summary.starts_with(&format!("CPU {victim} ("));
        let victim = diagnosis.findings.iter().find(of_victim).unwrap();
        assert!(victim.summary.contains(&waits), "{}", victim.summary);
    };
    // All that is called in each turn of the loop.
    for calls in [
        &[][..],
        &["arch_touch_nmi_watchdog"],
        &["touch_softlockup_watchdog_sched", "touch_softlockup_watchdog"],
        &["wq_watchdog_touch", "touch_softlockup_watchdog"],
        &["wq_watchdog_touch"],
        &["rcu_preempt_need_deferred_qs", "rcu_preempt_deferred_qs", "rcu_momentary_eqs"],
    ] {
        let loops = [calls, &of_thread].concat();
        check(machine(&loops, &works), 1, 0);
        check(machine(&works, &loops), 0, 1);
    }
    // What is called for all may touch watchdogs as well.
    let touches = [&["wq_watchdog_touch", "touch_softlockup_watchdog"][..], &works].concat();
    check(machine(&of_thread, &touches), 1, 0);
}

#[test]
fn a_hog_is_seen_while_a_fair_task_has_its_moment() {
    let mut machine = granted(38 * SECOND);
    let (hog, fair) = (task_address(30), task_address(40));
    let queue = machine.cpus[0].run_queue.as_mut().unwrap();
    queue.current = fair;
    queue.queued = vec![Queued { task: hog, class: Class::RealTime }];
    let lends = machine.task(30);
    (lends.on_cpu, lends.last_queued_ns) = (false, Some(NOW - SECOND / 50));
    let granted = machine.task(40);
    (granted.on_cpu, granted.last_queued_ns, granted.last_arrival_ns) = (true, Some(0), Some(NOW - SECOND / 50));
    let diagnosis = machine.judge();
    let starvation = finding(&diagnosis, Issue::Starvation);
    for part in ["CPU 0 (pid 30", "but for the moments that fair tasks are granted", "38.0 s in all", "pid 40"] {
        assert!(starvation.summary.contains(part), "{part} in {}", starvation.summary);
    }
}

/// Who has waited longer than such a moment lasts does not grant it.
#[test]
fn a_real_time_task_that_waits_for_long_is_no_hog() {
    let mut machine = granted(38 * SECOND);
    let (poller, stuck) = (task_address(30), task_address(40));
    let queue = machine.cpus[0].run_queue.as_mut().unwrap();
    queue.current = stuck;
    queue.queued = vec![Queued { task: poller, class: Class::RealTime }];
    let waits = machine.task(30);
    (waits.on_cpu, waits.last_queued_ns) = (false, Some(NOW - 60 * SECOND));
    let runs = machine.task(40);
    (runs.on_cpu, runs.last_queued_ns, runs.last_arrival_ns) = (true, Some(0), Some(NOW - 60 * SECOND));
    let at = machine.tasks.iter().position(|task| task.pid == 40).unwrap();
    machine.running[0] = (0, support::stack(at, 40, &["driver_loop", "driver_write"]));
    let diagnosis = machine.judge();
    let summary = &finding(&diagnosis, Issue::Starvation).summary;
    assert!(summary.contains("CPU 0 (pid 40") && summary.contains("pid 30"), "{summary}");
}

/// A virtual CPU does not spin for a lock but halts, and its host wakes it.
#[test]
fn a_cpu_that_halts_for_a_lock_does_not_idle() {
    let halts = |functions: &[&str]| {
        let mut machine = Machine::new();
        let idle = machine.running[1].1.task;
        let loop_of_idle = ["driver_interrupt", "asm_common_interrupt", "default_idle", "do_idle", "cpu_startup_entry"];
        machine.running[1].1 = support::stack(idle, 0, &[functions, &loop_of_idle].concat());
        machine.cpus[1].run_queue.as_mut().unwrap().clock_ns -= 60 * SECOND;
        machine.state.limits.watchdog = Some(10 * SECOND);
        machine.judge()
    };
    let diagnosis = halts(&["native_halt", "kvm_wait", "__pv_queued_spin_lock_slowpath", "_raw_spin_lock"]);
    assert_eq!(verdict(&diagnosis), (Some(Issue::HardLockup), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("kvm_wait, on top of its idle task"), "{}", diagnosis.verdict.summary);
}

/// The end of a task's last stint shows in the task clock, which is behind the run queue's by all interrupts since boot.
#[test]
fn who_ran_for_long_and_sleeps_since_a_moment_does_not_hang() {
    let mut machine = Machine::new();
    machine.sleeper(30, 180 * SECOND);
    let behind = 10 * SECOND;
    machine.cpus[0].run_queue.as_mut().unwrap().task_clock_ns = Some(NOW - behind);
    machine.task(30).exec_start_ns = Some(NOW - behind - 2 * SECOND);
    assert_eq!(ids(&machine.judge()), []);
    let mut machine = Machine::new();
    machine.sleeper(30, 180 * SECOND);
    machine.cpus[0].run_queue.as_mut().unwrap().task_clock_ns = Some(NOW - behind);
    machine.task(30).exec_start_ns = Some(NOW - behind - 170 * SECOND);
    let diagnosis = machine.judge();
    assert!(diagnosis.verdict.summary.contains("170.0 s"), "{}", diagnosis.verdict.summary);
}

#[test]
fn who_may_be_throttled_or_queued_elsewhere_need_not_wait_for_an_idle_cpu() {
    let queued = |class: Class, is_throttled: bool| {
        let mut machine = Machine::new();
        machine.queued(40, 0, 95 * SECOND);
        machine.cpus[0].run_queue.as_mut().unwrap().queued[0].class = class;
        if class == Class::RealTime {
            machine.task(40).prio = 49;
        }
        let grants = CpuGrants { real_time_throttled: is_throttled, ..CpuGrants::default() };
        machine.state.scheduler.cpus.insert(0, grants);
        verdict(&machine.judge())
    };
    assert_eq!(queued(Class::Fair, true), (Some(Issue::Starvation), Confidence::Confirmed));
    assert_eq!(queued(Class::RealTime, false), (Some(Issue::Starvation), Confidence::Confirmed));
    assert_eq!(queued(Class::RealTime, true), (Some(Issue::Starvation), Confidence::Possible));
    assert_eq!(queued(Class::Ext, false), (Some(Issue::Starvation), Confidence::Possible));
}
