//! Tasks that get no CPU.

use crate::*;

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
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Confirmed));
    for part in ["CPU 0 (pid 30", "SCHED_FIFO priority 50", "pid 40 \"comm40\"", "12.0 s"] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
}

/// Pid 30 came to CPU 0 a millisecond ago, pid 40 has been waiting there for 12 s, and so has pid 41 for a millisecond. Both last ran so
/// long ago.
fn only_just_come(pid_41_ran_ago: u64) -> Machine {
    let mut machine = starved(49, &[], SECOND / 1000, 12 * SECOND);
    machine.queued(41, 0, SECOND / 1000);
    machine.cpus[0].run_queue.as_mut().unwrap().task_clock_ns = Some(NOW);
    for (pid, ran_ago) in [(40, 12 * SECOND), (41, pid_41_ran_ago)] {
        machine.task(pid).last_arrival_ns = Some(NOW - ran_ago - SECOND);
        machine.task(pid).exec_start_ns = Some(NOW - ran_ago);
    }
    machine
}

#[test]
fn a_real_time_task_that_has_only_just_come_is_no_verdict() {
    let diagnosis = only_just_come(SECOND / 1000).judge();
    assert_eq!((verdict(&diagnosis).0, ids(&diagnosis)), (None, vec![Issue::Starvation]));
    // One that sleeps now had its turn.
    let mut machine = only_just_come(30 * SECOND);
    let asleep = machine.task(41);
    (asleep.state, asleep.on_rq) = (TaskState { state: 1, exit_state: 0 }, 0);
    asleep.exec_start_ns = Some(NOW - SECOND / 1000);
    assert_eq!(verdict(&machine.judge()).0, None);
}

/// The watchdog's thread has just been there, as it is every few seconds. That somebody was woken since, and waits too, changes nothing.
#[test]
fn a_real_time_task_that_nobody_of_a_lower_rank_came_between_starves_others() {
    let diagnosis = only_just_come(30 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    let says = "nobody of a lower rank has had it for 12.0 s";
    assert!(diagnosis.verdict.summary.contains(says), "{}", diagnosis.verdict.summary);
    // Several of them take turns with one another, and with nobody else.
    let mut machine = only_just_come(30 * SECOND);
    machine.queued(42, 0, SECOND / 1000);
    machine.task(42).prio = 49;
    machine.task(42).policy = Policy(2);
    machine.task(42).exec_start_ns = Some(NOW - SECOND / 1000);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Probable));
}

#[test]
fn a_machine_is_not_well_where_nobody_knows_who_ran_before_a_real_time_task() {
    let mut machine = only_just_come(30 * SECOND);
    machine.task(41).exec_start_ns = None;
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Possible));
    // It came from another CPU, and ran there.
    let mut machine = only_just_come(30 * SECOND);
    machine.task(41).exec_start_ns = Some(0);
    machine.task(41).last_arrival_ns = Some(NOW - SECOND / 500);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Possible));
}

#[test]
fn kernel_code_that_is_not_preempted_starves_others() {
    let kernel = ["spin_for_ever", "driver_write"];
    let diagnosis = starved(120, &kernel, 25 * SECOND, 24 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("kernel code"), "{}", diagnosis.verdict.summary);
    // Not as long as the watchdog would allow: worth knowing, but no verdict.
    let diagnosis = starved(120, &kernel, 9 * SECOND, 8 * SECOND).judge();
    assert_eq!(finding(&diagnosis, Issue::Starvation).severity, Severity::Warning);
    assert_eq!(verdict(&diagnosis).0, None);
    // Without registers nobody knows what runs.
    let mut machine = starved(120, &kernel, 25 * SECOND, 24 * SECOND);
    machine.cpus[0].registers = None;
    assert_eq!(ids(&machine.judge()), []);
}

/// An administrator may have the watchdog wait for two minutes: whoever gave up on the machine before did not find it well.
#[test]
fn the_longest_patience_of_a_watchdog_makes_no_machine_well() {
    let kernel = ["spin_for_ever", "driver_write"];
    let patient = |running| {
        let mut machine = starved(120, &kernel, running, running - SECOND);
        machine.state.limits.watchdog = Some(60 * SECOND);
        machine
    };
    assert_eq!(verdict(&patient(100 * SECOND).judge()), (Some(Issue::Starvation), Confidence::Confirmed));
    let mut requested = patient(100 * SECOND);
    requested.panic("Kernel panic - not syncing: sysrq triggered crash", 1);
    assert_eq!(verdict(&requested.judge()), (Some(Issue::Starvation), Confidence::Confirmed));
    // No more than the default, and as its kernel sees it where that stopped itself for something else.
    assert_eq!(verdict(&patient(15 * SECOND).judge()).0, None);
    let mut stopped = patient(100 * SECOND);
    stopped.panic("Kernel panic - not syncing: hung_task: blocked tasks", 1);
    assert_eq!(finding(&stopped.judge(), Issue::Starvation).severity, Severity::Warning);
}

#[test]
fn who_takes_turns_or_is_explained_starves_nobody() {
    // Waited shortly; a fair task in user code; a task of a higher rank that waits; a CPU that a lockup was reported of.
    assert_eq!(ids(&starved(49, &[], 3 * SECOND, SECOND).judge()), []);
    assert_eq!(ids(&starved(120, &[], 9 * SECOND, 8 * SECOND).judge()), []);
    let mut machine = starved(49, &[], 3 * SECOND, 12 * SECOND);
    machine.task(40).prio = 20;
    assert_eq!(ids(&machine.judge()), []);
    let mut machine = starved(120, &["spin_for_ever", "driver_write"], 12 * SECOND, 8 * SECOND);
    soft_lockup(&mut machine, 0, 30);
    assert_eq!(ids(&machine.judge()), [Issue::SoftLockup]);
}

/// A real-time hog beside which fair tasks are granted 50 ms of every second, so that nobody waits for long at a time.
pub(crate) fn granted(hog_ran: u64) -> Machine {
    let mut machine = starved(49, &[], 900 * SECOND / 1000, 900 * SECOND / 1000);
    let counters = |run_ns, run_delay_ns| TaskCounters {
        run_ns: Some(run_ns),
        run_delay_ns: Some(run_delay_ns),
        start_ns: Some(NOW - 40 * SECOND),
        ..TaskCounters::default()
    };
    machine.state.scheduler.tasks.insert(task_address(30), counters(hog_ran, SECOND));
    machine.state.scheduler.tasks.insert(task_address(40), counters(2 * SECOND, 38 * SECOND));
    machine
}

#[test]
fn who_is_granted_moments_beside_a_real_time_hog_starves() {
    let diagnosis = granted(38 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    let evidence = &finding(&diagnosis, Issue::Starvation).evidence;
    assert!(evidence.iter().any(|fact| fact.what.contains("run_delay")), "{evidence:?}");
    // Nor is it one's health that another waits beside it, whose counters are of a long life.
    let mut machine = granted(38 * SECOND);
    machine.queued(41, 0, 600 * SECOND / 1000);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Probable));
    // One that does its work and sleeps is no hog, whoever waits for it at the moment.
    assert_eq!(ids(&granted(4 * SECOND).judge()), []);
}

/// CPU 0 idles, and pid 40 has been queued there for so long.
fn idles_though_queued(waiting: u64) -> Machine {
    let mut machine = Machine::new();
    machine.queued(40, 0, waiting);
    machine
}

#[test]
fn who_waits_for_an_idle_cpu_starves() {
    let diagnosis = idles_though_queued(95 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("CPU 0 idles; for up to 95.0 s"), "{}", diagnosis.verdict.summary);
    assert!(diagnosis.remedy[0].action.contains("why the CPU was not told"), "{:?}", diagnosis.remedy);
    // The host of a virtual CPU may not have run it.
    assert_eq!(verdict(&idles_though_queued(8 * SECOND).judge()), (Some(Issue::Starvation), Confidence::Possible));
    assert_eq!(verdict(&idles_though_queued(SECOND).judge()), (None, Confidence::None));
}

/// Nobody knows that it was for something else.
#[test]
fn what_may_be_wrong_is_not_well_because_of_a_warning_or_a_request() {
    for line in [
        "WARNING: CPU: 1 PID: 2 at drivers/demo.c:12 demo_init+0x1/0x2 [demo]",
        "Memory cgroup out of memory: Killed process 12 (java) total-vm:1kB",
    ] {
        let mut machine = idles_though_queued(8 * SECOND);
        machine.log_at(line, NOW - 150 * SECOND);
        assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Possible), "{line}");
    }
    let mut machine = idles_though_queued(8 * SECOND);
    machine.panic("Kernel panic - not syncing: sysrq triggered crash", 0);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Possible));
}

/// An idle CPU's clock was last set as the task was queued, and has stood still since.
#[test]
fn who_waits_for_an_idle_cpu_waits_by_the_clock_of_the_machine() {
    let mut machine = idles_though_queued(95 * SECOND);
    machine.cpus[0].run_queue.as_mut().unwrap().clock_ns -= 95 * SECOND;
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Confirmed));
}

/// CPU 0 idles, and these have been woken there, have not run for so long, and are not in its queue yet.
fn woken(pids: &[i32], off_cpu_ns: u64) -> Machine {
    let mut machine = Machine::new();
    for &pid in pids {
        machine.sleeper(pid, off_cpu_ns);
        machine.task(pid).state = TaskState { state: 0x200, exit_state: 0 };
    }
    machine
}

#[test]
fn who_was_woken_and_put_into_no_queue_starves() {
    let diagnosis = woken(&[40, 41], 95 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("CPU 0 idles") && summary.contains("pid 41 \"comm41\""), "{summary}");
    // One may have been woken just now.
    assert_eq!(verdict(&woken(&[40], 95 * SECOND).judge()), (Some(Issue::Starvation), Confidence::Possible));
    assert_eq!(verdict(&woken(&[40, 41], 8 * SECOND).judge()), (Some(Issue::Starvation), Confidence::Possible));
    assert_eq!(verdict(&woken(&[40, 41], SECOND).judge()), (None, Confidence::None));
}

#[test]
fn who_was_woken_on_a_cpu_that_does_something_is_about_to_run() {
    // The interrupt has come.
    let mut machine = woken(&[40, 41], 95 * SECOND);
    let handler =
        ["sched_ttwu_pending", "flush_smp_call_function_queue", "default_idle", "do_idle", "cpu_startup_entry"];
    machine.running[0].1 = support::stack(0, 0, &handler);
    assert_eq!(ids(&machine.judge()), []);
    // The CPU that panicked has stopped it: who was woken after that waits in vain, and was not what stopped the machine.
    let mut machine = woken(&[40, 41], 95 * SECOND);
    let stopped = ["stop_this_cpu", "asm_sysvec_reboot", "default_idle", "do_idle", "cpu_startup_entry"];
    machine.running[0].1 = support::stack(0, 0, &stopped);
    machine.interrupted(0, 2, 0x246);
    assert_eq!(ids(&machine.judge()), []);
    let mut machine = woken(&[40, 41], 95 * SECOND);
    machine.panic("Kernel panic - not syncing: hung_task: blocked tasks", 1);
    assert_eq!(finding(&machine.judge(), Issue::Starvation).confidence, Confidence::Possible);
}

#[test]
fn who_may_not_run_does_not_wait_for_an_idle_cpu() {
    let with = |counters: TaskCounters| {
        let mut machine = idles_though_queued(95 * SECOND);
        machine.state.scheduler.tasks.insert(task_address(40), counters);
        machine
    };
    let throttled = TaskCounters { throttled_queue: Some(LOCK_A), ..TaskCounters::default() };
    let throttled = with(throttled).judge();
    let of_idle = |finding: &Finding| finding.summary.contains("idles");
    assert!(!throttled.findings.iter().any(of_idle), "{}", throttled.verdict.summary);
    let spent = TaskCounters { deadline_throttled: Some(true), ..TaskCounters::default() };
    assert_eq!(ids(&with(spent).judge()), []);
    // Another thread of the core runs what must not run beside it.
    let mut forced = with(TaskCounters { core_cookie: Some(1), ..TaskCounters::default() });
    let grants = vmcore_kernel::CpuGrants { core_cookie: Some(2), ..vmcore_kernel::CpuGrants::default() };
    forced.state.scheduler.cpus.insert(0, grants);
    assert_eq!(verdict(&forced.judge()), (Some(Issue::Starvation), Confidence::Possible));
}

#[test]
fn a_fair_task_that_keeps_its_cpu_in_user_code_for_long_is_possible_only() {
    let diagnosis = starved(120, &[], 150 * SECOND, 25 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Possible));
    assert!(diagnosis.verdict.summary.contains("its tick may be dead"), "{}", diagnosis.verdict.summary);
}

/// The fault of user code in which pid 30 was caught, which has spent so much of its life in user code.
fn in_user_fault(entry: &str, user_ns: u64) -> Diagnosis {
    over_user_code(&["filemap_fault", "handle_mm_fault", "exc_page_fault", entry], user_ns)
}

#[test]
fn a_page_fault_of_user_code_that_does_not_end_is_kernel_code() {
    let endless = in_user_fault("asm_exc_page_fault", SECOND);
    assert_eq!(verdict(&endless), (Some(Issue::Starvation), Confidence::Confirmed));
    // Of one that was mostly in user code, this fault may be of the moment.
    let of_the_moment = in_user_fault("asm_exc_page_fault", 58 * SECOND);
    assert_eq!(verdict(&of_the_moment), (Some(Issue::Starvation), Confidence::Possible));
    // What stopped the CPU is no code of its task.
    let stopped = in_user_fault("asm_exc_nmi", SECOND);
    assert_eq!(verdict(&stopped), (Some(Issue::Starvation), Confidence::Possible));
}

/// Pid 30 has had CPU 0 for 100 s of a life of `life_ns`, of which it had so much in user code, and was caught in a system call.
fn in_a_call(user_ns: u64, life_ns: u64) -> Machine {
    let mut machine = starved(120, &["my_read", "__do_sys_getpid", "do_syscall_64"], 100 * SECOND, 99 * SECOND);
    machine.task(30).accounting.user_ns = Some(user_ns);
    let counters = TaskCounters { start_ns: Some(NOW - life_ns), ..TaskCounters::default() };
    machine.state.scheduler.tasks.insert(task_address(30), counters);
    machine
}

#[test]
fn a_system_call_of_a_task_that_computes_is_not_what_keeps_the_cpu() {
    let diagnosis = in_a_call(99 * SECOND, 120 * SECOND).judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Possible));
    assert!(diagnosis.verdict.summary.contains("its tick may be dead"), "{}", diagnosis.verdict.summary);
    // What it had in user code it may have had before: then the watchdog tells, whose thread would have come in between.
    assert_eq!(verdict(&in_a_call(99 * SECOND, 200 * SECOND).judge()).1, Confidence::Possible);
    let mut watched = in_a_call(99 * SECOND, 200 * SECOND);
    watched.state.limits.watchdog = Some(10 * SECOND);
    let diagnosis = watched.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("kernel code that is not preempted"), "{}", diagnosis.verdict.summary);
    // And it does not where it was surely before: the task is not that old.
    let mut watched = in_a_call(99 * SECOND, 120 * SECOND);
    watched.state.limits.watchdog = Some(10 * SECOND);
    assert_eq!(verdict(&watched.judge()).1, Confidence::Possible);
}

#[test]
fn kernel_code_keeps_its_cpu_for_another_reason_where_it_is_preempted() {
    let mut machine = starved(120, &["spin_for_ever", "driver_write"], 25 * SECOND, 24 * SECOND);
    machine.preemption = vmcore_diagnose::KernelPreemption::Yes;
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("preemption may be off there"), "{}", diagnosis.verdict.summary);
    let of_hog = diagnosis.refutations.iter().find(|check| check.claim.contains("gives its CPU")).unwrap();
    assert_eq!(of_hog.result, vmcore_diagnose::CheckResult::Unknown);
}

#[test]
fn a_fifo_task_keeps_its_equals_out() {
    let equal = |policy| {
        let mut machine = starved(49, &[], 12 * SECOND, 11 * SECOND);
        machine.task(30).policy = Policy(policy);
        machine.task(40).prio = 49;
        machine.task(40).policy = Policy(2);
        machine.judge()
    };
    assert_eq!(verdict(&equal(1)), (Some(Issue::Starvation), Confidence::Confirmed));
    // Those of SCHED_RR take turns.
    assert_eq!(ids(&equal(2)), []);
    // One that a lock's waiter lent its priority keeps the CPU as SCHED_FIFO does.
    let boosted = equal(0);
    assert_eq!(verdict(&boosted), (Some(Issue::Starvation), Confidence::Confirmed));
    assert!(boosted.verdict.summary.contains("as SCHED_NORMAL boosted to priority 50"), "{}", boosted.verdict.summary);
}

/// Pid 30 in this code on top of its user code, of which it had so much in its life.
fn over_user_code(functions: &[&str], user_ns: u64) -> Diagnosis {
    let mut machine = starved(120, functions, 60 * SECOND, 59 * SECOND);
    machine.interrupted(0, functions.len(), 0x246);
    let interrupt = machine.running[0].1.interrupts.last_mut().unwrap();
    let registers = *interrupt.registers.x86_64().unwrap();
    interrupt.registers = vmcore_memory::arch::x86_64::Registers { cs: 0x33, ..registers }.into();
    machine.task(30).accounting.user_ns = Some(user_ns);
    machine.judge()
}

#[test]
fn a_handler_on_top_of_user_code_that_does_not_end_is_kernel_code() {
    let handler = ["my_timer", "call_timer_fn", "handle_softirqs", "__irq_exit_rcu", "asm_sysvec_apic_timer_interrupt"];
    let endless = over_user_code(&handler, SECOND);
    assert_eq!(verdict(&endless), (Some(Issue::Starvation), Confidence::Confirmed));
    assert!(endless.verdict.summary.contains("in my_timer, kernel code"), "{}", endless.verdict.summary);
    // One that computes was caught in its tick.
    assert_eq!(verdict(&over_user_code(&handler, 58 * SECOND)), (Some(Issue::Starvation), Confidence::Possible));
    // What stopped the CPU is no code of its own.
    for stopped in [
        ["panic", "sysrq_handle_crash", "serial8250_handle_irq", "asm_common_interrupt"],
        ["stop_this_cpu", "sysvec_reboot", "sysvec_reboot", "asm_sysvec_reboot"],
        ["crash_nmi_callback", "nmi_handle", "exc_nmi", "asm_exc_nmi"],
    ] {
        let diagnosis = over_user_code(&stopped, SECOND);
        assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Possible), "{stopped:?}");
    }
}

/// That the hog was caught in a moment of contention explains nobody's wait.
#[test]
fn a_hog_that_spins_for_a_moment_is_a_hog() {
    let mut machine = starved(49, &["native_queued_spin_lock_slowpath", "driver_write"], 4 * SECOND, 100 * SECOND);
    machine.state.spins.push(spin(0));
    machine.runs(1, 31, &["driver_work", "driver_write"], SECOND / 100);
    assert_eq!(verdict(&machine.judge()), (Some(Issue::Starvation), Confidence::Confirmed));
}

/// The host did not run the CPU for most of the time that its task has had it, and says so: the task clock stood still.
#[test]
fn a_task_that_has_hardly_run_keeps_its_cpu_from_nobody_for_sure() {
    let verdict_of = |prio: i32, ran: u64| {
        let mut machine = starved(prio, &["spin_for_ever", "driver_write"], 25 * SECOND, 24 * SECOND);
        machine.cpus[0].run_queue.as_mut().unwrap().task_clock_ns = Some(NOW / 2);
        machine.task(30).exec_start_ns = Some(NOW / 2 - SECOND / 100);
        let counters = TaskCounters { run_ns: Some(ran), ..TaskCounters::default() };
        machine.state.scheduler.tasks.insert(task_address(30), counters);
        machine.judge()
    };
    for prio in [49, 120] {
        assert_eq!(verdict(&verdict_of(prio, 25 * SECOND)), (Some(Issue::Starvation), Confidence::Confirmed), "{prio}");
        let stolen = verdict_of(prio, SECOND / 4);
        assert_eq!(verdict(&stolen), (Some(Issue::Starvation), Confidence::Possible), "{prio}");
        assert!(stolen.verdict.summary.contains("no more than 260 ms in all its life"), "{}", stolen.verdict.summary);
    }
}
