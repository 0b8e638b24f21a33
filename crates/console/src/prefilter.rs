//! Which lines can be part of a report at all: one pass over the bytes, before anything is parsed.
//!
//! Nearly every line of a log is none. Each of the kernel's texts that [`Event`](crate::Event) and the lines of a report
//! begin with has a piece here; the test holds them together.

use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// Pieces of the texts that the kernel's reports begin with, or that only they have.
const PIECES: &[&str] = &[
    "Linux version ",
    "elfcorehdr",
    "reboot: ",
    "temperature reached",
    "HARDWARE PROTECTION",
    "non-responsive CSD",
    "refcount_t: ",
    "sched_ext: ",
    "ext4_end_bio",
    " LBUG",
    "PANIC at ",
    "early exception",
    "transport error, dev",
    "device offline error",
    "protection error, dev",
    "timeout error, dev",
    "nfs: server ",
    "lockd: server ",
    "ceph: ",
    "watch error",
    "session recovery",
    "ontroller lockup",
    "no heartbeat",
    "controller offline",
    "controller is offline",
    "non-operational",
    "fault_state",
    "waiting for hardware interrupt",
    "ard stuck",
    "timeout for tag",
    "ailing path",
    "einstating path",
    "uccessfully reconnected",
    "came back",
    "got unstuck",
    "Device reset completed",
    "system reset reason",
    "as wedged",
    "to read-only mode",
    "error: ext2_",
    "disabling caching",
    "PCIe link lost",
    "eartbeat write timeout",
    "is not a head",
    "Disk failure",
    "unrecoverable I/O",
    "switching pool to",
    "has been suspended",
    "giving up",
    ": disabled",
    ": disable device",
    "frozen state error",
    "keep_alive",
    "starting error recovery",
    "Removing controller",
    "Stopped filesystem",
    "nconsisten",
    "run fsck",
    "fsync data",
    "fatal: ",
    "withdraw",
    "is now read-only",
    "emergency read",
    "fatal error",
    "ERROR: (device",
    "ERROR (device",
    "Adapter is OFFLINE",
    "shutdown adapter",
    "DCMD timeout",
    "SCSI hang",
    "-> Failed",
    "Local IO failed",
    "AEAD ERROR",
    "not enough operational",
    "loading journal",
    "root inode",
    "validate failed",
    "list_add double",
    ": Bad swap ",
    ": Unused swap ",
    ": bad p",
    "REISERFS error",
    "NILFS error",
    "CRC error",
    "recovery failed",
    "mount finish failed",
    "xfs_repair",
    "to become free",
    "health compromised",
    "Will cause a leak",
    "Fatal error",
    "recovery flow aborted",
    "TX timeout on",
    "Unit Hang",
    "EEH: ",
    "DMAR: VT-d detected",
    "Completion-Wait",
    "CMD_SYNC timeout",
    "TLB sync timed out",
    "GPU reset(",
    "ailed to reset chip",
    "stuck request",
    "Connection timed out",
    " result -",
    "on swap-device",
    "Keep alive watchdog",
    "Freezing ",
    "device lost from",
    "NVRM: Xid",
    "DPC: ",
    "AER: device recovery",
    "fencing this system",
    "from previous boot",
    "Restarting system",
    "Power down.",
    "System halted.",
    "Starting new kernel",
    "BUG",
    "INFO: ",
    "WARNING: ",
    "UBSAN: ",
    "LOCKUP",
    "Kernel panic",
    "kernel panic",
    "ernel BUG",
    "Kernel bug",
    "Internal error: ",
    "Unable to handle kernel",
    "[#",
    "PANIC: ",
    "Panic on CPU",
    "Bad mode in ",
    "Insufficient stack space",
    "Kernel stack overflow",
    "cut here",
    "---[ end",
    "NMI backtrace",
    "NMI: ",
    "Uhhuh. NMI",
    "kthread starved",
    "task:",
    "sysrq",
    "SysRq",
    "Call Trace:",
    "Call trace:",
    "Backtrace:",
    "Modules linked in:",
    "CPU: ",
    "Pid: ",
    "RIP: ",
    "RSP: ",
    "PC is at",
    "pc : ",
    "NIP",
    "epc ",
    "EIP",
    "PSW : ",
    "IP: ",
    "+0x",
    "<TASK>",
    "<IRQ>",
    "<NMI>",
    "Out of memory",
    "out of memory",
    "oom-killer",
    "allocation failure",
    "nobody cared",
    "corruption",
    "slab error",
    "stack-protector: ",
    "I/O error",
    "medium error",
    "critical target error",
    "space allocation error",
    "Sense Key",
    "-fs error",
    "-fs critical",
    "UBIFS error",
    "BTRFS error",
    "BTRFS critical",
    "BTRFS: error",
    "BTRFS: Transaction",
    "forced readonly",
    "orrupt",
    "Internal error",
    "hutting down",
    "shut down",
    "writeback error",
    "allocation deadlock",
    "filesystem read-only",
    "superblock",
    "fs with errors",
    "block allocation failed",
    "unwritten extents",
    ": error, ",
    "Aborting journal",
    "JBD2: ",
    "commit I/O",
    "xfs_do_force",
    "ext3_abort",
    "SQUASHFS error",
    " timeout, ",
    "controller is down",
    "Device not ready",
    "Device shutdown incomplete",
    "probe failure",
    "Abort status: ",
    "reset failure",
    "not responding",
    "not responded",
    "exception Emask",
    "failed command",
    "offline device",
    "offlined",
    "timing out command",
    "task abort!",
    "remote port time out",
    "dead device",
    "FAULT state",
    "commands to complete",
    "NETDEV WATCHDOG",
    "[Hardware Error]",
    "hardware memory error",
    "Memory failure: ",
    "Machine check interrupt",
    "CMCI storm detected",
    "Soft-offlining pfn",
    "memory: usage ",
    "as a result of limit of ",
    "SError Interrupt",
    " CE ",
    " UE ",
    "PCIe Bus Error",
    "AER: C",
    "AER: U",
    "AER: M",
    "messages dropped",
    "Hardware name: ",
    "Tainted: ",
    "ot tainted ",
    "\"time\":  ",
    "_MONOTONIC_TIMESTAMP=",
];

/// Whether a line may be part of a report.
pub(crate) fn may_report(line: &[u8]) -> bool {
    static AUTOMATON: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let automaton = AUTOMATON.get_or_init(|| {
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(aho_corasick::AhoCorasickKind::DFA));
        // Constants that fit: building does not fail. If it did, every line would be parsed.
        builder.build(PIECES).ok()
    });
    automaton.as_ref().is_none_or(|automaton| automaton.is_match(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that is a report by itself has to come through.
    #[test]
    fn every_report_comes_through() {
        let shapes = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shapes");
        let sources =
            ["lockup", "crash", "warning", "device", "hardware", "storage", "filesystem", "network", "message"];
        let sources =
            sources.map(|name| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/event/{name}.rs")));
        let logs = std::fs::read_dir(shapes).unwrap().map(|entry| entry.unwrap().path());
        let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
        let mut checked = 0;
        for path in logs.chain(sources) {
            let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            // Of the sources the lines that their tests quote.
            for line in text.lines().flat_map(|line| [line, line.split('"').nth(1).unwrap_or_default()]) {
                let begins =
                    |text: &str| crate::Event::parse(text.trim()).is_some_and(|event| event.kind != crate::Kind::Task);
                if begins(crate::split(line).1) {
                    assert!(may_report(line.as_bytes()), "{line}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 150, "only {checked} lines");
    }

    #[test]
    fn ordinary_lines_are_left_out() {
        for line in [
            "[    1.234567] usb 1-1: new high-speed USB device number 2 using xhci_hcd",
            "[    0.000000] Command line: root=/dev/sda1 panic=1 oops=panic hung_task_panic=1",
            "Nov 22 10:00:00 host-a systemd[1]: Started Daily apt download activities.",
            "[    2.000000] EXT4-fs (sdb1): mounted filesystem with ordered data mode. Quota mode: none.",
            "[    2.000000] XFS (dm-0): Ending clean mount",
            "[    2.000000] nvme nvme0: 8/0/0 default/read/poll queues",
            "[    2.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable",
            "[    2.000000] ata1.00: configured for UDMA/133",
            "[    2.000000] sched: RT throttling is off",
            "[    2.000000] EEH is not available",
            "[    2.000000] ACPI Error: AE_NOT_FOUND, While resolving a named reference package element",
        ] {
            assert!(!may_report(line.as_bytes()), "{line}");
        }
    }
}
