//! Findings beside the livelock, each with what must not be one.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it found")]

mod neighbours_support;
mod support;

use neighbours_support::*;
use support::{LOCKED, page, page_address, task_address};
use vmcore_diagnose::graph::{Edge, EdgeKind, Node, ShapeKind};
use vmcore_diagnose::{Confidence, Diagnosis, Finding, Holder, HolderFound, Severity, Spin, issue};
use vmcore_kernel::{
    AwaitedWork, GraceHoldout, GracePeriod, GraceReader, LockKind, Owner, PageWait, PendingCall, Policy, SpinLockWord,
    TaskState,
};
use vmcore_memory::VirtAddr;

fn finding<'d>(diagnosis: &'d Diagnosis, id: &str) -> &'d Finding {
    let ids: Vec<_> = diagnosis.findings.iter().map(|finding| finding.id).collect();
    diagnosis.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id} in {ids:?}"))
}

fn ids(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.findings.iter().map(|finding| finding.id).collect()
}

fn verdict(diagnosis: &Diagnosis) -> (Option<&'static str>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

#[test]
fn a_circle_of_mutexes_is_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.sleeper(12, 5 * SECOND).waits(12, LockKind::Mutex, LOCK_B, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::DEADLOCK), Confidence::Confirmed));
    let deadlock = finding(&diagnosis, issue::DEADLOCK);
    for part in ["2 tasks", "pid 10 \"comm10\" waits for mutex", "held by pid 11", "pid 11 \"comm11\" waits"] {
        assert!(deadlock.summary.contains(part), "{part} in {}", deadlock.summary);
    }
    assert!(!deadlock.summary.contains("pid 12"), "{}", deadlock.summary);
    assert!(deadlock.evidence.iter().all(|evidence| evidence.place.is_some() && evidence.value.is_some()));
}

#[test]
fn the_stacks_of_who_waits_are_shown_and_what_to_do_is_said() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.sleeper(12, 7 * SECOND);
    let pids: Vec<_> = machine.tasks.iter().map(|task| task.pid).collect();
    let diagnosis = machine.judge();
    let shown: Vec<_> = diagnosis.stacks.iter().map(|stack| pids[stack.task]).collect();
    assert_eq!(shown, [0, 0, 10, 11]);
    assert_eq!(diagnosis.remedy.len(), 1);
    assert!(Machine::new().judge().remedy.is_empty());
}

#[test]
fn who_can_be_killed_is_not_hung() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND);
    machine.tasks.last_mut().unwrap().state = TaskState { state: 0x102, exit_state: 0 };
    assert_eq!(ids(&machine.judge()), [""; 0]);
}

#[test]
fn a_chain_of_mutexes_is_no_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(12));
    machine.sleeper(12, SECOND);
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), [""; 0]);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn a_task_that_waits_for_its_own_lock_is_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::RwSemaphore, LOCK_A, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::DEADLOCK), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("has itself"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_circle_through_readers_is_only_probable() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::RwSemaphore, LOCK_A, read_by(2, 11));
    machine.sleeper(11, SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    assert_eq!(verdict(&machine.judge()), (Some(issue::DEADLOCK), Confidence::Probable));
}

#[test]
fn a_lock_that_is_held_too_long_names_its_owner_and_what_that_does() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::LOCK_HELD), Confidence::Confirmed));
    let held = finding(&diagnosis, issue::LOCK_HELD);
    for part in ["held by pid 12", "sleeps (S) in wait_for_hardware", "for up to 130.0 s: pid 10"] {
        assert!(held.summary.contains(part), "{part} in {}", held.summary);
    }
    assert_eq!(ids(&diagnosis), [issue::LOCK_HELD, issue::HUNG_TASK]);
}

#[test]
fn the_end_of_a_chain_comes_first() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 131 * SECOND).waits(11, LockKind::RwSemaphore, LOCK_B, read_by(1, 12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::LOCK_HELD), Confidence::Probable));
    assert!(diagnosis.verdict.summary.starts_with("rw_semaphore"), "{}", diagnosis.verdict.summary);
    let first = diagnosis.findings.iter().rfind(|finding| finding.id == issue::LOCK_HELD).unwrap();
    assert!(first.summary.contains("at the end of the chain, pid 12"), "{}", first.summary);
}

#[test]
fn ordinary_contention_is_no_finding() {
    for waited in [0, SECOND, 119 * SECOND] {
        let mut machine = Machine::new();
        machine.sleeper(10, waited).waits(10, LockKind::Mutex, LOCK_A, held_by(12));
        machine.asleep_in(12, "wait_for_hardware");
        assert_eq!(ids(&machine.judge()), [""; 0], "{waited}");
    }
}

#[test]
fn the_kernels_own_limit_counts() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND);
    machine.state.hung_task_timeout_ns = Some(5 * SECOND);
    assert_eq!(ids(&machine.judge()), [issue::HUNG_TASK]);
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND);
    // Switched off: then the default.
    machine.state.hung_task_timeout_ns = Some(0);
    assert_eq!(ids(&machine.judge()), [""; 0]);
}

#[test]
fn a_lock_without_a_known_owner_is_only_probable() {
    let mut machine = Machine::new();
    let unknown = Owner::Unknown("its owner cannot be read".to_owned());
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, unknown);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::LOCK_HELD), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("holder not known"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_lock_that_cannot_be_told_is_said_to_be_one() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND);
    machine.blocked[0] = support::stack(machine.blocked[0].task, 10, &["__schedule", "__mutex_lock.isra.0", "driver"]);
    let summary = machine.judge().verdict.summary;
    assert!(summary.contains("for a lock that could not be told, in driver"), "{summary}");
}

#[test]
fn a_null_pointer_names_function_and_address() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::OOPS), Confidence::Confirmed));
    for part in ["read_value+0x10 [driver]", "reads 0x18 through a NULL pointer", "on CPU 0 in pid 20"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
}

#[test]
fn an_exception_that_nobody_died_of_is_no_oops() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), [issue::CRASH_REQUESTED]);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn an_oops_without_registers_is_known_by_the_log_alone() {
    let mut machine = Machine::new();
    machine.oops(NULL_READ, 0);
    machine.running.clear();
    machine.log("RIP: 0010:read_value+0x10/0x20 [driver]");
    let diagnosis = machine.judge();
    let oops = finding(&diagnosis, issue::OOPS);
    assert!(oops.evidence.iter().any(|evidence| evidence.meaning == "where it was"), "{:?}", oops.evidence);
    assert_ne!(verdict(&diagnosis).1, Confidence::Confirmed);
}

#[test]
fn reasons_to_panic_have_their_own_names() {
    let expected = [
        ("Out of memory: system-wide panic_on_oom is enabled", Some(issue::OUT_OF_MEMORY)),
        ("VFS: Unable to mount root fs", Some(issue::PANIC)),
        ("sysrq triggered crash", None),
    ];
    for (reason, issue) in expected {
        let mut machine = Machine::new();
        machine.panic(&format!("Kernel panic - not syncing: {reason}"), 0);
        assert_eq!(verdict(&machine.judge()).0, issue, "{reason}");
    }
}

#[test]
fn who_had_the_memory_is_named() {
    let mut machine = Machine::new();
    machine.log("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name");
    machine.log("[    123]     0   123      301       16    28672        0             0 small");
    machine.log("[    188]     0   188   219898   219532  1798144        0             0 eater");
    machine.panic("Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", 0);
    let summary = machine.judge().verdict.summary;
    assert!(summary.contains("pid 188 \"eater\" had the most of it, 857 MiB"), "{summary}");
}

#[test]
fn a_crash_on_request_is_no_fault_but_what_it_shows_is() {
    let mut machine = Machine::new();
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    machine.sleeper(10, 130 * SECOND);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::HUNG_TASK), Confidence::Confirmed));
    assert_eq!(finding(&diagnosis, issue::CRASH_REQUESTED).severity, Severity::Info);
}

#[test]
fn what_explains_the_panic_comes_before_what_does_not() {
    let mut machine = Machine::new();
    machine.sleeper(10, SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(10));
    machine.panic("Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis).0, Some(issue::OUT_OF_MEMORY));
    assert_eq!(ids(&diagnosis), [issue::DEADLOCK, issue::OUT_OF_MEMORY]);
}

#[test]
fn no_neighbour_masks_the_livelock() {
    let mut machine = Machine::livelock();
    machine.sleeper(10, 130 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 130 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    machine.panic("Kernel panic - not syncing: hung_task: blocked tasks", 0);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::THP_LIVELOCK), Confidence::Confirmed));
    assert_eq!(ids(&diagnosis), [issue::DEADLOCK, issue::HUNG_TASK]);
}

const SPINLOCK: VirtAddr = VirtAddr::new(0xffff_8880_0a00_0000);

/// CPU 0 spins for a lock, with these holders; the watchdog says so.
fn spinning(holders: Vec<Holder>) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["native_queued_spin_lock_slowpath", "_raw_spin_lock", "driver_write"], 12 * SECOND);
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 12 * SECOND);
    machine.state.spins.push(Spin {
        cpu: 0,
        lock: SPINLOCK,
        word: SpinLockWord(1),
        polled: SPINLOCK,
        node: None,
        behind: None,
        holders,
    });
    machine
}

fn soft_lockup(machine: &mut Machine, cpu: u32, pid: i32) {
    machine.log(&format!("watchdog: BUG: soft lockup - CPU#{cpu} stuck for 11s! [comm{pid}:{pid}]"));
    machine.panic("Kernel panic - not syncing: softlockup: hung tasks", cpu);
}

#[test]
fn a_spin_lock_that_is_not_given_back_names_who_seems_to_have_it() {
    let mut machine = spinning(vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }]);
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::SPINLOCK_HELD), Confidence::Probable));
    for part in ["CPU 0 (pid 30 \"comm30\") spins for it", "CPU 1 (pid 31 \"comm31\") seems to have it"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
    let held = |edge: &&vmcore_diagnose::graph::Edge| edge.to.to_string() == "task 31 \"comm31\"";
    assert_eq!(diagnosis.graph.edges().iter().filter(held).count(), 1);
}

#[test]
fn a_recorded_owner_of_a_spin_lock_is_certain_and_several_candidates_are_nobody() {
    let mut machine = spinning(vec![Holder { cpu: 1, found: HolderFound::Recorded }]);
    soft_lockup(&mut machine, 0, 30);
    assert_eq!(verdict(&machine.judge()), (Some(issue::SPINLOCK_HELD), Confidence::Confirmed));
    let stack = |cpu| Holder { cpu, found: HolderFound::OnStack(VirtAddr::new(0xffff_c900_0000_1000)) };
    let mut machine = spinning(vec![stack(1), stack(2)]);
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert!(diagnosis.verdict.summary.contains("who has it is not known"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_cpu_that_is_caught_spinning_for_a_lock_is_no_finding() {
    let diagnosis = spinning(vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }]).judge();
    assert_eq!(ids(&diagnosis), [""; 0]);
    assert!(diagnosis.graph.edges().is_empty());
}

fn unanswered(reported: bool) -> Diagnosis {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["smp_call_function_many_cond", "smp_call_function", "driver_write"], 11 * SECOND);
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 11 * SECOND);
    machine.state.calls.push(PendingCall {
        from: 0,
        to: 1,
        call: VirtAddr::new(0xffff_8880_0b00_0000),
        flags_at: VirtAddr::new(0xffff_8880_0b00_0008),
        flags: 0x11,
        queued: true,
        function: Some("answer".to_owned()),
    });
    if reported {
        soft_lockup(&mut machine, 0, 30);
    }
    machine.judge()
}

#[test]
fn a_call_that_is_not_answered_names_the_cpu_that_does_not() {
    let diagnosis = unanswered(true);
    assert_eq!(verdict(&diagnosis), (Some(issue::UNANSWERED_CALL), Confidence::Confirmed));
    for part in ["CPU 0 (pid 30 \"comm30\") has waited", "not answered by CPU 1 (pid 31 \"comm31\")"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
    let ends: Vec<_> = diagnosis.graph.edges().iter().map(|edge| edge.to.to_string()).collect();
    assert!(ends.contains(&"CPU 1".to_owned()) && ends.contains(&"task 31 \"comm31\"".to_owned()), "{ends:?}");
}

#[test]
fn a_call_in_flight_is_no_finding() {
    assert_eq!(ids(&unanswered(false)), [""; 0]);
}

/// CPU 1 runs with or without interrupts, and has had its last tick so long ago.
fn deaf(eflags: u64, behind: u64) -> Diagnosis {
    let mut machine = Machine::new();
    machine.runs(1, 31, &["stop_this_cpu", "asm_exc_nmi", "spin_for_ever", "driver_write"], SECOND);
    machine.interrupted(1, 2, eflags);
    machine.cpus[1].run_queue.as_mut().unwrap().clock_ns -= behind;
    machine.judge()
}

#[test]
fn a_cpu_without_ticks_and_interrupts_is_locked_up_hard() {
    let diagnosis = deaf(0x46, 12 * SECOND);
    assert_eq!(verdict(&diagnosis), (Some(issue::HARD_LOCKUP), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("CPU 1 (pid 31") && summary.contains("12.0 s in spin_for_ever"), "{summary}");
}

#[test]
fn a_cpu_that_ticks_or_has_interrupts_on_is_not() {
    assert_eq!(ids(&deaf(0x246, 12 * SECOND)), [""; 0]);
    assert_eq!(ids(&deaf(0x46, SECOND)), [""; 0]);
}

#[test]
fn the_nmi_watchdogs_word_counts_with_the_clock() {
    let mut machine = Machine::new();
    machine.runs(1, 31, &["stop_this_cpu", "asm_exc_nmi", "spin_for_ever", "driver_write"], SECOND);
    machine.interrupted(1, 2, 0x46);
    machine.log("NMI watchdog: Watchdog detected hard LOCKUP on cpu 1");
    machine.panic("Kernel panic - not syncing: Hard LOCKUP", 1);
    assert_eq!(verdict(&machine.judge()), (Some(issue::HARD_LOCKUP), Confidence::Confirmed));
}

fn stalled(running: bool, age_ns: u64, said: bool) -> Diagnosis {
    let mut machine = Machine::new();
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 8 * SECOND);
    let held = GraceHoldout { cpu: 1, node: VirtAddr::new(0xffff_8880_0c00_0000), qsmask: 2 };
    machine.state.grace_period = Some(GracePeriod {
        name: Some("rcu_preempt".to_owned()),
        state: VirtAddr::new(0xffff_8880_0c00_1000),
        seq: 0x15,
        running,
        age_ns: Some(age_ns),
        cpus: if running { vec![held] } else { Vec::new() },
        readers: Vec::new(),
    });
    if said {
        machine.log("rcu: INFO: rcu_preempt self-detected stall on CPU");
        machine.log("rcu: \t1-....: (5249 ticks this GP) idle=79f/1/0x4000000000000000 softirq=1/1 fqs=2");
        machine.panic("Kernel panic - not syncing: RCU Stall", 1);
    }
    machine.judge()
}

#[test]
fn a_grace_period_that_does_not_end_names_who_holds_it_up() {
    let diagnosis = stalled(true, 6 * SECOND, true);
    assert_eq!(verdict(&diagnosis), (Some(issue::RCU_STALL), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("CPU 1 (pid 31"), "{}", diagnosis.verdict.summary);
    assert_eq!(verdict(&stalled(true, 40 * SECOND, false)), (Some(issue::RCU_STALL), Confidence::Probable));
}

/// A grace period that no CPU holds up, but perhaps a task.
fn held_up_by_readers(readers: Vec<GraceReader>) -> Diagnosis {
    let mut machine = Machine::new();
    machine.queued(40, 1, 35 * SECOND);
    machine.state.grace_period = Some(GracePeriod {
        name: Some("rcu_preempt".to_owned()),
        state: VirtAddr::new(0xffff_8880_0c00_1000),
        seq: 0x15,
        running: true,
        age_ns: Some(40 * SECOND),
        cpus: Vec::new(),
        readers,
    });
    machine.log("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:");
    machine.judge()
}

#[test]
fn a_reader_that_lost_its_cpu_holds_a_grace_period_up() {
    let entry = task_address(40).wrapping_add(0x500);
    let reader = GraceReader { task: task_address(40), named_at: VirtAddr::new(0xffff_8880_0c00_0050), entry };
    let diagnosis = held_up_by_readers(vec![reader]);
    assert_eq!(verdict(&diagnosis), (Some(issue::RCU_STALL), Confidence::Confirmed));
    let stall = finding(&diagnosis, issue::RCU_STALL);
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
fn a_grace_period_that_goes_on_or_has_ended_is_no_stall() {
    assert_eq!(ids(&stalled(true, SECOND, false)), [""; 0]);
    let over = stalled(false, 40 * SECOND, true);
    assert_eq!(finding(&over, issue::RCU_STALL).severity, Severity::Warning);
    assert_eq!(ids(&stalled(false, 40 * SECOND, false)), [""; 0]);
}

/// Pid 30 of this priority has CPU 0, and pid 40 waits for it.
fn starved(prio: i32, functions: &[&str], running: u64, waiting: u64) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, functions, running);
    machine.task(30).prio = prio;
    machine.task(30).policy = Policy(if prio < 100 { 1 } else { 0 });
    machine.queued(40, 0, waiting);
    machine
}

#[test]
fn a_real_time_task_starves_others() {
    let diagnosis = starved(49, &[], 3 * SECOND, 12 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::STARVATION), Confidence::Confirmed));
    for part in ["CPU 0 (pid 30", "SCHED_FIFO (prio 49)", "pid 40 \"comm40\"", "12.0 s"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
}

#[test]
fn a_real_time_task_that_has_only_just_come_is_no_verdict() {
    let mut machine = starved(49, &[], SECOND / 1000, 12 * SECOND);
    machine.queued(41, 0, SECOND / 1000);
    let diagnosis = machine.judge();
    assert_eq!((verdict(&diagnosis).0, ids(&diagnosis)), (None, vec![issue::STARVATION]));
    // Nobody else has had the CPU: the watchdog's thread may just have been there.
    let diagnosis = starved(49, &[], SECOND / 1000, 12 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::STARVATION), Confidence::Probable));
}

#[test]
fn kernel_code_that_is_not_preempted_starves_others() {
    let kernel = ["spin_for_ever", "driver_write"];
    let diagnosis = starved(120, &kernel, 25 * SECOND, 24 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::STARVATION), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("kernel code"), "{}", diagnosis.verdict.summary);
    // Not as long as the watchdog would allow: worth knowing, but no verdict.
    let diagnosis = starved(120, &kernel, 9 * SECOND, 8 * SECOND).judge();
    assert_eq!(finding(&diagnosis, issue::STARVATION).severity, Severity::Warning);
    assert_eq!(verdict(&diagnosis).0, None);
    // Without registers nobody knows what runs.
    let mut machine = starved(120, &kernel, 25 * SECOND, 24 * SECOND);
    machine.cpus[0].registers = None;
    assert_eq!(ids(&machine.judge()), [""; 0]);
}

#[test]
fn who_takes_turns_or_is_explained_starves_nobody() {
    // Waited shortly; a fair task in user code; a task of a higher rank that waits; a CPU that a lockup was reported of.
    assert_eq!(ids(&starved(49, &[], 3 * SECOND, SECOND).judge()), [""; 0]);
    assert_eq!(ids(&starved(120, &[], 9 * SECOND, 8 * SECOND).judge()), [""; 0]);
    let mut machine = starved(49, &[], 3 * SECOND, 12 * SECOND);
    machine.task(40).prio = 20;
    assert_eq!(ids(&machine.judge()), [""; 0]);
    let mut machine = starved(120, &["spin_for_ever", "driver_write"], 12 * SECOND, 8 * SECOND);
    soft_lockup(&mut machine, 0, 30);
    assert_eq!(ids(&machine.judge()), [issue::SOFT_LOCKUP]);
}

fn page_wait(flags: u64, waited: u64) -> Diagnosis {
    let mut machine = Machine::new();
    machine.sleeper(10, waited);
    machine.memory.pages.insert(page_address(0x77), page(0x77, flags, None));
    machine.state.page_waits.push(PageWait {
        task: task_address(10),
        page: page_address(0x77),
        bit: 0,
        flag: Some("PG_locked"),
        names_page: VirtAddr::new(0xffff_c900_0000_2000),
        function: "folio_wait_bit_common".to_owned(),
    });
    machine.judge()
}

#[test]
fn a_page_that_stays_locked_has_waiters_and_an_unknown_holder() {
    let diagnosis = page_wait(LOCKED, 130 * SECOND);
    assert_eq!(verdict(&diagnosis), (Some(issue::PAGE_LOCKED), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("recorded nowhere"), "{}", diagnosis.verdict.summary);
    assert!(diagnosis.graph.nodes().iter().any(vmcore_diagnose::graph::Node::is_unknown));
}

#[test]
fn a_page_that_is_unlocked_or_waited_for_shortly_is_no_finding() {
    assert_eq!(ids(&page_wait(0, 130 * SECOND)), [issue::HUNG_TASK]);
    assert_eq!(ids(&page_wait(LOCKED, SECOND)), [""; 0]);
}

#[test]
fn the_holder_of_the_livelocks_page_is_the_splitter_and_not_unknown() {
    let mut machine = Machine::livelock();
    machine.sleeper(10, 9 * SECOND);
    machine.state.page_waits.push(PageWait {
        task: task_address(10),
        page: page_address(0x4200),
        bit: 0,
        flag: Some("PG_locked"),
        names_page: VirtAddr::new(0xffff_c900_0000_2000),
        function: "folio_wait_bit_common".to_owned(),
    });
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::THP_LIVELOCK), Confidence::Confirmed));
    assert!(diagnosis.graph.edges().iter().any(|edge| edge.from.to_string() == "task 10 \"comm10\""));
    assert!(!diagnosis.graph.nodes().iter().any(vmcore_diagnose::graph::Node::is_unknown));
}

#[test]
fn a_deadlock_is_a_circle_in_the_graph() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits(10, LockKind::Mutex, LOCK_A, held_by(11));
    machine.sleeper(11, 7 * SECOND).waits(11, LockKind::Mutex, LOCK_B, held_by(10));
    let graph = machine.judge().graph;
    let kinds: Vec<_> = graph.shapes().iter().map(|shape| shape.kind).collect();
    assert_eq!(kinds, [vmcore_diagnose::graph::ShapeKind::Deadlock]);
}

const WORK: VirtAddr = VirtAddr::new(0xffff_8880_0a00_0000);

fn doing(worker: i32) -> AwaitedWork {
    AwaitedWork::Doing {
        work: WORK,
        function: Some("do_the_work".to_owned()),
        worker: task_address(worker),
        current_work_at: VirtAddr::new(0xffff_8880_0a00_1000),
    }
}

#[test]
fn a_work_that_is_not_done_names_its_worker_and_what_that_does() {
    let mut machine = Machine::new();
    machine.sleeper(10, 130 * SECOND).waits_for_work(10, doing(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::WORK_NOT_DONE), Confidence::Confirmed));
    let summary = &finding(&diagnosis, issue::WORK_NOT_DONE).summary;
    for part in ["(do_the_work)", "its worker pid 12", "sleeps (S) in wait_for_hardware", "for up to 130.0 s: pid 10"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    let hung = &finding(&diagnosis, issue::HUNG_TASK).summary;
    assert!(hung.contains("for work 0xffff88800a000000 (do_the_work)"), "{hung}");
    let kinds: Vec<_> = diagnosis.graph.edges().iter().map(|edge| edge.kind).collect();
    assert_eq!(kinds, [EdgeKind::WaitsForWork, EdgeKind::DoneBy]);
    assert_eq!(diagnosis.graph.shapes(), []);
}

#[test]
fn who_flushes_a_work_that_needs_its_lock_is_in_a_deadlock() {
    let mut machine = Machine::new();
    machine.sleeper(10, 6 * SECOND).waits_for_work(10, doing(11));
    machine.sleeper(11, 6 * SECOND).waits(11, LockKind::Mutex, LOCK_A, held_by(10));
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(issue::DEADLOCK), Confidence::Confirmed));
    let deadlock = finding(&diagnosis, issue::DEADLOCK);
    for part in
        ["2 tasks wait for each other,", "waits for work", "done by pid 11", "waits for mutex", "held by pid 10"]
    {
        assert!(deadlock.summary.contains(part), "{part} in {}", deadlock.summary);
    }
    assert!(deadlock.evidence.iter().all(|evidence| evidence.place.is_some() && evidence.value.is_some()));
    let shapes = diagnosis.graph.shapes();
    assert_eq!(shapes.iter().map(|shape| shape.kind).collect::<Vec<_>>(), [ShapeKind::Deadlock]);
}

#[test]
fn a_work_that_takes_its_time_is_no_finding() {
    let mut machine = Machine::new();
    machine.sleeper(10, 119 * SECOND).waits_for_work(10, doing(12));
    machine.asleep_in(12, "wait_for_hardware");
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), [""; 0]);
    assert_eq!(verdict(&diagnosis), (None, Confidence::None));
}

#[test]
fn a_work_that_nobody_has_begun_or_that_is_not_known_leads_to_an_unknown_node() {
    let queued = AwaitedWork::Queued { work: WORK, function: None };
    let unknown = AwaitedWork::Unknown("its worker is between two works".to_owned());
    for (work, expected) in [(queued, Some(issue::WORK_NOT_DONE)), (unknown, Some(issue::HUNG_TASK))] {
        let mut machine = Machine::new();
        machine.sleeper(10, 130 * SECOND).waits_for_work(10, work);
        let diagnosis = machine.judge();
        assert_eq!(diagnosis.verdict.issue, expected);
        assert!(diagnosis.graph.edges().iter().any(|edge| edge.to.is_unknown()), "{:?}", diagnosis.graph.edges());
    }
}
