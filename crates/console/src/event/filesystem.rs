//! File systems that are damaged, shut themselves down or went read-only.
//!
//! Source: `fs/ext4/super.c`, `fs/jbd2/journal.c`, `fs/xfs/xfs_message.c`, `fs/btrfs/messages.c`, `fs/f2fs/super.c`,
//! `f2fs_printk()`; `fs/gfs2/util.c`, `gfs2_lm()` and `gfs2_withdraw()`; `fs/ocfs2/super.c`; `fs/bcachefs/error.c`;
//! `fs/jfs/super.c`, `jfs_error()`; `fs/reiserfs/prints.c`; `fs/nilfs2/super.c`; `fs/fat/misc.c`; `fs/exfat/misc.c`;
//! `fs/ext2/super.c`, `ext2_error()`; `fs/ubifs/io.c`, `ubifs_ro_mode()`; `drivers/mtd/ubi/ubi.h`, `ubi_ro_mode()`.

use super::message::{Device, Message, find};
use super::text::{between, word};
use super::{Event, Kind};

pub(super) fn parse(text: &str) -> Option<Event> {
    find(&MESSAGES, text).or_else(|| by_device(text)).or_else(|| journal(text))
}

const fn damaged(begins: &'static str, has: &'static [&'static str], device: Device) -> Message {
    Message { begins, has, kind: Kind::Filesystem, device }
}

const BY_DEVICE: Device = Device::Between("(device ", ")");
const IN_PARENTHESES: Device = Device::Between("(", ")");

static MESSAGES: [Message; 22] = [
    damaged(
        "XFS (",
        &[
            "orruption",
            "metadata I/O error",
            "Metadata CRC error",
            "shutting down",
            "Shutting down",
            "shut down",
            "Internal error",
            "log I/O error",
            "writeback error",
            "log mount/recovery failed",
            "log mount finish failed",
            "run xfs_repair",
            "SB validate failed with error -117",
            "failed to read root inode",
            // All that is left of it where it was shut down long ago: it says so every 30 s.
            "xfs_log_force: error -",
        ],
        IN_PARENTHESES,
    ),
    // 2.6.32.
    damaged("XFS: Internal error", &[], Device::Unnamed),
    damaged("EXT4-fs (", EXT, IN_PARENTHESES),
    damaged("EXT3-fs (", EXT, IN_PARENTHESES),
    // Of its other errors some only say that it is another file system: that is tried whenever the kernel looks for one.
    damaged("EXT2-fs (", &["): error: ext2_"], IN_PARENTHESES),
    damaged("BTRFS", &["forced readonly"], BY_DEVICE),
    damaged("UBIFS warning (", &["switched to read-only mode"], Device::Between("(", " pid ")),
    damaged("ubi", &["switch to read-only mode"], Device::Unnamed),
    // `f2fs_err()` and `f2fs_warn()`: there is no `F2FS-fs error`.
    damaged(
        "F2FS-fs (",
        &[
            "Stopped filesystem due to reason",
            "Remounting filesystem read-only",
            "nconsistent ",
            "orrupt",
            "run fsck",
            "Failed to recover fsync data",
        ],
        IN_PARENTHESES,
    ),
    damaged("GFS2: fsid=", GFS2, Device::Between("fsid=", ": ")),
    damaged("gfs2: fsid=", GFS2, Device::Between("fsid=", ": ")),
    damaged("OCFS2: ERROR (device ", &[], BY_DEVICE),
    damaged("OCFS2: File system is now read-only", &[], Device::Unnamed),
    damaged(
        "bcachefs (",
        &["emergency read only", "emergency read-only", "fatal error", "inconsistency detected"],
        IN_PARENTHESES,
    ),
    damaged("ERROR: (device ", &[], BY_DEVICE),
    damaged("REISERFS error (device ", &[], BY_DEVICE),
    damaged("NILFS error (device ", &[], BY_DEVICE),
    damaged("FAT-fs (", &[": error, "], IN_PARENTHESES),
    damaged("exFAT-fs (", &[": error, "], IN_PARENTHESES),
    // Whoever looks for one tries to mount what is none: os-prober does, at each update of the kernel.
    damaged(
        "SQUASHFS error: ",
        &["Unable to read", "decompression failed", "Failed to read", "rror reading"],
        Device::Unnamed,
    ),
    damaged("xfs_do_force_shutdown(", &[], Device::Unnamed),
    damaged("ext3_abort called", &[], Device::Unnamed),
];

const EXT: &[&str] = &[
    "Remounting filesystem read-only",
    "previous I/O error to superblock",
    "I/O error while writing superblock",
    "mounting fs with errors",
    "Delayed block allocation failed",
    "failed to convert unwritten extents",
    "group descriptors corrupted",
    "error loading journal",
    "get root inode failed",
];
const GFS2: &[&str] = &["fatal: ", "about to withdraw", "withdrawn"];

/// `EXT4-fs error (device sda1): …`.
fn by_device(text: &str) -> Option<Event> {
    const BEGINS: [&str; 9] = [
        "EXT4-fs error",
        "EXT3-fs error",
        "EXT2-fs error",
        "EXT4-fs critical",
        "BTRFS error",
        "BTRFS critical",
        "BTRFS: error",
        "BTRFS: Transaction aborted",
        "UBIFS error",
    ];
    let rest = BEGINS.iter().find_map(|begins| text.strip_prefix(begins))?;
    // `BTRFS: Transaction aborted (error -28)` names none.
    let device =
        between(rest, "(device ", ")").or_else(|| between(rest, "(", ")").filter(|inside| !inside.contains("error")));
    // `(device sdb1: state EA)`, `fs/btrfs/messages.c` since 5.19.
    let device = device.map(|device| device.split_once(": state ").map_or(device, |(device, _)| device));
    Some(Event::new(Kind::Filesystem, text).of_device(device))
}

fn journal(text: &str) -> Option<Event> {
    let event = |device: Option<&str>| Some(Event::new(Kind::Filesystem, text).of_device(device));
    if let Some(rest) = text.strip_prefix("Aborting journal on device ") {
        return event(word(rest).map(|device| device.trim_end_matches(['.', ':'])));
    }
    const BEGINS: [&str; 4] =
        ["JBD2: Error ", "JBD2: Detected IO errors", "JBD2: I/O error", "journal commit I/O error"];
    BEGINS.iter().any(|begins| text.starts_with(begins)).then(|| event(None)).flatten()
}
