//! Grace periods that do not end.

use vmcore_kernel::Source;

use crate::*;

fn stalled(running: bool, age_ns: u64, said: bool) -> Diagnosis {
    stalled_by(&["spin_for_ever", "driver_write"], running, age_ns, said)
}

fn stalled_by(functions: &[&str], running: bool, age_ns: u64, said: bool) -> Diagnosis {
    let mut machine = Machine::new();
    machine.runs(1, 31, functions, 8 * SECOND);
    machine.state.grace_period = Some(GracePeriod {
        running,
        cpus: if running { vec![held_by_cpu_1()] } else { Vec::new() },
        ..grace_period(age_ns)
    });
    if said {
        machine.log("rcu: INFO: rcu_preempt self-detected stall on CPU");
        machine.log("rcu: \t1-....: (5249 ticks this GP) idle=79f/1/0x4000000000000000 softirq=1/1 fqs=2");
    }
    if said && running {
        machine.panic("Kernel panic - not syncing: RCU Stall", 1);
    }
    machine.judge()
}

#[test]
fn a_grace_period_that_does_not_end_names_who_holds_it_up() {
    let diagnosis = stalled(true, 6 * SECOND, true);
    assert_eq!(verdict(&diagnosis), (Some(Issue::RcuStall), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("CPU 1 (pid 31"), "{}", diagnosis.verdict.summary);
    assert_eq!(verdict(&stalled(true, 40 * SECOND, false)), (Some(Issue::RcuStall), Confidence::Probable));
}

/// User code is a quiescent state, which somebody has to see.
#[test]
fn a_cpu_in_user_code_is_said_to_be_there() {
    let in_user =
        "CPU 1 (pid 31 \"comm31\") in user code, which its tick or the grace-period kthread has yet to report";
    let diagnosis = stalled_by(&[], true, 40 * SECOND, false);
    let stall = finding(&diagnosis, Issue::RcuStall);
    assert!(stall.summary.contains(in_user), "{}", stall.summary);
    assert!(!finding(&stalled(true, 40 * SECOND, false), Issue::RcuStall).summary.contains("in user code"));
}

/// A grace period that no CPU holds up, but perhaps a task.
fn held_up_by_readers(readers: Vec<GraceReader>) -> Diagnosis {
    held_up_by(readers, None, 35 * SECOND)
}

/// The same, or RCU's own thread. Task 40 has waited for its CPU for `waited_ns`.
fn held_up_by(readers: Vec<GraceReader>, ender: Option<GraceEnder>, waited_ns: u64) -> Diagnosis {
    let mut machine = Machine::new();
    // Somebody has that CPU.
    machine.runs(1, 31, &[], SECOND);
    machine.queued(40, 1, waited_ns);
    machine.state.grace_period = Some(GracePeriod { readers, ender, ..grace_period(40 * SECOND) });
    machine.log("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:");
    machine.judge()
}

#[test]
fn a_reader_that_lost_its_cpu_holds_a_grace_period_up() {
    let entry = task_address(40).wrapping_add(0x500);
    let reader = GraceReader {
        task: task_address(40),
        named_at: Source {
            type_name: Some("rcu_node"),
            path: "gp_tasks",
            address: VirtAddr::new(0xffff_8880_0c00_0050),
        },
        entry,
    };
    let diagnosis = held_up_by_readers(vec![reader]);
    assert_eq!(verdict(&diagnosis), (Some(Issue::RcuStall), Confidence::Confirmed));
    let stall = finding(&diagnosis, Issue::RcuStall);
    for part in ["pid 40 \"comm40\"", "lost its CPU within a read-side section", "waits for CPU 1"] {
        assert!(stall.summary.contains(part), "{part} in {}", stall.summary);
    }
    let held_up = |edge: &&Edge| edge.kind == EdgeKind::HeldUpBy;
    let edge = diagnosis.graph.edges().iter().find(held_up).unwrap();
    assert!(matches!(edge.to, Node::Task { pid: 40, .. }) && !edge.evidence.is_empty(), "{edge:?}");
    // Whoever holds it up otherwise is not known, which is no end of the chain.
    let unknown = held_up_by_readers(Vec::new());
    let edge = unknown.graph.edges().iter().find(held_up).unwrap();
    assert!(edge.to.is_unknown(), "{edge:?}");
}

#[test]
fn a_grace_period_whose_own_thread_gets_no_cpu() {
    let named_at = |task| GraceEnder {
        task,
        named_at: Source {
            type_name: Some("rcu_state"),
            path: "gp_kthread",
            address: VirtAddr::new(0xffff_8880_0c00_1050),
        },
        free_root: Some(VirtAddr::new(0xffff_8880_0c00_1000)),
    };
    let diagnosis = held_up_by(Vec::new(), Some(named_at(task_address(40))), 35 * SECOND);
    let stall = finding(&diagnosis, Issue::RcuStall);
    assert_eq!((stall.confidence, stall.severity), (Confidence::Confirmed, Severity::Critical));
    for part in ["for 40.0 s", "pid 40 \"comm40\", the thread that ends it", "waits for CPU 1"] {
        assert!(stall.summary.contains(part), "{part} in {}", stall.summary);
    }
    assert!(!stall.summary.contains("had ended"), "{}", stall.summary);
    let edge = diagnosis.graph.edges().iter().find(|edge| edge.kind == EdgeKind::HeldUpBy).unwrap();
    assert!(matches!(edge.to, Node::Task { pid: 40, .. }) && edge.evidence.len() == 2, "{edge:?}");
    // One that was woken a moment ago had no time to end it.
    let woken = held_up_by(Vec::new(), Some(named_at(task_address(40))), SECOND / 1000);
    assert_eq!(finding(&woken, Issue::RcuStall).confidence, Confidence::Probable);
    // The idle thread of CPU 0 does not wait for a CPU: what keeps the grace period from its end is not told.
    let asleep = held_up_by(Vec::new(), Some(named_at(VirtAddr::new(0xffff_8880_0dea_d000))), 35 * SECOND);
    assert_eq!(finding(&asleep, Issue::RcuStall).confidence, Confidence::Probable);
}

#[test]
fn a_grace_period_that_goes_on_or_has_ended_is_no_stall() {
    assert_eq!(ids(&stalled(true, SECOND, false)), []);
    let over = stalled(false, 40 * SECOND, true);
    assert_eq!(finding(&over, Issue::RcuStall).severity, Severity::Warning);
    assert_eq!(ids(&stalled(false, 40 * SECOND, false)), []);
}

/// It may end while the kernel still tells of it.
#[test]
fn a_grace_period_that_the_kernel_died_of_and_that_has_ended_is_told_as_what_was() {
    let mut machine = Machine::new();
    machine.state.grace_period = Some(GracePeriod { running: false, cpus: Vec::new(), ..grace_period(40 * SECOND) });
    machine.log("rcu: INFO: rcu_preempt self-detected stall on CPU");
    machine.log("rcu: \t1-....: (5249 ticks this GP) idle=79f/1/0x4000000000000000 softirq=1/1 fqs=2");
    machine.panic("Kernel panic - not syncing: RCU Stall", 1);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::RcuStall), Confidence::Probable));
    assert!(
        diagnosis.verdict.summary.contains("had not ended as the kernel complained"),
        "{}",
        diagnosis.verdict.summary
    );
    let holds = diagnosis.refutations.iter().any(|check| check.result == vmcore_diagnose::CheckResult::Holds);
    assert!(!holds, "{:?}", diagnosis.refutations);
}

/// Expedited grace periods have a sequence of their own: that no normal one is going on says nothing of them.
#[test]
fn an_expedited_stall_has_not_ended_because_nothing_else_goes_on() {
    let mut machine = Machine::new();
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 8 * SECOND);
    machine.state.grace_period = Some(GracePeriod { seq: 0x14, running: false, age_ns: None, ..grace_period(0) });
    machine.log(
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 21003 jiffies s: 1234 root: 0x2/.",
    );
    let diagnosis = machine.judge();
    let stall = finding(&diagnosis, Issue::RcuStall);
    assert_eq!(stall.severity, Severity::Critical);
    assert!(!stall.summary.contains("had ended"), "{}", stall.summary);
}

/// Idle CPUs pass no quiescent state by themselves: the thread of grace periods sees that they idle.
#[test]
fn idle_cpus_do_not_hold_a_grace_period_up_but_its_thread_does() {
    let mut machine = Machine::new();
    machine.runs(0, 31, &["spin_for_ever", "driver_write"], SECOND);
    machine.queued(40, 0, 35 * SECOND);
    machine.state.grace_period = Some(GracePeriod {
        name: Some("rcu_sched".to_owned()),
        cpus: vec![held_by_cpu_1()],
        ender: Some(GraceEnder {
            task: task_address(40),
            named_at: Source {
                type_name: Some("rcu_state"),
                path: "gp_kthread",
                address: VirtAddr::new(0xffff_8880_0c00_1050),
            },
            free_root: None,
        }),
        ..grace_period(40 * SECOND)
    });
    machine.log("rcu: INFO: rcu_sched detected stalls on CPUs/tasks:");
    let diagnosis = machine.judge();
    let stall = finding(&diagnosis, Issue::RcuStall);
    for part in ["pid 40 \"comm40\", the grace-period kthread, to notice that CPU 1 only idled", "waits for CPU 0"] {
        assert!(stall.summary.contains(part), "{part} in {}", stall.summary);
    }
    let edge = diagnosis.graph.edges().iter().find(|edge| edge.kind == EdgeKind::HeldUpBy).unwrap();
    assert!(matches!(edge.to, Node::Task { pid: 40, .. }), "{edge:?}");
}

/// The state of ordinary RCU says nothing of the grace periods of RCU-tasks and of expedited ones.
#[test]
fn a_stall_of_rcu_tasks_is_not_explained_by_an_ordinary_grace_period() {
    for said in [
        "rcu: INFO: rcu_tasks detected stalls on tasks:",
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-.... } 21003 jiffies s: 1234 root: 0x1/.",
    ] {
        let mut machine = Machine::new();
        machine.runs(1, 31, &["spin_for_ever", "driver_write"], 8 * SECOND);
        machine.state.grace_period = Some(GracePeriod { cpus: vec![held_by_cpu_1()], ..grace_period(SECOND / 100) });
        machine.log(said);
        let diagnosis = machine.judge();
        let stall = finding(&diagnosis, Issue::RcuStall);
        assert_eq!(stall.severity, Severity::Critical, "{said}");
        for wrong in ["had ended", "CPU 1", "0.01 s"] {
            assert!(!stall.summary.contains(wrong), "{said}: {}", stall.summary);
        }
    }
}

/// With `rcupdate.rcu_expedited=1` it is an expedited one, of which the state of ordinary ones says nothing; with
/// `rcupdate.rcu_normal=1` whoever asks for an expedited one gets an ordinary one.
#[test]
fn who_waits_for_an_expedited_grace_period_does_not_wait_for_the_ordinary_one() {
    let waits = |innermost: &[&str]| {
        let mut machine = Machine::new();
        machine.runs(1, 31, &["spin_for_ever", "driver_write"], 8 * SECOND);
        machine.sleeper(50, 30 * SECOND);
        let index = machine.blocked[0].task;
        let stack = [&["__schedule", "schedule"], innermost, &["namespace_unlock", "path_umount"]].concat();
        machine.blocked[0] = support::stack(index, 50, &stack);
        machine.state.grace_period = Some(GracePeriod { cpus: vec![held_by_cpu_1()], ..grace_period(40 * SECOND) });
        let diagnosis = machine.judge();
        diagnosis.graph.edges().iter().any(|edge| edge.kind == EdgeKind::WaitsForGracePeriod)
    };
    assert!(waits(&["synchronize_rcu"]));
    assert!(!waits(&["synchronize_rcu_expedited", "synchronize_rcu"]));
    assert!(!waits(&["synchronize_sched_expedited", "synchronize_sched"]), "before 4.20");
    assert!(waits(&["wait_for_completion", "synchronize_rcu_normal", "synchronize_rcu_expedited"]));
    assert!(waits(&["wait_for_completion", "__wait_rcu_gp", "synchronize_rcu_expedited", "synchronize_rcu"]));
}
