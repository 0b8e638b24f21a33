//! What is reported again as long as it lasts, and what is named of a report that is cut.

use vmcore_console::Kind;

use super::judge;
use crate::{Confidence, Issue};

#[test]
fn a_stall_lasted_for_as_long_as_its_last_report_says() {
    let stall = |at: u32, jiffies: u32| {
        format!(
            "[{at:>5}.000000] INFO: rcu_sched self-detected stall on CPU {{ 2}}  (t={jiffies} jiffies g=38 c=37 q=11)\n"
        )
    };
    let found = judge(&(stall(100, 15_000) + &stall(280, 60_004) + &stall(460, 105_008)));
    assert_eq!(found.verdict.issue, Some(Issue::RcuStall));
    assert!(found.verdict.summary.contains("105008 jiffies"), "{}", found.verdict.summary);
    // Of another CPU it says nothing.
    let other = stall(460, 105_008).replace("{ 2}", "{ 3}");
    assert!(judge(&(stall(100, 15_000) + &other)).verdict.summary.contains("15000 jiffies"));
}

#[test]
fn a_pool_was_stuck_for_as_long_as_its_last_report_says() {
    let stuck = |at: u32, seconds: u32| {
        format!("[{at:>5}.000000] BUG: workqueue lockup - pool cpus=2 node=0 flags=0x1 nice=0 stuck for {seconds}s!\n")
    };
    let found = judge(&(stuck(100, 36) + &stuck(130, 66)));
    assert!(found.verdict.summary.contains("stuck for 66 s"), "{}", found.verdict.summary);
    // Its CPU has another pool, for what is urgent.
    let urgent = stuck(130, 66).replace("nice=0", "nice=-20");
    let found = judge(&(stuck(100, 36) + &urgent));
    assert!(found.verdict.summary.contains("stuck for 36 s"), "{}", found.verdict.summary);
}

#[test]
fn a_drive_that_aborts_a_command_answers() {
    let log = |answer: &str| {
        format!(
            "[  100.000000] ata1.00: exception Emask 0x0 SAct 0x1 SErr 0x0 action 0x0
[  100.000001] ata1.00: irq_stat 0x40000008
[  100.000002] ata1.00: failed command: READ FPDMA QUEUED
[  100.000003] ata1.00: cmd 60/08:00:00:00:00/00:00:00:00:00/40 tag 0 ncq dma 4096 in
[  100.000004]          res {answer}
"
        )
    };
    let aborted = log("41/04:00:00:00:00/00:00:00:00:00/40 Emask 0x401 (device error) <F>")
        + "[  100.000005] ata1.00: status: { DRDY ERR }\n[  100.000006] ata1.00: error: { ABRT }\n";
    let found = judge(&aborted);
    assert_eq!((found.verdict.issue, found.verdict.confidence), (Some(Issue::IoError), Confidence::Probable));
    let summary = &found.verdict.summary;
    assert!(summary.contains("aborted a command (ata1.00)") && !summary.contains("does not answer"), "{summary}");
    let unreadable = judge(&aborted.replace("ABRT", "UNC")).verdict.summary;
    assert!(unreadable.starts_with("Reads or writes fail (ata1.00)"), "{unreadable}");
    let others = format!("{aborted}[  101.000000] I/O error, dev sdb, sector 1234 op 0x0:(READ) flags 0x0\n");
    let summary = judge(&others).verdict.summary;
    assert!(summary.starts_with("Reads or writes fail (ata1.00, sdb): I/O error, dev sdb"), "{summary}");
    let silent =
        log("40/00:00:00:00:00/00:00:00:00:00/40 Emask 0x4 (timeout)") + "[  100.000005] ata1.00: status: { DRDY }\n";
    assert!(judge(&silent).verdict.summary.contains("does not answer"), "{}", judge(&silent).verdict.summary);
}

#[test]
fn a_caller_is_named_as_one() {
    let log = "[  500.000000] watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [fio:1411]
[  500.000010] CPU: 2 PID: 1411 Comm: fio Not tainted 5.15.0-91-generic #1
[  500.000020] RSP: 0018:ffffc90000a01000 EFLAGS: 00000246
[  500.000030] RAX: 0000000000000000 RBX: ffff888100000000 RCX: 0000000000000000
[  500.000040] Call Trace:
[  500.000050]  submit_one+0x5b/0x80 [demo]
";
    let found = judge(log);
    assert_eq!(found.verdict.issue, Some(Issue::SoftLockup));
    let words = "in an unknown function that submit_one [demo] called";
    assert!(found.verdict.summary.contains(words), "{}", found.verdict.summary);
}

#[test]
fn the_time_line_has_what_the_verdict_is_about() {
    let failing = |disk: u32| format!("[{disk:>5}.000000] I/O error, dev sd{disk}, sector 1 op 0x0:(READ) flags 0x0\n");
    let mut log: String = (0..300).map(failing).collect();
    log.push_str("[  400.000000] Kernel panic - not syncing: no working init found\n");
    let found = judge(&log);
    let entry = found.timeline.iter().find(|entry| entry.is_verdict);
    assert_eq!(entry.map(|entry| entry.kind), Some(Kind::Panic));
    assert_eq!(found.timeline.len(), 257);
}

/// Nor does it hide what came after it.
#[test]
fn what_was_over_is_no_cause() {
    let over = "[  100.000000] smp: csd: Detected non-responsive CSD lock (#1) on CPU#3, waiting 5000000003 ns for CPU#07 f+0x0/0x40(0x0).
[  106.000000] smp: csd: CSD lock (#1) got unstuck on CPU#03, CPU#07 released the lock.
";
    let hung = "[  230.000000] INFO: task a:1 blocked for more than 120 seconds.\n";
    assert_eq!(judge(&format!("{over}{hung}")).verdict.issue, Some(Issue::HungTask));
    let stuck = "[  130.000000] watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [fio:1411]
[  130.100000] Kernel panic - not syncing: softlockup: hung tasks
";
    assert_eq!(judge(&format!("{over}{stuck}")).verdict.issue, Some(Issue::SoftLockup));
    let oops = "[  130.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018
[  130.000001] Oops: 0000 [#1] PREEMPT SMP NOPTI
";
    assert_eq!(judge(&format!("{over}{oops}")).verdict.issue, Some(Issue::Oops));
    assert_eq!(judge(over).verdict.confidence, Confidence::None);
}

/// The watchdog of work queues panics since 7.0; what it found is above.
#[test]
fn a_stalled_pool_is_behind_the_panic_for_it() {
    let stuck = "[  100.000000] BUG: workqueue lockup - pool cpus=2 node=0 flags=0x0 nice=0 stuck for 66s!\n";
    let panic = "[  100.100000] Kernel panic - not syncing: workqueue: stall lasted 66s, exceeding threshold 60s\n";
    let found = judge(&format!("{stuck}{panic}")).verdict;
    assert_eq!(found.issue, Some(Issue::WorkqueueLockup));
    assert!(found.summary.contains("stuck for 66 s"), "{}", found.summary);
    assert_eq!(judge(panic).verdict.issue, Some(Issue::WorkqueueLockup));
}

/// Nothing says when any of it was: a kernel that printed thousands of lines in between outlived the lockup.
#[test]
fn a_crash_long_after_a_lockup_is_a_story_of_its_own_also_without_times() {
    let log = |between: usize| {
        format!(
            "<0>BUG: soft lockup - CPU#5 stuck for 67s! [worker:118823]
<4>RIP: 0010:[<ffffffff8129c2f5>]  [<ffffffff8129c2f5>] demo_spin+0x5/0x10
{}<1>BUG: unable to handle kernel paging request at ffffffffffffffe0
<1>IP: [<ffffffff81167060>] demo_purge+0x70/0x1e0
<4>Oops: 0000 [#1] SMP
<4>Pid: 84647, comm: demo Tainted: G           --L------------    2.6.32-642.el6.x86_64 #1
",
            "<6>device vnet72 left promiscuous mode\n".repeat(between)
        )
    };
    assert_eq!(judge(&log(2)).verdict.issue, Some(Issue::SoftLockup));
    // What died of the same trouble is no story of its own.
    let again = log(2000).replace("[#1]", "[#2]");
    assert_eq!(judge(&again).verdict.issue, Some(Issue::SoftLockup));
    assert_eq!(judge(&log(2000).replace("84647", "118823")).verdict.issue, Some(Issue::SoftLockup));
    let crash = judge(&log(2000));
    assert_eq!(crash.verdict.issue, Some(Issue::Oops), "{}", crash.verdict.summary);
}

/// What the banks of machine checks hold when a kernel starts is of the boot before.
#[test]
fn a_machine_check_that_was_left_over_is_of_the_boot_before() {
    let left = |at: &str| {
        format!(
            "[{at}] mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 4: a600000000020408\n[{at}] mce: [Hardware Error]: TSC 0\n"
        )
    };
    let of_before = judge(&left("    0.064265")).verdict;
    let now = judge(&left(" 4100.064265")).verdict;
    assert_eq!((of_before.issue, now.issue), (Some(Issue::HardwareError), Some(Issue::HardwareError)));
    assert_eq!((of_before.confidence, now.confidence), (Confidence::Possible, Confidence::Probable));
    // One that raised an exception is what the machine was reset for.
    let raised = judge(&left("    0.064265").replace("a600000000020408", "be00000000800400")).verdict;
    assert_eq!((raised.issue, raised.confidence), (Some(Issue::HardwareError), Confidence::Probable));
    assert!(of_before.summary.contains("before") && of_before.summary != now.summary, "{}", of_before.summary);
}

#[test]
fn all_whom_a_grace_period_waits_for_are_named() {
    let stall = |on: &str| {
        format!(
            "[ 1000.000001] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
{on}[ 1000.000003] rcu: \t(detected by 2, t=21002 jiffies, g=4529, q=33 ncpus=4)
[ 1000.000004] task:reader          state:R  running task     stack:0     pid:4321  ppid:1      flags:0x00004000
"
        )
    };
    let told = |on: &str| judge(&stall(on)).verdict.summary;
    let tasks = "[ 1000.000002] rcu: \tTasks blocked on level-0 rcu_node (CPUs 0-3): P4321/1:b..l P5555/1:b..l\n";
    let cpu = "[ 1000.000002] rcu: \t3-...0: (17 GPs behind) idle=dd0/1/0x4 fqs=1\n";
    let all = told(tasks);
    assert!(all.starts_with("Pid 4321 \"reader\" and pid 5555 hold up RCU for 21002 jiffies"), "{all}");
    // A preempted task is not what the CPU runs.
    let both = told(&format!("{cpu}{tasks}"));
    assert!(both.starts_with("CPU 3, pid 4321 \"reader\" and pid 5555 hold up RCU"), "{both}");
}
