mod again;
mod routine;
mod shapes;

use super::*;

fn judge(text: &str) -> LogDiagnosis {
    from_log(&Log::read(text.as_bytes()).unwrap())
}

fn report(cpu: u32, address: &str) -> String {
    format!(
        "watchdog: BUG: soft lockup - CPU#{cpu} stuck for 11s! [reader:{pid}]
CPU: {cpu} PID: {pid} Comm: reader Not tainted 4.19.91-19.1.al7.x86_64 #1
Hardware name: a machine
RIP: 0010:__do_page_fault+0x227/0x470
Call Trace:
 do_page_fault+0x32/0x140
 async_page_fault+0x1e/0x30
RIP: 0010:copy_user_enhanced_fast_string+0xe/0x20
RSP: 0018:ffffa38988{cpu}efde8 EFLAGS: 00050206
RAX: 0000000000000090 RBX: ffffa38988{cpu}efea8 RCX: 0000000000000090
RDX: 0000000000000090 RSI: ffffa38988{cpu}efdf8 RDI: {address}
RBP: 0000000000000000 R08: 0000000000000000 R09: 0000000000000000
R10: 0000000000000000 R11: 0000000000000000 R12: 0000000000000000
R13: 0000000000000000 R14: 0000000000000000 R15: 0000000000000000
 _copy_to_user+0x22/0x30
 cp_new_stat+0x13d/0x160
 __se_sys_newfstat+0x2e/0x40
 do_syscall_64+0x5b/0x1b0
 entry_SYSCALL_64_after_hwframe+0x44/0xa9
",
        pid = cpu + 100
    )
}

#[test]
fn two_cpus_that_fault_on_one_huge_page() {
    let found = judge(&(report(1, "000000c000100000") + &report(2, "000000c000100000")));
    assert_eq!(found.verdict.issue, Some(Issue::ThpLivelock));
    assert_eq!(found.verdict.confidence, Confidence::Probable);
    assert!(found.verdict.summary.contains("0xc000100000"), "{}", found.verdict.summary);
    let [first, _] = found.copies.as_slice() else { panic!("{:?}", found.copies) };
    assert_eq!((first.cpu, first.pid), (Some(1), Some(101)));
    assert_eq!(first.syscall_function.as_deref(), Some("__se_sys_newfstat"));
    let command = found.remedy.first().and_then(|remedy| remedy.command.as_deref());
    assert_eq!(command, Some("yum install -y kernel-hotfix-5902278-19.1.al7.x86_64"));
}

#[test]
fn each_link_that_is_missing_takes_the_verdict_away() {
    let one = judge(&report(1, "000000c000100000"));
    assert_eq!(one.verdict.issue, Some(Issue::SoftLockup));
    let apart = judge(&(report(1, "000000c000100000") + &report(2, "000000c000300000")));
    assert_eq!(apart.verdict.issue, Some(Issue::SoftLockup));
    let both = report(1, "000000c000100000") + &report(2, "000000c000100000");
    let no_lockup = judge(&both.replace("BUG: soft lockup", "something else"));
    assert_eq!(no_lockup.verdict.confidence, Confidence::Possible);
    assert!(no_lockup.verdict.summary.contains("why they were reported is not in the log"));
    let no_fault = judge(&both.replace("async_page_fault", "other_function"));
    assert_eq!(no_fault.verdict.issue, Some(Issue::SoftLockup));
    let no_copy = judge(&both.replace("copy_user_enhanced_fast_string", "memcpy"));
    assert_eq!(no_copy.verdict.issue, Some(Issue::SoftLockup));
}

#[test]
fn a_copy_is_known_by_its_caller_where_its_own_line_is_missing() {
    let (rip, code) = ("RIP: 0010:copy_user_enhanced_fast_string+0xe/0x20\n", "000000c000100000");
    let cut = report(1, code).replace(rip, "");
    let found = judge(&(cut.clone() + &report(2, code)));
    assert_eq!(found.verdict.issue, Some(Issue::ThpLivelock), "{}", found.verdict.summary);
    assert_eq!(found.copies[0].function, "_copy_to_user");
    let other = judge(&(cut.replace(" _copy_to_user+0x22/0x30", " memcpy+0x22/0x30") + &report(2, code)));
    assert_eq!(other.verdict.issue, Some(Issue::SoftLockup));
}

#[test]
fn a_log_that_begins_in_the_middle_of_a_report_is_not_healthy() {
    let whole = report(1, "000000c000100000");
    let (_, trace) = whole.split_once("Call Trace:").unwrap();
    let found = judge(&format!("Call Trace:{trace}"));
    assert_eq!((found.verdict.issue, found.verdict.confidence), (None, Confidence::Insufficient));
    assert!(found.verdict.summary.contains("0xc000100000"), "{}", found.verdict.summary);
    let plain = judge("Call Trace:\n f+0x1/0x2\n g+0x1/0x2\n");
    assert_eq!((plain.verdict.issue, plain.verdict.confidence), (None, Confidence::Insufficient));
}

#[test]
fn what_is_no_log_is_not_healthy() {
    for (text, what) in [("", "The log is empty."), ("hello\nworld\n", "This does not look like a kernel log: ")] {
        let found = judge(text).verdict;
        assert_eq!((found.issue, found.confidence), (None, Confidence::Insufficient), "{text:?}");
        assert!(found.summary.starts_with(what), "{}", found.summary);
    }
    assert_eq!(judge("[    1.000000] usb 1-1: new device\n").verdict.confidence, Confidence::None);
}

#[test]
fn other_problems_by_name() {
    let issue = |text: &str| judge(text).verdict.issue;
    assert_eq!(issue("Kernel panic - not syncing: Attempted to kill init!"), Some(Issue::Panic));
    assert_eq!(issue("Kernel panic - not syncing: sysrq triggered crash"), Some(Issue::CrashRequested));
    for (reason, expected) in [
        ("softlockup: hung tasks", Issue::SoftLockup),
        ("hung_task: blocked tasks", Issue::HungTask),
        ("RCU Stall", Issue::RcuStall),
        ("Hard LOCKUP", Issue::HardLockup),
        ("Fatal exception in interrupt", Issue::Oops),
        ("Out of memory: system-wide panic_on_oom is enabled", Issue::OutOfMemory),
    ] {
        assert_eq!(issue(&format!("Kernel panic - not syncing: {reason}")), Some(expected), "{reason}");
    }
    assert_eq!(issue("watchdog: BUG: soft lockup - CPU#7 stuck for "), Some(Issue::SoftLockup));
    assert_eq!(issue("BUG: workqueue lockup - pool cpus=1 stuck for 40s!"), Some(Issue::WorkqueueLockup));
    let hung =
        "INFO: task a:1 blocked for more than 120 seconds.\nKernel panic - not syncing: hung_task: blocked tasks";
    assert!(judge(hung).verdict.summary.starts_with("Task 1 \"a\""));
    assert_eq!(issue("INFO: task a:1 blocked for more than 120 seconds."), Some(Issue::HungTask));
    assert_eq!(issue("rcu: INFO: rcu_sched self-detected stall on CPU"), Some(Issue::RcuStall));
    assert_eq!(
        issue("BUG: kernel NULL pointer dereference, address: 0\nKernel panic - not syncing: Fatal"),
        Some(Issue::Oops)
    );
    assert_eq!(issue("NMI watchdog: Watchdog detected hard LOCKUP on cpu 3"), Some(Issue::HardLockup));
    assert_eq!(issue("WARNING: CPU: 1 PID: 2 at mm/x.c:1 f+0x1/0x2"), Some(Issue::Warning));
}

#[test]
fn who_is_given_up_from_outside_hung_before_however_long() {
    let nmi = "[90000.000000] Kernel panic - not syncing: NMI: Not continuing\n";
    let watchdog = "[90000.000000] Kernel panic - not syncing: Software Watchdog Timer expired\n";
    let hung = "[ 4000.000000] INFO: task java:4123 blocked for more than 120 seconds.\n";
    for (panic, then) in [(nmi, "an NMI of unknown origin"), (watchdog, "no program had reset a watchdog")] {
        let found = judge(&format!("{hung}{panic}"));
        assert_eq!((found.verdict.issue, found.verdict.confidence), (Some(Issue::HungTask), Confidence::Probable));
        let summary = &found.verdict.summary;
        assert!(summary.contains("java") && summary.contains(then) && summary.contains("still like that"), "{summary}");
        assert!(found.is_long_before_request);
        // What hangs now comes before what hung once, and what did not hang is not what the machine was given up for.
        let now = "[89990.000000] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [fstat:154]\n";
        assert_eq!(judge(&format!("{hung}{now}{panic}")).verdict.issue, Some(Issue::SoftLockup));
        let failed = "[ 4000.000000] blk_update_request: I/O error, dev sda, sector 0\n";
        assert_ne!(judge(&format!("{failed}{panic}")).verdict.issue, Some(Issue::IoError));
    }
    assert_eq!(judge(nmi).verdict.confidence, Confidence::Possible);
    // Of other panics it is another story.
    let other = "[90000.000000] Kernel panic - not syncing: VFS: Unable to mount root fs\n";
    assert_eq!(judge(&format!("{hung}{other}")).verdict.issue, Some(Issue::Panic));
}

/// What it held is held for ever, and who wants that hangs much later.
#[test]
fn a_task_that_died_long_before_a_hang_is_named() {
    let oops = "[  100.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018
[  100.000001] Oops: 0000 [#1] PREEMPT SMP NOPTI
[  100.000002] CPU: 1 PID: 77 Comm: writer Not tainted 6.1.0-9-amd64 #1
[  100.000003] RIP: 0010:ext4_do_thing+0x10/0x40 [ext4]
";
    let hung = "[90000.000000] INFO: task reader:99 blocked for more than 120 seconds.
[90000.000001]       Tainted: G      D            6.1.0-9-amd64 #1
[90000.000002] task:reader state:D stack:0 pid:99 ppid:1 flags:0x00000000
";
    let found = judge(&format!("{oops}{hung}")).verdict;
    assert_eq!(found.issue, Some(Issue::HungTask));
    assert!(found.summary.contains("Before it (at 100 s): "), "{}", found.summary);
    assert!(found.summary.contains("ext4_do_thing"), "{}", found.summary);
    assert!(!judge(hung).verdict.summary.contains("Before it"));
}

/// Different page tables: another process has another page at this address, unless they share it.
#[test]
fn copies_of_several_processes_are_no_sure_livelock() {
    let with = |cpu: u32, tables: &str| {
        let registers = format!(
            "RIP: 0010:__do_page_fault+0x227/0x470
RSP: 0018:ffffa38988{cpu}efc00 EFLAGS: 00000246
RAX: 0000000000000001 RBX: 0000000000000002 RCX: 0000000000000003
RDX: 0000000000000004 RSI: 0000000000000005 RDI: 0000000000000006
RBP: 0000000000000007 R08: 0000000000000008 R09: 0000000000000009
R10: 000000000000000a R11: 000000000000000b R12: 000000000000000c
R13: 000000000000000d R14: 000000000000000e R15: 000000000000000f
FS:  0000000000400{cpu}00(0000) GS:ffff9b083fdc0{cpu}00(0000) knlGS:0000000000000000
CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033
CR2: 000000c000100000 CR3: {tables} CR4: 0000000000760ee0"
        );
        report(cpu, "000000c000100000").replacen("RIP: 0010:__do_page_fault+0x227/0x470", &registers, 1)
    };
    let confidence = |other: &str| {
        let found = judge(&(with(1, "0000000f0a1de004") + &with(2, other))).verdict;
        assert_eq!(found.issue, Some(Issue::ThpLivelock));
        (found.confidence, found.summary.contains("several processes"))
    };
    // The number of the address space may differ.
    assert_eq!(confidence("0000000f0a1de002"), (Confidence::Probable, false));
    assert_eq!(confidence("0000000f0b77a002"), (Confidence::Possible, true));
}

/// Nothing else may ever tell that the machine hung.
#[test]
fn a_boot_after_a_watchdog_is_not_called_healthy() {
    let log = |reason: &str| {
        judge(&format!(
            "[    0.000000] Linux version 6.16.1 (a@b) #1 SMP
[    0.500000] x86/amd: Previous system reset reason [0x02000800]: {reason}
[    9.000000] usb 1-1: new device
"
        ))
    };
    let found = log("hardware watchdog timer expired");
    assert_eq!(found.verdict.confidence, Confidence::Insufficient);
    assert!(found.verdict.summary.contains("hardware watchdog timer expired"), "{}", found.verdict.summary);
    assert_eq!(log("software wrote 0x6 to reset control register 0xCF9").verdict.confidence, Confidence::None);
    assert_eq!(log("a parity error occurred").verdict.issue, Some(Issue::HardwareError));
}

/// Two CPUs wait for the answer of one that takes no interrupts, and that one waits for a lock, which nobody shows.
#[test]
fn a_hard_lockup_that_waits_for_a_lock_is_a_victim_too() {
    let hard = |function: &str| {
        format!(
            "[  902.000338] watchdog: BUG: soft lockup - CPU#8 stuck for 22s! [app:332]
[  902.000340] CPU: 8 PID: 332 Comm: app Not tainted 5.15.0-91-generic #1
[  902.000341] RIP: 0010:smp_call_function_many_cond+0x130/0x340
[  904.000716] NMI watchdog: Watchdog detected hard LOCKUP on cpu 2
[  904.000736] CPU: 2 PID: 77 Comm: kworker/2:0 Not tainted 5.15.0-91-generic #1
[  904.000756] RIP: 0010:{function}+0xd/0x40
"
        )
    };
    for function in
        ["_raw_spin_lock_irqsave", "native_queued_spin_lock_slowpath.part.0", "__write_lock_failed", "_write_lock_irq"]
    {
        let found = judge(&hard(function));
        let summary = &found.verdict.summary;
        assert_eq!(found.verdict.issue, Some(Issue::HardLockup), "{summary}");
        assert!(summary.starts_with("CPU 2 ") && summary.contains("waiting for a lock itself"), "{summary}");
        let [first] = found.remedy.as_slice() else { panic!("{:?}", found.remedy) };
        assert!(first.action.starts_with("find the CPU that holds the lock"), "{}", first.action);
    }
    // Who tries once, gives back or does something else waits for no lock.
    for function in ["_raw_spin_trylock", "_raw_spin_unlock_irqrestore", "device_poll"] {
        let found = judge(&hard(function));
        let summary = &found.verdict.summary;
        assert!(summary.starts_with("CPU 2 ") && !summary.contains("lock itself"), "{summary}");
        assert!(found.remedy.iter().all(|remedy| !remedy.action.contains("holds the lock")), "{:?}", found.remedy);
    }
}

/// Most machines kill a process and go on.
#[test]
fn panic_on_oom_is_named_only_where_the_kernel_panicked_for_it() {
    let killed = "[  100.000000] python invoked oom-killer: gfp_mask=0xcc0, order=0, oom_score_adj=0
[  100.000001] Out of memory: Killed process 3882 (python) total-vm:1kB, anon-rss:1kB\n";
    let panic = "[  100.000002] Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled\n";
    let names_it = |text: &str| {
        let found = judge(text);
        assert_eq!(found.verdict.issue, Some(Issue::OutOfMemory));
        format!("{:?}", found.remedy).contains("panic_on_oom")
    };
    assert!(!names_it(killed));
    assert!(names_it(&format!("{killed}{panic}")));
    assert!(names_it(panic));
}
