//! Devices, file systems and hardware that fail.
//!
//! Source: `block/blk-core.c`; `fs/buffer.c`; `fs/ext4/super.c`, `fs/xfs/xfs_message.c`, `fs/btrfs/messages.c`,
//! `fs/jbd2/journal.c`; `drivers/nvme/host/pci.c`; `drivers/scsi/scsi_error.c`; `drivers/ata/libata-eh.c`;
//! `net/sunrpc`, `fs/nfs`; `net/sched/sch_generic.c`, `dev_watchdog()`; `arch/x86/kernel/cpu/mce/core.c`,
//! `arch/x86/kernel/nmi.c`; `drivers/edac/edac_mc.c`; `drivers/acpi/apei/ghes.c`; `drivers/pci/pcie/aer.c`.

use super::text::{between, number_after, word};
use super::{Event, Kind};

pub(super) fn parse(text: &str) -> Option<Event> {
    filesystem(text)
        .or_else(|| io_error(text))
        .or_else(|| hardware(text))
        .or_else(|| timeout(text))
        .or_else(|| net(text))
}

/// `blk_update_request: I/O error, dev sda, sector 12345`, `Buffer I/O error on dev sda1, logical block 0`.
fn io_error(text: &str) -> Option<Event> {
    const ERRORS: [&str; 7] = [
        "I/O error, dev ",
        "critical medium error, dev ",
        "critical target error, dev ",
        "critical space allocation error, dev ",
        "Buffer I/O error on dev ",
        "Buffer I/O error on device ",
        "lost page write due to I/O error on ",
    ];
    // Drives without a medium in them say so at every boot.
    const REMOVABLE: [&str; 3] = ["fd", "sr", "loop"];
    let device = ERRORS.iter().find_map(|error| word(text.split_once(error)?.1));
    if let Some(device) = device {
        let is_removable = REMOVABLE
            .iter()
            .any(|start| device.strip_prefix(start).is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit())));
        return (!is_removable).then(|| Event::new(Kind::IoError, text).of_device(Some(device)));
    }
    let scsi = text.starts_with("sd ")
        && (text.contains("Sense Key : Medium Error") || text.contains("Sense Key : Hardware Error"));
    scsi.then(|| Event::new(Kind::IoError, text).of_device(between(text, "[", "]")))
}

fn filesystem(text: &str) -> Option<Event> {
    let event = |device: Option<&str>| Some(Event::new(Kind::Filesystem, text).of_device(device));
    for name in [
        "EXT4-fs error",
        "EXT3-fs error",
        "EXT2-fs error",
        "EXT4-fs critical",
        "BTRFS error",
        "BTRFS critical",
        "F2FS-fs error",
        "BTRFS: error",
        "BTRFS: Transaction aborted",
        "UBIFS error",
    ] {
        if let Some(rest) = text.strip_prefix(name) {
            return event(between(rest, "(device ", ")").or_else(|| between(rest, "(", ")")));
        }
    }
    if let Some(rest) = text.strip_prefix("XFS (") {
        const XFS: [&str; 9] = [
            "orruption",
            "metadata I/O error",
            "shutting down",
            "Shutting down",
            "shut down",
            "Internal error",
            "log I/O error",
            "writeback error",
            "possible memory allocation deadlock",
        ];
        let (device, what) = rest.split_once("): ")?;
        return XFS.iter().any(|words| what.contains(words)).then(|| event(Some(device))).flatten();
    }
    if text.starts_with("EXT4-fs (") || text.starts_with("EXT3-fs (") {
        const EXT: [&str; 6] = [
            "Remounting filesystem read-only",
            "previous I/O error to superblock",
            "I/O error while writing superblock",
            "mounting fs with errors",
            "Delayed block allocation failed",
            "failed to convert unwritten extents",
        ];
        return EXT.iter().any(|words| text.contains(words)).then(|| event(between(text, "(", ")"))).flatten();
    }
    if text.starts_with("BTRFS") && text.contains("forced readonly") {
        return event(between(text, "(device ", ")"));
    }
    if let Some(rest) = text.strip_prefix("Aborting journal on device ") {
        return event(word(rest).map(|device| device.trim_end_matches(['.', ':'])));
    }
    const OTHERS: [&str; 8] = [
        "JBD2: Error ",
        "JBD2: Detected IO errors",
        "JBD2: I/O error",
        "journal commit I/O error",
        "xfs_do_force_shutdown(",
        "ext3_abort called",
        "SQUASHFS error: ",
        "FAT-fs (",
    ];
    let start = OTHERS.iter().find(|start| text.starts_with(*start))?;
    let is_fat = *start == "FAT-fs (";
    (!is_fat || text.contains(": error, ")).then(|| event(between(text, "(", ")").filter(|_| is_fat))).flatten()
}

/// Disks, controllers and servers that do not answer.
fn timeout(text: &str) -> Option<Event> {
    let event = |device: Option<&str>| Some(Event::new(Kind::IoTimeout, text).of_device(device));
    if let Some(rest) = text.strip_prefix("nvme ") {
        const NVME: [&str; 7] = [
            " timeout, ",
            "controller is down",
            "Device not ready",
            "Device shutdown incomplete",
            "Removing after probe failure",
            "Abort status: ",
            "Disabling device after reset failure",
        ];
        return NVME.iter().any(|words| rest.contains(words)).then(|| event(word(rest))).flatten();
    }
    if let Some(rest) = text.strip_prefix("nfs: server ") {
        return rest.contains("not responding").then(|| event(word(rest))).flatten();
    }
    if text.starts_with("CIFS: ") && text.contains(" has not responded in ") {
        return event(text.split_once("VFS: ").and_then(|(_, rest)| word(rest)));
    }
    if text.starts_with("ata")
        && (text.contains(": exception Emask ") && text.contains("frozen") || text.contains(": failed command: "))
    {
        return event(text.split(':').next());
    }
    const ANYWHERE: [&str; 9] = [
        " commands to complete",
        "rejecting I/O to offline device",
        "Device offlined - not ready after error recovery",
        "timing out command, waited",
        "attempting task abort!",
        "blocked FC remote port time out",
        "rejecting I/O to dead device",
        "FW in FAULT state",
        "hung_task_timeout",
    ];
    let is_scsi = ["sd ", "scsi", "rport-", "megaraid_sas", "mpt", "qla", "lpfc", "hpsa", "device-mapper"]
        .iter()
        .any(|start| text.starts_with(start));
    (is_scsi && ANYWHERE.iter().any(|words| text.contains(words)))
        .then(|| event(between(text, "[", "]").or_else(|| text.split(": ").next())))
        .flatten()
}

/// `NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out`; since 6.4 `eth0: NETDEV WATCHDOG: CPU: 3: transmit …`.
fn net(text: &str) -> Option<Event> {
    let device = match text.strip_prefix("NETDEV WATCHDOG: ") {
        Some(rest) => word(rest),
        None => text.split_once(": NETDEV WATCHDOG: ").and_then(|(before, _)| before.rsplit(' ').next()),
    };
    device.map(|device| Event::new(Kind::NetTimeout, text).of_device(Some(device)))
}

fn hardware(text: &str) -> Option<Event> {
    machine_check(text)
        .or_else(|| firmware(text))
        .or_else(|| edac(text))
        .or_else(|| bus(text))
        .or_else(|| nmi(text))
        .or_else(|| heat(text))
}

/// `thermal thermal_zone0: acpitz: critical temperature reached, shutting down`, before 5.14 `critical temperature
/// reached (128 C)`; what is done then, `reboot: HARDWARE PROTECTION shutdown (Temperature too high)`, since 6.15 also
/// `reboot`.
///
/// Source: `drivers/thermal/thermal_core.c`, `kernel/reboot.c`, `__hw_protection_trigger()`.
fn heat(text: &str) -> Option<Event> {
    let zone = text.strip_prefix("thermal ").and_then(|rest| rest.split_once(": "));
    let is_critical = |what: &str| what.contains("critical temperature reached");
    let device = zone.filter(|(_, what)| is_critical(what)).map(|(device, _)| device);
    let protects = text.starts_with("reboot: HARDWARE PROTECTION ");
    (device.is_some() || protects).then(|| Event::new(Kind::Hardware, text).of_device(device))
}

/// `mce: [Hardware Error]: CPU 7: Machine Check Exception: 5 Bank 0: b200000080060001`
fn machine_check(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("mce: ").unwrap_or(text);
    let (number, rest) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, rest),
    };
    let Some(rest) = rest.strip_prefix("[Hardware Error]: ") else {
        let uncorrected = rest.starts_with("Uncorrected hardware memory error")
            || rest.starts_with("Memory failure: ") && rest.contains("recovery action for");
        return uncorrected.then(|| Event::new(Kind::Hardware, text));
    };
    if let Some((_, what)) = rest.strip_prefix("CPU ").and_then(|rest| rest.split_once(": ")) {
        let is_exception = what.starts_with("Machine Check Exception");
        let is_event = what.starts_with("Machine Check: ") || what.starts_with("Machine Check Event");
        let kind = if is_exception { Kind::Hardware } else { Kind::CorrectedHardware };
        let mut event = Event::new(kind, text).on_cpu(number_after(rest, "CPU "));
        event.device = number_after::<u32>(what, "Bank ").map(|bank| format!("bank {bank}"));
        return (is_exception || is_event).then_some(event);
    }
    if rest.starts_with("Machine check events logged") {
        return Some(Event::new(Kind::CorrectedHardware, text));
    }
    // AMD's decoder, and the firmware's own records.
    let severity = rest.strip_prefix("event severity: ");
    let is_source = number.is_some() && rest.starts_with("Hardware error from ");
    match severity {
        Some(severity) if severity.starts_with("corrected") => Some(Event::new(Kind::CorrectedHardware, text)),
        Some(_) => Some(Event::new(Kind::Hardware, text)),
        None if rest.starts_with("Corrected error") => Some(Event::new(Kind::CorrectedHardware, text)),
        None if rest.starts_with("Uncorrected") => Some(Event::new(Kind::Hardware, text)),
        None if is_source => Some(Event::new(Kind::CorrectedHardware, text)),
        None => None,
    }
}

/// POWER: `Severe Machine check interrupt [Not recovered]`.
fn firmware(text: &str) -> Option<Event> {
    let is_check =
        text.starts_with("Severe Machine check interrupt") || text.starts_with("Fatal Machine check interrupt");
    let serror = text.starts_with("SError Interrupt on CPU");
    (is_check || serror).then(|| Event::new(Kind::Hardware, text).on_cpu(number_after(text, "on CPU")))
}

/// `EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0`
fn edac(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("EDAC ")?;
    let (device, what) = rest.split_once(": ")?;
    let mut words = what.split(' ');
    words.next()?.parse::<u32>().ok()?;
    let kind = match words.next()? {
        "CE" => Kind::CorrectedHardware,
        "UE" => Kind::Hardware,
        _ => return None,
    };
    let device = what.split_once(" on ").and_then(|(_, place)| word(place)).unwrap_or(device);
    Some(Event::new(kind, text).of_device(Some(device)))
}

/// `pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer`
fn bus(text: &str) -> Option<Event> {
    let (device, what) = text.split_once(": ").filter(|(device, _)| !device.is_empty())?;
    let device = device.rsplit(' ').next();
    let kind = if let Some(rest) = what.strip_prefix("PCIe Bus Error: severity=") {
        if rest.starts_with("Corrected") { Kind::CorrectedHardware } else { Kind::Hardware }
    } else if let Some(rest) =
        what.strip_prefix("AER: ").filter(|rest| rest.contains(" error") && rest.contains("received"))
    {
        let corrected =
            rest.starts_with("Corrected") || rest.starts_with("Multiple Corrected") || rest.starts_with("Correctable");
        if corrected { Kind::CorrectedHardware } else { Kind::Hardware }
    } else {
        return None;
    };
    Some(Event::new(kind, text).of_device(device))
}

/// `Uhhuh. NMI received for unknown reason 3d on CPU 0.`, `NMI: PCI system error (SERR) for reason b1 on CPU 0.`
fn nmi(text: &str) -> Option<Event> {
    const STARTS: [&str; 4] = [
        "Uhhuh. NMI received for unknown reason",
        "NMI: PCI system error",
        "NMI: IOCK error",
        "NMI: memory parity error",
    ];
    STARTS
        .iter()
        .any(|start| text.starts_with(start))
        .then(|| Event::new(Kind::Hardware, text).on_cpu(number_after(text, "on CPU ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_named() {
        for (line, kind, device) in [
            ("blk_update_request: I/O error, dev sda, sector 12345 op 0x1:(WRITE)", Kind::IoError, Some("sda")),
            ("I/O error, dev nvme0n1, sector 12 op 0x0:(READ)", Kind::IoError, Some("nvme0n1")),
            ("Buffer I/O error on dev dm-3, logical block 0, lost async page write", Kind::IoError, Some("dm-3")),
            ("sd 0:0:0:0: [sdb] tag#3 Sense Key : Medium Error [current] ", Kind::IoError, Some("sdb")),
            ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2", Kind::Filesystem, Some("sda1")),
            ("EXT4-fs (sda1): Remounting filesystem read-only", Kind::Filesystem, Some("sda1")),
            (
                "XFS (dm-0): Corruption of in-memory data detected.  Shutting down filesystem",
                Kind::Filesystem,
                Some("dm-0"),
            ),
            ("BTRFS info (device sdb1: state E): forced readonly", Kind::Filesystem, Some("sdb1: state E")),
            ("Aborting journal on device sda1-8.", Kind::Filesystem, Some("sda1-8")),
            ("nvme nvme0: I/O 12 QID 3 timeout, aborting", Kind::IoTimeout, Some("nvme0")),
            ("nfs: server filer not responding, still trying", Kind::IoTimeout, Some("filer")),
            ("ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen", Kind::IoTimeout, Some("ata1.00")),
            ("sd 2:0:0:0: rejecting I/O to offline device", Kind::IoTimeout, Some("sd 2:0:0:0")),
            ("NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out", Kind::NetTimeout, Some("eth0")),
            (
                "e1000e 0000:00:1f.6 eno1: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5000 ms",
                Kind::NetTimeout,
                Some("eno1"),
            ),
            ("mce: [Hardware Error]: CPU 7: Machine Check Exception: 5 Bank 0: b2", Kind::Hardware, Some("bank 0")),
            ("mce: [Hardware Error]: Machine check events logged", Kind::CorrectedHardware, None),
            (
                "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1)",
                Kind::CorrectedHardware,
                Some("CPU_SrcID#0_Ha#0_Chan#1_DIMM#0"),
            ),
            (
                "pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=x",
                Kind::Hardware,
                Some("0000:00:1c.0"),
            ),
            ("Uhhuh. NMI received for unknown reason 3d on CPU 0.", Kind::Hardware, None),
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((event.kind, event.device.as_deref()), (kind, device), "{line}");
        }
    }

    #[test]
    fn what_every_boot_prints_is_no_failure() {
        for line in [
            "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro",
            "EXT4-fs (sda1): re-mounted. Opts: (null)",
            "XFS (dm-0): Ending clean mount",
            "blk_update_request: I/O error, dev fd0, sector 0",
            "Buffer I/O error on dev sr0, logical block 0, async page read",
            "ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)",
            "nvme nvme0: 8/0/0 default/read/poll queues",
            "EDAC MC: Ver: 3.0.0",
            "EDAC MC0: Giving out device to module skx_edac",
            "pcieport 0000:00:1c.0: AER: enabled with IRQ 122",
            "mce: CPU0: Thermal monitoring enabled (TM1)",
            "BTRFS info (device sda1): disk space caching is enabled",
            "ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0], AE_NOT_FOUND (20210730/psargs-330)",
            "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
            "FAT-fs (sda1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.",
        ] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }
}
