//! Which lines can be part of a report at all: one pass over the bytes, before anything is parsed.
//!
//! Nearly every line of a log is none. Each of the kernel's texts that [`Event`](crate::Event) and the lines of a report
//! begin with has a piece here; the test holds them together.

use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// Pieces of the texts that the kernel's reports begin with, or that only they have.
const PIECES: &[&str] = &[
    "Linux version ",
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
    "BTRFS",
    "XFS (",
    "-fs (",
    "Aborting journal",
    "JBD2: ",
    "commit I/O",
    "xfs_do_force",
    "ext3_abort",
    "SQUASHFS error",
    "nvme ",
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
    "SError Interrupt",
    "EDAC ",
    "PCIe Bus Error",
    "AER: ",
    "messages dropped",
    "Hardware name: ",
    "Tainted: ",
    "ot tainted ",
    "\"time\":  ",
    "_MONOTONIC_TIMESTAMP=",
    // Before 5.11 what names a task ends with its flags.
    " 0x0",
    " 0x8",
    " 0x1",
    " 0x4",
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

    #[test]
    fn ordinary_lines_are_left_out() {
        for line in [
            "[    1.234567] usb 1-1: new high-speed USB device number 2 using xhci_hcd",
            "[    0.000000] Command line: root=/dev/sda1 panic=1 oops=panic hung_task_panic=1",
            "Nov 22 10:00:00 host-a systemd[1]: Started Daily apt download activities.",
            "[    2.000000] ACPI Error: AE_NOT_FOUND, While resolving a named reference package element",
        ] {
            assert!(!may_report(line.as_bytes()), "{line}");
        }
    }
}
