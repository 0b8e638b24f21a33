//! CPUs that spin for a lock, wait for an answer, or give none.

use crate::*;

pub(crate) const WATCHED: Option<u64> = Some(10 * SECOND);

const SPINLOCK: VirtAddr = VirtAddr::new(0xffff_8880_0a00_0000);

/// CPU 0 spins for a lock, with these holders; the watchdog says so.
fn spinning(holders: Vec<Holder>) -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["native_queued_spin_lock_slowpath", "_raw_spin_lock", "driver_write"], 12 * SECOND);
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 12 * SECOND);
    machine.state.spins.push(Spin { holders, ..spin(0) });
    machine
}

/// A CPU spins for a lock of which nobody is known to have it.
pub(crate) fn spin(cpu: u32) -> Spin {
    Spin {
        cpu,
        lock: SPINLOCK,
        word: SpunFor::Spin(SpinLockWord(1)),
        polled: SPINLOCK,
        node: None,
        behind: None,
        holders: Vec::new(),
    }
}

#[test]
fn a_spin_lock_that_is_not_given_back_names_who_seems_to_have_it() {
    let mut machine = spinning(vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }]);
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SpinlockHeld), Confidence::Probable));
    for part in ["CPU 0 (pid 30 \"comm30\") spins for it", "CPU 1 (pid 31 \"comm31\") seems to have it"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
    let held = |edge: &&vmcore_diagnose::graph::Edge| edge.to.to_string() == "task 31 \"comm31\"";
    assert_eq!(diagnosis.graph.edges().iter().filter(held).count(), 1);
}

/// CPU 0 spins to write for a lock with this word, which CPU 1 has at hand.
fn spins_to_write(word: u32) -> Diagnosis {
    let mut machine = spinning(Vec::new());
    let word = SpunFor::ReadWrite { word: RwLockWord(word), to_write: true };
    let holders = vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }];
    machine.state.spins = vec![Spin { word, holders, ..spin(0) }];
    soft_lockup(&mut machine, 0, 30);
    machine.judge()
}

#[test]
fn a_reader_writer_lock_is_not_given_back_by_its_writer_or_by_one_of_its_readers() {
    let cases = [
        (0xff, "seems to have it", "owned_by", "spins to write: a writer has it"),
        (0x300, "seems to have it", "read_by", "spins to write: 1 reader has it; a writer waits"),
        (0x700, "seems to be one of its readers", "read_by", "spins to write: 3 readers have it; a writer waits"),
    ];
    for (word, who, kind, says) in cases {
        let diagnosis = spins_to_write(word);
        assert_eq!(verdict(&diagnosis), (Some(Issue::SpinlockHeld), Confidence::Probable));
        let summary = &diagnosis.verdict.summary;
        assert!(summary.starts_with("Reader-writer lock 0xffff88800a000000 is not released: CPU 0"), "{summary}");
        assert!(summary.contains(&format!("CPU 1 (pid 31 \"comm31\") {who}")), "{summary}");
        let edges: Vec<_> = diagnosis.graph.edges().iter().map(|edge| edge.kind.name()).collect();
        assert_eq!(edges, ["spins_on", kind]);
        let evidence = &finding(&diagnosis, Issue::SpinlockHeld).evidence;
        assert!(evidence.iter().any(|fact| fact.meaning.contains(says)), "{evidence:?}");
    }
}

#[test]
fn a_recorded_owner_of_a_spin_lock_is_certain_and_several_candidates_are_nobody() {
    let mut machine = spinning(vec![Holder { cpu: 1, found: HolderFound::Recorded }]);
    soft_lockup(&mut machine, 0, 30);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::SpinlockHeld), Confidence::Confirmed));
    let stack = |cpu| Holder { cpu, found: HolderFound::OnStack(VirtAddr::new(0xffff_c900_0000_1000)) };
    let mut machine = spinning(vec![stack(1), stack(2)]);
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert!(diagnosis.verdict.summary.contains("who has it is not known"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_cpu_that_is_caught_spinning_for_a_lock_is_no_finding() {
    let diagnosis = spinning(vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }]).judge();
    assert_eq!(ids(&diagnosis), []);
    assert!(diagnosis.graph.edges().is_empty());
}

#[test]
fn a_report_of_another_task_says_nothing_of_the_one_that_spins_now() {
    let reported = |pid: i32, ago: u64| {
        let mut machine = spinning(vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }]);
        machine.log_at(&format!("watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [comm{pid}:{pid}]"), NOW - ago);
        ids(&machine.judge()).contains(&Issue::SpinlockHeld)
    };
    assert!(!reported(29, 20 * SECOND));
    assert!(reported(30, SECOND));
}

#[test]
fn a_program_that_computes_and_is_caught_spinning_may_be_doing_that_only_now() {
    let with_user_time = |user: u64| {
        let mut machine = spinning(vec![Holder { cpu: 1, found: HolderFound::Register("rbx") }]);
        let task = machine.tasks.iter_mut().find(|task| task.pid == 30).unwrap();
        task.last_arrival_ns = Some(NOW - 100 * SECOND);
        task.accounting.user_ns = Some(user);
        machine.state.limits.watchdog = WATCHED;
        verdict(&machine.judge())
    };
    assert_eq!(with_user_time(95 * SECOND), (Some(Issue::SpinlockHeld), Confidence::Possible));
    assert_eq!(with_user_time(50 * SECOND), (Some(Issue::SpinlockHeld), Confidence::Probable));
}

/// A call of CPU 0 that CPU 1 has not answered.
pub(crate) fn unanswered_call() -> PendingCall {
    PendingCall {
        from: 0,
        to: 1,
        call: VirtAddr::new(0xffff_8880_0b00_0000),
        flags_at: Source {
            type_name: Some("__call_single_data"),
            path: "node.u_flags",
            address: VirtAddr::new(0xffff_8880_0b00_0008),
        },
        flags: 0x11,
        queued: true,
        function: Some("answer".to_owned()),
    }
}

fn unanswered(reported: bool) -> Diagnosis {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["smp_call_function_many_cond", "smp_call_function", "driver_write"], 11 * SECOND);
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 11 * SECOND);
    machine.state.calls.push(unanswered_call());
    if reported {
        soft_lockup(&mut machine, 0, 30);
    }
    machine.judge()
}

/// Since 7.3 the task may have been moved since it made the call.
#[test]
fn whom_a_caller_waits_for_may_be_unknown() {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["smp_call_function_many_cond", "smp_call_function", "driver_write"], 30 * SECOND);
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], 30 * SECOND);
    machine.state.unknown_calls.push(0);
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SoftLockup), Confidence::Confirmed));
    let edge = diagnosis.graph.edges().iter().find(|edge| edge.kind == EdgeKind::WaitsForIpi).unwrap();
    assert!(matches!(edge.from, Node::Task { pid: 30, .. }) && edge.to.is_unknown(), "{edge:?}");
}

#[test]
fn a_call_that_is_not_answered_names_the_cpu_that_does_not() {
    let diagnosis = unanswered(true);
    assert_eq!(verdict(&diagnosis), (Some(Issue::UnansweredCall), Confidence::Confirmed));
    for part in ["CPU 0 (pid 30 \"comm30\") has waited", "not answered by CPU 1 (pid 31 \"comm31\")"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
    let ends: Vec<_> = diagnosis.graph.edges().iter().map(|edge| edge.to.to_string()).collect();
    assert!(ends.contains(&"CPU 1".to_owned()) && ends.contains(&"task 31 \"comm31\"".to_owned()), "{ends:?}");
}

#[test]
fn a_call_in_flight_is_no_finding() {
    assert_eq!(ids(&unanswered(false)), []);
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
    assert_eq!(verdict(&diagnosis), (Some(Issue::HardLockup), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("CPU 1 (pid 31") && summary.contains("12.0 s in spin_for_ever"), "{summary}");
}

#[test]
fn a_cpu_that_ticks_or_has_interrupts_on_is_not() {
    assert_eq!(ids(&deaf(0x246, 12 * SECOND)), []);
    assert_eq!(ids(&deaf(0x46, SECOND)), []);
}

#[test]
fn the_nmi_watchdogs_word_counts_with_the_clock() {
    let mut machine = Machine::new();
    machine.runs(1, 31, &["stop_this_cpu", "asm_exc_nmi", "spin_for_ever", "driver_write"], SECOND);
    machine.interrupted(1, 2, 0x46);
    machine.log("NMI watchdog: Watchdog detected hard LOCKUP on cpu 1");
    machine.panic("Kernel panic - not syncing: Hard LOCKUP", 1);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::HardLockup), Confidence::Confirmed));
}

/// The panic is for the last that was reported; the one before it was over long ago, though the machine died of a hard lockup.
#[test]
fn a_hard_lockup_of_another_day_is_not_what_the_machine_died_of() {
    let mut machine = Machine::new();
    machine.runs(1, 31, &["stop_this_cpu", "asm_exc_nmi", "spin_for_ever", "driver_write"], SECOND);
    machine.interrupted(1, 2, 0x46);
    machine.log_at("NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", 0);
    machine.log("NMI watchdog: Watchdog detected hard LOCKUP on cpu 1");
    // Since 6.5 another CPU may notice it, and panic.
    machine.panic("Kernel panic - not syncing: Hard LOCKUP", 2);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::HardLockup), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.starts_with("CPU 1 (pid 31"), "{}", diagnosis.verdict.summary);
    let of_cpu_0 = diagnosis.findings.iter().find(|finding| finding.summary.starts_with("CPU 0")).unwrap();
    assert_eq!(of_cpu_0.severity, Severity::Warning);
}

/// A lockup in code from which the stack could not be followed to the entry into the kernel.
fn cut_off() -> Machine {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["native_read_msr", "driver_write"], 12 * SECOND);
    let stack = &mut machine.running[0].1;
    (stack.end, stack.error) = (StackEnd::Truncated, Some("no unwind entry covers 0xffffffff81000000".to_owned()));
    machine
}

#[test]
fn a_lockup_whose_stack_is_cut_off_is_not_confirmed_and_says_what_it_may_be() {
    let mut machine = cut_off();
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::SoftLockup), Confidence::Probable));
    for part in ["the stack of CPU 0 could not be followed", "no unwind entry covers", "spinning in page faults"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
    let mut machine = cut_off();
    machine.task(30).prio = 49;
    machine.queued(40, 0, 11 * SECOND);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("could not be followed"), "{}", diagnosis.verdict.summary);
}

#[test]
fn unwind_tables_that_were_not_understood_are_said_once_and_nothing_is_healthy() {
    let judge = |ended| {
        let mut machine = Machine::new();
        machine.state.followed.tasks = Followed { total: 90, ended, guessed: 3 };
        machine.judge()
    };
    let diagnosis = judge(4);
    assert_eq!(verdict(&diagnosis), (None, Confidence::Insufficient));
    let warnings: Vec<_> = diagnosis.unknown.iter().filter(|line| line.contains("unwind tables")).collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("only 4 of 90 stacks"), "{}", warnings[0]);
    assert_eq!(verdict(&judge(80)), (None, Confidence::None));
}

/// What is checked against a verdict fits it: nothing of page faults but that it is not the livelock.
#[test]
fn the_checks_of_a_verdict_are_about_that_verdict() {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["driver_loop", "driver_write"], 12 * SECOND);
    soft_lockup(&mut machine, 0, 30);
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis).0, Some(Issue::SoftLockup));
    let claims: Vec<_> = diagnosis.refutations.iter().map(|check| check.claim.as_str()).collect();
    let expected = [
        "pid 30 \"comm30\" has lost its CPU meanwhile",
        "pid 30 \"comm30\" was in user code, where others get their turn",
        "the report was written to the log by a program",
        "it is the huge-page livelock",
    ];
    assert_eq!(claims, expected);
    assert!(diagnosis.refutations.iter().all(|check| check.result == vmcore_diagnose::CheckResult::Refuted));
}

/// Nobody hangs because one CPU's clock says that it is much later.
#[test]
fn a_clock_that_cannot_be_right_makes_nobody_hang() {
    let mut machine = Machine::new();
    for cpu in 2..4 {
        let mut more = machine.cpus[1].clone();
        more.cpu = cpu;
        more.run_queue.as_mut().unwrap().cpu = cpu;
        machine.cpus.push(more);
        let idle = machine.running[1].1.clone();
        machine.running.push((cpu, idle));
    }
    for cpu in 0..4 {
        machine.runs(cpu, 30 + cpu.cast_signed(), &["asm_exc_nmi", "driver_loop", "driver_write"], SECOND);
        machine.interrupted(cpu, 1, 0x246);
    }
    machine.queued(40, 0, SECOND / 100);
    machine.sleeper(50, SECOND);
    machine.cpus[0].run_queue.as_mut().unwrap().clock_ns += 1000 * SECOND;
    let diagnosis = machine.judge();
    assert_eq!(ids(&diagnosis), []);
    assert!(diagnosis.unknown.iter().any(|line| line.contains("1000.0 s ahead")), "{:?}", diagnosis.unknown);
}

/// The thread of a virtual CPU, for 100 s in this code.
fn runs_guest(functions: &[&str], user_ns: u64) -> Diagnosis {
    let mut machine = Machine::new();
    let called_by = ["kvm_arch_vcpu_ioctl_run", "kvm_vcpu_ioctl", "do_syscall_64"];
    machine.runs(1, 31, &[functions, &called_by].concat(), 100 * SECOND);
    machine.task(31).accounting.user_ns = Some(user_ns);
    machine.state.limits.watchdog = WATCHED;
    machine.judge()
}

#[test]
fn kvm_between_two_runs_of_a_guest_is_kernel_code_like_any_other() {
    let stuck = runs_guest(&["kvm_tdp_mmu_map", "kvm_mmu_page_fault", "vmx_handle_exit"], SECOND);
    assert_eq!(verdict(&stuck), (Some(Issue::SoftLockup), Confidence::Probable));
    // The guest's time counts as user time.
    let busy = runs_guest(&["kvm_tdp_mmu_map", "kvm_mmu_page_fault", "vmx_handle_exit"], 99 * SECOND);
    assert_eq!(ids(&busy), []);
    assert_eq!(ids(&runs_guest(&["vmx_vcpu_run", "vcpu_enter_guest"], SECOND)), []);
}

/// The panic's NMI, or its interrupt, takes a CPU out of its guest, and is handed to the kernel by KVM.
#[test]
fn a_guest_that_the_panic_stopped_is_no_lockup() {
    let since_7_2 = ["x86_entry_from_kvm", "vmx_handle_nmi", "vmx_vcpu_enter_exit", "vmx_vcpu_run"];
    let of_interrupt = ["x86_entry_from_kvm", "handle_external_interrupt_irqoff", "vmx_handle_exit_irqoff"];
    for (by, callers) in [
        (&["idt_do_nmi_irqoff"][..], &since_7_2[..]),
        (&["asm_fred_entry_from_kvm"], &since_7_2),
        (&["panic_smp_self_stop", "fred_exc_nmi", "__fred_entry_from_kvm", "asm_fred_entry_from_kvm"], &since_7_2),
        (&["stop_this_cpu", "fred_extint", "__fred_entry_from_kvm", "asm_fred_entry_from_kvm"], &of_interrupt),
        // Before, by name alone.
        (&["asm_fred_entry_from_kvm"], &since_7_2[1..]),
        (&["vmx_do_nmi_irqoff"], &since_7_2[1..]),
    ] {
        let stack = [by, callers].concat();
        assert_eq!(ids(&runs_guest(&stack, SECOND)), [], "{stack:?}");
    }
    // What was called and is not the guest's entry is kernel code, on top of it, too.
    let handler = ["driver_interrupt", "fred_extint", "__fred_entry_from_kvm", "asm_fred_entry_from_kvm"];
    let stuck = runs_guest(&[&handler[..], &of_interrupt].concat(), SECOND);
    assert_eq!(verdict(&stuck), (Some(Issue::SoftLockup), Confidence::Probable));
}

/// CPU 0 spins, for so long, until CPU 1, which runs for so long, gives a mutex back; its owner says so.
fn spins_on_owner(spinning_ns: u64, owning_ns: u64, watchdog: Option<u64>) -> Diagnosis {
    let mut machine = Machine::new();
    machine.runs(0, 30, &["mutex_spin_on_owner", "__mutex_lock", "driver_write"], spinning_ns);
    machine.runs(1, 31, &["spin_for_ever", "driver_write"], owning_ns);
    machine.interrupted(1, 0, 0x246);
    machine.state.limits.watchdog = watchdog;
    let source = Source { type_name: Some("mutex"), path: "owner.counter", address: SPINLOCK };
    machine.state.owner_spins.push(OwnerSpin {
        cpu: 0,
        kind: LockKind::Mutex,
        lock: SPINLOCK,
        owner: task_address(31),
        names_owner: (source, task_address(31).get()),
        tied: OwnerSpinTie::Register("rdi"),
    });
    machine.judge()
}

#[test]
fn who_spins_on_the_owner_of_a_mutex_is_its_victim() {
    let edges = |diagnosis: &Diagnosis| {
        let edges = diagnosis.graph.edges().iter();
        edges.map(|edge| format!("{} {} {}", edge.from, edge.kind.name(), edge.to)).collect::<Vec<_>>()
    };
    // The owner is stuck, and what it is stuck in is the finding.
    let stuck = spins_on_owner(3 * SECOND, 60 * SECOND, WATCHED);
    assert_eq!(ids(&stuck), [Issue::SoftLockup]);
    assert!(stuck.verdict.summary.contains("CPU 1"), "{}", stuck.verdict.summary);
    let mutex = "mutex 0xffff88800a000000";
    let expected = [format!("task 30 \"comm30\" spins_on {mutex}"), format!("{mutex} owned_by task 31 \"comm31\"")];
    assert_eq!(edges(&stuck), expected);
    // Nobody says that the one who spins did so all the time.
    let spins = spins_on_owner(60 * SECOND, 3 * SECOND, None);
    assert_eq!(verdict(&spins), (Some(Issue::LockHeld), Confidence::Possible));
    let held =
        "Mutex 0xffff88800a000000 is held by pid 31 \"comm31\", which runs on CPU 1 in spin_for_ever; spinning for it";
    assert!(spins.verdict.summary.starts_with(held), "{}", spins.verdict.summary);
    // Ordinary contention.
    let moment = spins_on_owner(SECOND, SECOND, WATCHED);
    assert_eq!((ids(&moment), edges(&moment)), (vec![], vec![]));
}
