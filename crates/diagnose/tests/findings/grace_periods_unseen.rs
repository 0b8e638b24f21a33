//! Grace periods that wait for nobody, and those of which the kernel's state says nothing.

use vmcore_kernel::Source;

use crate::*;

/// The thread of grace periods, which is pid 11.
fn ender(free_root: bool) -> GraceEnder {
    let address = VirtAddr::new(0xffff_8880_0c00_1050);
    GraceEnder {
        task: task_address(11),
        named_at: Source { type_name: Some("rcu_state"), path: "gp_kthread", address },
        free_root: free_root.then_some(VirtAddr::new(0xffff_8880_0c00_1000)),
    }
}

/// A grace period of so long that waits for nobody, and whose thread has slept for so long.
fn waits_for_nobody(age_ns: u64, free_root: bool, asleep_ns: u64) -> Machine {
    let mut machine = Machine::new();
    machine.sleeper(11, asleep_ns);
    machine.task(11).state = TaskState { state: 0x402, exit_state: 0 };
    machine.state.grace_period = Some(GracePeriod { ender: Some(ender(free_root)), ..grace_period(age_ns) });
    machine
}

#[test]
fn a_grace_period_that_waits_for_nobody_waits_for_its_thread() {
    let diagnosis = waits_for_nobody(100 * SECOND, true, 60 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::RcuStall), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("pid 11 \"comm11\", the thread that ends it, which sleeps"), "{summary}");
    // Who is left is not known, or the thread slept for a moment only.
    let unsure = (Some(Issue::RcuStall), Confidence::Possible);
    assert_eq!(verdict(&waits_for_nobody(100 * SECOND, false, 60 * SECOND).judge()), unsure);
    assert_eq!(verdict(&waits_for_nobody(100 * SECOND, true, SECOND / 10).judge()), unsure);
    // It is young, or just about to be ended.
    assert_eq!(ids(&waits_for_nobody(20 * SECOND, true, 19 * SECOND).judge()), []);
    let mut woken = waits_for_nobody(100 * SECOND, true, 60 * SECOND);
    woken.task(11).state = TaskState { state: 0x200, exit_state: 0 };
    assert!(!ids(&woken.judge()).contains(&Issue::RcuStall));
}

const EXPEDITED: &str =
    "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... } 21003 jiffies s: 1234 root: 0x2/.";
const OF_TASKS: &str = "INFO: rcu_tasks detected stalls on tasks:";

/// The kernel complained of another grace period so long ago; CPU 1 has run this task since then, or idles.
fn complained(line: &str, ago: u64, running: Option<u64>) -> (Severity, String) {
    let mut machine = Machine::new();
    if let Some(running) = running {
        machine.runs(1, 31, &["driver_work", "driver_write"], running);
    }
    machine.log_at(line, NOW - ago);
    let diagnosis = machine.judge();
    let stall = finding(&diagnosis, Issue::RcuStall);
    (stall.severity, stall.summary.clone())
}

#[test]
fn an_expedited_stall_may_have_ended_where_its_cpu_has_passed() {
    for running in [None, Some(SECOND)] {
        let (severity, summary) = complained(EXPEDITED, 100 * SECOND, running);
        assert_eq!(severity, Severity::Warning);
        assert!(summary.contains("whether it has ended since is not known"), "{summary}");
        assert!(!summary.contains("has not ended"), "{summary}");
    }
    assert_eq!(complained(EXPEDITED, 10 * SECOND, Some(15 * SECOND)).0, Severity::Critical);
}

#[test]
fn a_stall_of_tasks_may_have_ended_where_the_kernel_has_not_complained_again() {
    assert_eq!(complained(OF_TASKS, 100 * SECOND, None).0, Severity::Warning);
    assert_eq!(complained(OF_TASKS, 30 * SECOND, None).0, Severity::Critical);
}
