//! Who gets a CPU by rank, by turns, or not at all.

use vmcore_kernel::{CpuGrants, RunQueue};

use crate::*;

/// Pid 30 of `SCHED_FIFO` has CPU 0 since so long, and before it pid 41 had it; pid 40 waits since so long.
fn burst(running: u64, waiting: u64) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, &[], running);
    machine.task(30).prio = 49;
    machine.task(30).policy = Policy(1);
    machine.queued(40, 0, waiting);
    machine.queued(41, 0, running);
    machine.cpus[0].run_queue.as_mut().unwrap().task_clock_ns = Some(NOW);
    for (pid, ran_ago) in [(40, waiting), (41, running)] {
        machine.task(pid).last_arrival_ns = Some(NOW - ran_ago - SECOND);
        machine.task(pid).exec_start_ns = Some(NOW - ran_ago);
    }
    machine
}

#[test]
fn a_burst_of_a_real_time_task_starves_nobody_who_waited_before_it() {
    let shortly = burst(3 * SECOND / 2, 8 * SECOND).judge();
    assert_eq!(verdict(&shortly), (None, Confidence::None));
    assert_eq!(finding(&shortly, Issue::Starvation).severity, Severity::Warning);
    assert_eq!(verdict(&burst(6 * SECOND, 8 * SECOND).judge()), (Some(Issue::Starvation), Confidence::Confirmed));
}

#[test]
fn who_never_had_its_turn_beside_a_real_time_hog_may_starve_though_others_had() {
    let starves = |waiting| verdict(&burst(SECOND / 2, waiting).judge());
    assert_eq!(starves(60 * SECOND), (Some(Issue::Starvation), Confidence::Possible));
    assert_eq!(starves(12 * SECOND), (None, Confidence::None));
    // One of `SCHED_IDLE` may have no share.
    let mut idle = burst(SECOND / 2, 60 * SECOND);
    idle.task(40).policy = Policy(5);
    assert_eq!(verdict(&idle.judge()), (None, Confidence::None));
}

/// Pid 30 and 31 take turns on CPU 0, and pid 40 waits there since so long.
fn turns(waiting: u64) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, &[], SECOND / 300);
    machine.queued(31, 0, SECOND / 300);
    machine.queued(40, 0, waiting);
    machine
}

#[test]
fn who_is_never_picked_while_others_take_turns_may_starve() {
    let diagnosis = turns(100 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Possible));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("never picked, for up to 100.0 s") && summary.contains("pid 40"), "{summary}");
    assert!(!summary.contains("pid 31"), "{summary}");
    // Shares differ.
    assert_eq!(ids(&turns(50 * SECOND).judge()), []);
    let mut idle = turns(100 * SECOND);
    idle.task(40).policy = Policy(5);
    assert_eq!(ids(&idle.judge()), []);
}

#[test]
fn a_real_time_task_that_fair_ones_run_before_starves() {
    let real_time = |waiting| {
        let mut machine = turns(waiting);
        machine.task(40).prio = 79;
        machine.task(40).policy = Policy(1);
        machine.judge()
    };
    let passed_over = real_time(8 * SECOND);
    assert_eq!(verdict(&passed_over), (Some(Issue::Starvation), Confidence::Probable));
    assert!(passed_over.verdict.summary.contains("passes over real-time ones"), "{}", passed_over.verdict.summary);
    // Throttling lasts a part of a second.
    assert_eq!(ids(&real_time(SECOND)), []);
}

#[test]
fn a_real_time_task_that_may_not_share_the_core_is_only_possibly_starved() {
    let mut machine = turns(8 * SECOND);
    machine.task(40).prio = 79;
    machine.task(40).policy = Policy(1);
    let counters = TaskCounters { core_cookie: Some(7), ..TaskCounters::default() };
    machine.state.scheduler.tasks.insert(task_address(40), counters);
    let cpu = CpuGrants { core_cookie: Some(9), ..CpuGrants::default() };
    machine.state.scheduler.cpus.insert(0, cpu);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Possible));
}

#[test]
fn who_has_been_throttled_for_many_periods_may_starve() {
    let throttled = |waiting, idles: bool| {
        let mut machine = if idles { Machine::new() } else { turns(SECOND / 100) };
        machine.queued(50, 0, waiting);
        let counters = TaskCounters { throttled_queue: Some(LOCK_A), ..TaskCounters::default() };
        machine.state.scheduler.tasks.insert(task_address(50), counters);
        machine.judge()
    };
    for idles in [false, true] {
        let diagnosis = throttled(100 * SECOND, idles);
        assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Possible), "{idles}");
        assert!(diagnosis.verdict.summary.contains("throttled"), "{}", diagnosis.verdict.summary);
        assert_eq!(ids(&throttled(10 * SECOND, idles)), [], "{idles}");
    }
}

#[test]
fn who_waits_for_a_cpu_of_which_it_is_known_what_keeps_it_is_passed_over_by_nobody() {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["spin_for_ever", "driver_write"], 100 * SECOND);
    soft_lockup(&mut machine, 0, 30);
    machine.queued(40, 0, 99 * SECOND);
    assert_eq!(ids(&machine.judge()), [Issue::SoftLockup]);
    let offline = |idles: bool| {
        let mut machine = turns(100 * SECOND);
        let queue: &mut RunQueue = machine.cpus[0].run_queue.as_mut().unwrap();
        queue.online = Some(false);
        if idles {
            queue.current = queue.idle;
        }
        ids(&machine.judge())
    };
    assert_eq!(offline(true), []);
    // One that is being switched off runs what that takes.
    assert_eq!(offline(false), [Issue::Starvation]);
}
