//! Who gets a CPU by rank, by turns, or not at all.

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
