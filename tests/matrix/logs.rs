//! Logs with one problem each, in a machine that is idle and shows nothing of it: `analyze` finds what `log` finds.

use std::fs::File;
use std::io::BufWriter;

use libtest_mimic::{Failed, Trial};
use vmcore_synth::{DumpForm, Generation, build, scenario};

use crate::agreement::disagreement;

/// What is reported, in lines as kernels print them, and the issue that it is.
const LOGS: &[(&str, &str, &[&str])] = &[
    (
        "a general protection fault",
        "kernel-oops",
        &[
            "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] PREEMPT SMP NOPTI",
            "CPU: 0 PID: 812 Comm: worker Not tainted 6.1.0-13-amd64 #1  Debian 6.1.55-1",
            "RIP: 0010:driver_read+0x10/0x40 [driver]",
        ],
    ),
    (
        "a kernel BUG",
        "kernel-oops",
        &[
            "kernel BUG at mm/slub.c:419!",
            "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
            "CPU: 1 PID: 99 Comm: kworker/1:2 Not tainted 6.1.0-13-amd64 #1  Debian 6.1.55-1",
            "RIP: 0010:kfree+0x1c3/0x1e0",
        ],
    ),
    (
        "an oops that was survived",
        "kernel-oops",
        &[
            "BUG: unable to handle page fault for address: ffffc90000a01000",
            "#PF: supervisor write access in kernel mode",
            "Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "CPU: 0 PID: 7 Comm: modprobe Not tainted 6.1.0-13-amd64 #1  Debian 6.1.55-1",
            "RIP: 0010:init_driver+0x22/0x100 [driver]",
        ],
    ),
    (
        "a list that is corrupt",
        "kernel-warning",
        &["list_del corruption. prev->next should be ffff888003a00000, but was dead000000000122"],
    ),
    (
        "KASAN",
        "kernel-warning",
        &[
            "BUG: KASAN: slab-use-after-free in driver_read+0x10/0x40 [driver]",
            "Read of size 8 at addr ffff888003a00010 by task worker/812",
        ],
    ),
    ("scheduling while atomic", "kernel-warning", &["BUG: scheduling while atomic: worker/812/0x00000002"]),
    ("a bad page", "kernel-warning", &["BUG: Bad page state in process worker  pfn:12345"]),
    (
        "a workqueue lockup",
        "workqueue-lockup",
        &["BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 62s!"],
    ),
    (
        "an RCU stall",
        "rcu-stall",
        &[
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu: \t1-...!: (0 ticks this GP) idle=0a4/0/0x0 softirq=12/12 fqs=0",
            "(detected by 0, t=5252 jiffies, g=-1195, q=2)",
        ],
    ),
    (
        "an expedited RCU stall",
        "rcu-stall",
        &[
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 26 jiffies s: 13 root: 0x2/.",
            "rcu: blocking rcu_node structures (internal RCU debug):",
        ],
    ),
    (
        "a panic by an RCU stall",
        "rcu-stall",
        &["rcu: INFO: rcu_sched self-detected stall on CPU", "Kernel panic - not syncing: RCU Stall"],
    ),
    ("a soft lockup", "soft-lockup", &["watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [worker:812]"]),
    (
        "a panic by the soft-lockup watchdog alone",
        "soft-lockup",
        &["Kernel panic - not syncing: softlockup: hung tasks"],
    ),
    (
        "a hard lockup in the old words",
        "hard-lockup",
        &["NMI watchdog: Watchdog detected hard LOCKUP on cpu 1", "Kernel panic - not syncing: Hard LOCKUP"],
    ),
    (
        "a hard lockup in the new words",
        "hard-lockup",
        &["watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1", "Kernel panic - not syncing: Hard LOCKUP"],
    ),
    ("a panic by an RCU stall alone", "rcu-stall", &["Kernel panic - not syncing: RCU Stall"]),
    ("a panic by the NMI watchdog alone", "hard-lockup", &["Kernel panic - not syncing: Hard LOCKUP"]),
    ("a panic by an oops alone", "kernel-oops", &["Kernel panic - not syncing: Fatal exception in interrupt"]),
    ("hung tasks", "hung-task", &["INFO: task worker:812 blocked for more than 120 seconds."]),
    ("a panic by hung tasks alone", "hung-task", &["Kernel panic - not syncing: hung_task: blocked tasks"]),
    (
        "EXT4",
        "filesystem-error",
        &["EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0"],
    ),
    (
        "XFS",
        "filesystem-error",
        &[
            "XFS (sda1): Metadata corruption detected at xfs_agf_read_verify+0x10/0x40, xfs_agf block 0x1",
            "XFS (sda1): Corruption of in-memory data (0x8) detected at xfs_trans_cancel+0x10/0x40.  Shutting down filesystem.",
        ],
    ),
    (
        "a block device",
        "io-error",
        &["blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0"],
    ),
    ("a disk that does not answer", "io-error", &["nvme nvme0: I/O 128 QID 2 timeout, aborting"]),
    ("a file server", "io-error", &["nfs: server filer not responding, still trying"]),
    ("a network device", "network-timeout", &["NETDEV WATCHDOG: eth0 (e1000): transmit queue 0 timed out"]),
    ("the first process", "init-stopped", &["systemd[1]: Caught <SEGV>, dumped core as pid 4242."]),
    (
        "an allocation",
        "allocation-failure",
        &["worker: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP), nodemask=(null)"],
    ),
    (
        "a machine check",
        "hardware-error",
        &[
            "mce: [Hardware Error]: CPU 0: Machine Check Exception: 5 Bank 4: be00000000800400",
            "Kernel panic - not syncing: Fatal machine check",
        ],
    ),
    ("no memory", "out-of-memory", &["Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled"]),
    (
        "a panic at boot",
        "kernel-panic",
        &["Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"],
    ),
    (
        "a control group without memory",
        "out-of-memory",
        &[
            "Memory cgroup out of memory: Killed process 812 (worker) total-vm:4000000kB, anon-rss:500000kB, file-rss:0kB",
        ],
    ),
    (
        "a control group without memory and a request for the crash",
        "out-of-memory",
        &[
            "Memory cgroup out of memory: Killed process 812 (worker) total-vm:4000000kB, anon-rss:500000kB, file-rss:0kB",
            "sysrq: Trigger a crash",
            "Kernel panic - not syncing: sysrq triggered crash",
        ],
    ),
    (
        "an error that was corrected",
        "hardware-error",
        &["EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x12345)"],
    ),
    ("a page with too many corrected errors", "hardware-error", &["RAS: Soft-offlining pfn: 0x10cb39"]),
    (
        "a plain warning",
        "kernel-warning",
        &["WARNING: CPU: 0 PID: 812 at net/core/dev.c:3000 skb_warn_bad_offload+0x10/0x40"],
    ),
];

/// One test for each log.
pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    LOGS.iter()
        .map(|(what, issue, lines)| Trial::test(format!("{what} in a quiet machine"), move || check(issue, lines)))
}

fn check(issue: &str, lines: &[&str]) -> Result<(), Failed> {
    let mut scenario = scenario::named("idle")?;
    scenario.log = lines.iter().map(|line| scenario::LogLine::Text((*line).to_owned())).collect();
    let panics = lines.iter().any(|line| line.starts_with("Kernel panic"));
    scenario.panicked = panics.then_some(0);
    let machine = build(&scenario, &Generation::named("6.1")?, 1)?;
    let directory = tempfile::tempdir()?;
    let [dump, vmlinux] = ["vmcore", "vmlinux"].map(|name| directory.path().join(name));
    DumpForm::named("elf")?.write(&machine, 0, &mut BufWriter::new(File::create(&dump)?))?;
    std::fs::write(&vmlinux, &machine.vmlinux)?;
    let files = [dump, vmlinux];
    if let Some(why) = disagreement(&files) {
        return Err(why.into());
    }
    let found = crate::agreement::analyzed(&files);
    if found.0.is_none_or(|found| found.id() != issue) {
        return Err(format!("expected {issue}, found {found:?}").into());
    }
    Ok(())
}
