//! Disks, controllers, paths and file servers that fail, or do not answer.
//!
//! Source: `block/blk-core.c`, `blk_errors[]`; `fs/buffer.c`; `drivers/nvme/host/pci.c`, `fabrics.c`; `drivers/scsi/scsi_error.c`,
//! `hpsa.c`, `smartpqi/smartpqi_init.c`, `mpt3sas/mpt3sas_base.c`, `megaraid/megaraid_sas_base.c`, `scsi_transport_iscsi.c`;
//! `drivers/ata/libata-eh.c`; `drivers/md/raid1.c`, `raid5.c`, `raid10.c`, `dm-mpath.c`, `dm-thin.c`, `bcache/super.c`;
//! `drivers/virtio/virtio_ring.c`; `drivers/mmc`; `net/sunrpc`, `fs/nfs`, `fs/lockd`; `fs/smb/client/connect.c`;
//! `fs/ceph/mds_client.c`, `drivers/block/rbd.c`, `nbd.c`; `mm/page_io.c`; `fs/ocfs2/cluster/heartbeat.c`; `OpenZFS`, `zfs_ereport`.

use super::message::{Device, Message, find};
use super::text::{between, word};
use super::{Event, Kind};

pub(super) fn parse(text: &str) -> Option<Event> {
    io_error(text).or_else(|| find(&MESSAGES, text)).or_else(|| scsi(text)).or_else(|| ata(text)).or_else(|| ceph(text))
}

const fn silent(begins: &'static str, has: &'static [&'static str], device: Device) -> Message {
    Message { begins, has, kind: Kind::IoTimeout, device }
}

const fn broken(begins: &'static str, has: &'static [&'static str], device: Device) -> Message {
    Message { begins, has, kind: Kind::IoError, device }
}

const XHCI: &[&str] = &["host controller not responding, assume dead", "HC died; cleaning up"];

/// What does not answer, and what answers that it cannot.
static MESSAGES: [Message; 41] = [
    silent("aacraid: Host ", &["SCSI hang"], Device::Unnamed),
    silent("aacraid", &["Host adapter reset request. SCSI hang"], Device::Unnamed),
    silent(
        "megaraid_sas ",
        &["Adapter is OFFLINE", "Reset failed, shutdown adapter", "IO/DCMD timeout is detected"],
        Device::Next,
    ),
    broken("block drbd", &["UpToDate -> Failed", "Local IO failed in "], Device::Between("block ", ":")),
    broken("bcache: ", &["disabling caching"], Device::Unnamed),
    broken("device-mapper: verity: ", &["is corrupted"], Device::Between("verity: ", ": ")),
    broken("device-mapper: crypt: ", &["INTEGRITY AEAD ERROR"], Device::Between("crypt: ", ": ")),
    broken("md/raid", &["not enough operational devices", "not enough operational mirrors"], Device::Between(":", ":")),
    silent(
        "nvme ",
        &[
            " timeout, ",
            "controller is down",
            "Device not ready",
            "Device shutdown incomplete",
            "Removing after probe failure",
            "Abort status: ",
            "Disabling device after reset failure",
            "frozen state error detected",
            "failed nvme_keep_alive_end_io",
            "starting error recovery",
            "Removing controller...",
        ],
        Device::Next,
    ),
    silent("nfs: server ", &["not responding"], Device::Next),
    silent("lockd: server ", &["not responding"], Device::Next),
    // In newer kernels `CIFS: VFS: \\server has not responded`, in older ones `CIFS VFS: Server server has not responded`.
    silent("CIFS: VFS: ", &[" has not responded in "], Device::Next),
    silent("CIFS VFS: Server ", &[" has not responded in "], Device::Next),
    silent("CIFS VFS: server not responding", &[], Device::Unnamed),
    // `lustre/ptlrpc/import.c`, `ptlrpc_set_import_discon()`.
    silent("Lustre: ", &["was lost; in progress operations using this service will wait"], Device::Next),
    silent("block nbd", &["Possible stuck request", "Connection timed out"], Device::Between("block ", ":")),
    broken("rbd: ", &[" result -"], Device::Next),
    // Who needs the page is killed, or the kernel dies where it is its own.
    broken("Read-error on swap-device (", &[], Device::Between("(", ")")),
    broken("Write-error on swap-device (", &[], Device::Between("(", ")")),
    silent("rbd: ", &["encountered watch error"], Device::Next),
    silent("session", &["session recovery timed out after"], Device::Sender),
    silent("pm80xx ", &["task abort failed"], Device::Unnamed),
    silent("hpsa ", &["ontroller lockup detected"], Device::Next),
    silent("smartpqi ", &["no heartbeat detected", "controller offline", "controller is offline"], Device::Next),
    silent("mpt", &["SAS host is non-operational", "fault_state(0x"], Device::Sender),
    silent("megasas: ", &["commands to complete"], Device::Unnamed),
    silent(
        "mmc",
        &[
            "Timeout waiting for hardware interrupt",
            "Timeout waiting for hardware cmd interrupt",
            "ard stuck ",
            "timeout for tag",
        ],
        Device::Sender,
    ),
    silent("device-mapper: multipath: ", &["Failing path "], Device::After("Failing path ")),
    silent("o2hb: Heartbeat write timeout to device ", &[], Device::Next),
    // `mlog()` begins with who prints it.
    silent("(", &["Heartbeat write timeout to device "], Device::After("timeout to device ")),
    silent("*** ocfs2 is very sorry to be fencing this system", &[], Device::Unnamed),
    broken("virtio", &["is not a head!"], Device::Between(" ", ": ")),
    broken("md/raid", &["Disk failure on "], Device::After("Disk failure on ")),
    broken("md/raid", &["unrecoverable I/O read error", "unrecoverable I/O error"], Device::Between(":", ":")),
    broken(
        "device-mapper: thin: ",
        &[
            "switching pool to out-of-data-space",
            "switching pool to out-of-metadata-space",
            "switching pool to read-only",
            "switching pool to fail",
        ],
        Device::Between("thin: ", ": "),
    ),
    // Whoever uses the pool waits until it is cleared.
    broken("WARNING: Pool '", &["has been suspended"], Device::Between("Pool '", "'")),
    broken("EXT4-fs warning (device ", &["I/O error "], Device::Between("(device ", ")")),
    // `fs/btrfs/inode.c`, `disk-io.c`: whoever reads it gets an error, where no other copy is good.
    broken("BTRFS warning (device ", &["csum failed", "checksum verify failed"], Device::Between("(device ", ")")),
    // All that hangs off it is gone: `drivers/usb/host/xhci-ring.c`, `xhci_hc_died()`.
    silent("xhci_hcd ", XHCI, Device::Next),
    silent("xhci-hcd ", XHCI, Device::Next),
    silent("ata", &["reset failed, giving up"], Device::Sender),
];

/// `blk_update_request: I/O error, dev sda, sector 12345`, `Buffer I/O error on dev sda1, logical block 0`.
fn io_error(text: &str) -> Option<Event> {
    const ERRORS: [&str; 11] = [
        "I/O error, dev ",
        "critical medium error, dev ",
        "critical target error, dev ",
        "critical space allocation error, dev ",
        "recoverable transport error, dev ",
        "device offline error, dev ",
        "protection error, dev ",
        "timeout error, dev ",
        "Buffer I/O error on dev ",
        "Buffer I/O error on device ",
        "lost page write due to I/O error on ",
    ];
    // Drives without a medium in them say so at every boot.
    const REMOVABLE: [&str; 3] = ["fd", "sr", "loop"];
    // What a device does not know is not asked of it again: `block/blk-lib.c`, `drivers/scsi/sd.c`.
    let is_not_known = text.contains("critical target error, dev ")
        && ["(DISCARD)", "(WRITE_ZEROES)"].iter().any(|what| text.contains(what));
    if is_not_known {
        return None;
    }
    let device = ERRORS.iter().find_map(|error| word(text.split_once(error)?.1));
    if let Some(device) = device {
        let is_removable = REMOVABLE
            .iter()
            .any(|start| device.strip_prefix(start).is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit())));
        // The partition of a card's replay-protected memory is read by nobody: each look at it fails, up to 4.14.
        let is_protected = device.trim_end_matches(',').ends_with("rpmb");
        return (!is_removable && !is_protected).then(|| Event::new(Kind::IoError, text).of_device(Some(device)));
    }
    let scsi = text.starts_with("sd ")
        && (text.contains("Sense Key : Medium Error") || text.contains("Sense Key : Hardware Error"));
    scsi.then(|| Event::new(Kind::IoError, text).of_device(between(text, "[", "]")))
}

fn scsi(text: &str) -> Option<Event> {
    const STARTS: [&str; 9] = ["sd ", "scsi", "rport-", "megaraid_sas", "mpt", "qla", "lpfc", "hpsa", "device-mapper"];
    const ANYWHERE: [&str; 11] = [
        " commands to complete",
        "rejecting I/O to offline device",
        "Device offlined - not ready after error recovery",
        "timing out command, waited",
        "attempting task abort!",
        // VMware's adapter, and disks on USB: `vmw_pvscsi.c`, `drivers/usb/storage/uas.c`.
        " task abort on host ",
        " uas_eh_abort_handler ",
        "blocked FC remote port time out",
        "rejecting I/O to dead device",
        "FW in FAULT state",
        "hung_task_timeout",
    ];
    let is_scsi = STARTS.iter().any(|start| text.starts_with(start));
    (is_scsi && ANYWHERE.iter().any(|words| text.contains(words))).then(|| {
        let device = between(text, "[", "]").or_else(|| text.split(": ").next());
        Event::new(Kind::IoTimeout, text).of_device(device)
    })
}

/// `ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen`, `ata1.00: disabled`, in newer kernels `disable device`.
fn ata(text: &str) -> Option<Event> {
    let (port, what) = text.strip_prefix("ata")?.split_once(": ")?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let fails = what.starts_with("exception Emask ") && what.contains("frozen")
        || what.starts_with("failed command: ")
        || matches!(what, "disabled" | "disable device");
    let device = text.split(':').next();
    (is_port && fails).then(|| Event::new(Kind::IoTimeout, text).of_device(device))
}

/// `ceph: mds0 hung`; since 6.9 `ceph: [0c2cb2b7-3b4d-11ef-a0d0-525400aabbcc 24161]: mds0 hung`, with the file system and the client.
fn ceph(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("ceph: ")?;
    let rest = rest.rsplit_once("]: ").map_or(rest, |(_, rest)| rest);
    rest.contains(" hung").then(|| Event::new(Kind::IoTimeout, text).of_device(word(rest)))
}

impl Event {
    /// Whether it is a USB controller that does not answer, and is behind a bridge: those of the board are on bus 0.
    pub(crate) fn is_of_pluggable_usb_controller(&self) -> bool {
        let bus = self.device.as_deref().and_then(|device| device.split(':').nth(1));
        self.kind == Kind::IoTimeout && self.text.starts_with("xhci") && bus.is_some_and(|bus| bus != "00")
    }
}
