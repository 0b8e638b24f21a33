//! Devices, file systems and hardware that fail: each kind of them in a module of its own.

use super::{Event, filesystem, hardware, network, storage};

pub(super) fn parse(text: &str) -> Option<Event> {
    filesystem::parse(text)
        .or_else(|| storage::parse(text))
        .or_else(|| hardware::parse(text))
        .or_else(|| network::parse(text))
}

#[cfg(test)]
mod tests {
    use crate::event::Kind;

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
            ("mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 4: a600000000020408", Kind::Hardware, Some("bank 4")),
            (
                "mce: [Hardware Error]: CPU 5: Machine Check: 0 Bank 0: 90000040000f0005",
                Kind::CorrectedHardware,
                Some("bank 0"),
            ),
            ("RAS: Soft-offlining pfn: 0x10cb39", Kind::CorrectedHardware, None),
            ("mce: CMCI storm detected: switching to poll mode", Kind::CorrectedHardware, None),
            ("mce: CPU3 BANK7 CMCI storm detected", Kind::CorrectedHardware, Some("bank 7")),
            ("{1}[Hardware Error]: event severity: info", Kind::CorrectedHardware, None),
            ("{1}[Hardware Error]: event severity: recoverable", Kind::Hardware, None),
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
            (
                "pcieport 0000:00:1c.5: AER: Multiple Correctable error messages received from 0000:01:00.0",
                Kind::CorrectedHardware,
                Some("0000:00:1c.5"),
            ),
            (
                "nvme 0000:01:00.0: PCIe Bus Error: severity=Correctable, type=Physical Layer, (Receiver ID)",
                Kind::CorrectedHardware,
                Some("0000:01:00.0"),
            ),
            ("i915 0000:00:02.0: [drm] *ERROR* Failed to reset chip", Kind::Hardware, Some("0000:00:02.0")),
            ("Read-error on swap-device (253:1:1234)", Kind::IoError, Some("253:1:1234")),
            ("rbd: rbd0: write at objno 1234 0~4096 result -110", Kind::IoError, Some("rbd0")),
            ("ena 0000:00:05.0 eth0: Keep alive watchdog timeout.", Kind::NetTimeout, Some("0000:00:05.0")),
            ("igc 0000:70:00.0 eno1: PCIe link lost, device now detached", Kind::NetTimeout, Some("0000:70:00.0")),
            (
                "xe 0000:03:00.0: [drm] *ERROR* CRITICAL: Xe has declared device 0000:03:00.0 as wedged.",
                Kind::Hardware,
                Some("0000:03:00.0"),
            ),
            (
                "UBIFS warning (ubi0:0 pid 1492): ubifs_ro_mode [ubifs]: switched to read-only mode, error -22",
                Kind::Filesystem,
                Some("ubi0:0"),
            ),
            ("ubi0 warning: ubi_ro_mode.part.0 [ubi]: switch to read-only mode", Kind::Filesystem, None),
            ("EXT2-fs (sda1): error: ext2_lookup: deleted inode referenced: 5", Kind::Filesystem, Some("sda1")),
            ("bcache: bch_cache_set_error() error on x: journal io error, disabling caching", Kind::IoError, None),
            (
                "block nbd0: Possible stuck request 00000000abcdef12: control (read@4096,4096B). Runtime 300 seconds",
                Kind::IoTimeout,
                Some("nbd0"),
            ),
            ("Uhhuh. NMI received for unknown reason 3d on CPU 0.", Kind::Hardware, None),
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((event.kind, event.device.as_deref()), (kind, device), "{line}");
        }
    }

    #[test]
    fn what_does_not_answer_is_named() {
        for (line, device) in [
            ("lockd: server nas01 not responding, still trying", "nas01"),
            ("CIFS VFS: Server nas01 has not responded in 120 seconds. Reconnecting...", "nas01"),
            ("CIFS: VFS: \\\\nas01 has not responded in 180 seconds. Reconnecting...", "\\\\nas01"),
            (
                "Lustre: fs-OST0001-osc-ffff8881: Connection to fs-OST0001 (at 10.0.0.1@tcp) was lost; in progress \
                 operations using this service will wait for recovery to complete",
                "fs-OST0001-osc-ffff8881",
            ),
            ("ceph: mds0 hung", "mds0"),
            ("ceph: [0c2cb2b7-3b4d-11ef-a0d0-525400aabbcc 24161]: mds0 hung", "mds0"),
            ("xhci_hcd 0000:01:00.0: HC died; cleaning up", "0000:01:00.0"),
            ("xhci-hcd f10f8000.usb3: xHCI host controller not responding, assume dead", "f10f8000.usb3"),
            ("sd 0:0:0:0: [sda] tag#0 uas_eh_abort_handler 0 uas-tag 1 inflight: CMD", "sda"),
            ("sd 0:0:0:0: [sda] tag#99 task abort on host 0, 0000000002af6841", "sda"),
            ("mmc0: Timeout waiting for hardware cmd interrupt.", "mmc0"),
            ("rbd: rbd0: encountered watch error: -107", "rbd0"),
            (" session1: session recovery timed out after 120 secs", "session1"),
            ("hpsa 0000:02:00.0: Controller lockup detected: 0x00130000 after 30", "0000:02:00.0"),
            ("smartpqi 0000:5c:00.0: no heartbeat detected - last heartbeat count: 12345", "0000:5c:00.0"),
            ("smartpqi 0000:5c:00.0: controller offline", "0000:5c:00.0"),
            ("mpt3sas_cm0: SAS host is non-operational !!!!", "mpt3sas_cm0"),
            ("ata1: reset failed, giving up", "ata1"),
            ("ata1.00: disabled", "ata1.00"),
            ("ata1.00: disable device", "ata1.00"),
            ("device-mapper: multipath: 253:3: Failing path 8:16.", "8:16"),
            ("device-mapper: multipath: Failing path 8:16.", "8:16"),
            ("o2hb: Heartbeat write timeout to device dm-3 after 120000 milliseconds", "dm-3"),
            ("(kworker/0:1,123,0):o2hb_write_timeout:338 ERROR: Heartbeat write timeout to device dm-3", "dm-3"),
            ("nvme nvme0: frozen state error detected, reset controller", "nvme0"),
            ("nvme nvme1: starting error recovery", "nvme1"),
            ("mmc0: Timeout waiting for hardware interrupt.", "mmc0"),
            ("mmc0: card stuck in programming state! mmcblk0 card_busy_detect", "mmc0"),
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((event.kind, event.device.as_deref()), (Kind::IoTimeout, Some(device)), "{line}");
        }
        for line in [
            "megasas: [ 5]waiting for 12 commands to complete",
            "CIFS VFS: server not responding",
            "pm80xx pm8001_mpi_task_abort_resp 3742:task abort failed status 0x6 ,tag = 0x1, scp= 0x0",
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((event.kind, event.device), (Kind::IoTimeout, None), "{line}");
        }
    }

    #[test]
    fn what_is_broken_is_named() {
        for (line, kind, device) in [
            ("blk_update_request: timeout error, dev nvme0n1, sector 12345 op 0x1:(WRITE)", Kind::IoError, "nvme0n1"),
            ("recoverable transport error, dev sdb, sector 12345 op 0x0:(READ)", Kind::IoError, "sdb"),
            ("md/raid1:md0: Disk failure on sdb1, disabling device.", Kind::IoError, "sdb1"),
            ("md/raid1:md0: sda1: unrecoverable I/O read error for block 1234", Kind::IoError, "md0"),
            ("device-mapper: thin: 253:4: switching pool to out-of-data-space (queue IO) mode", Kind::IoError, "253:4"),
            ("virtio_scsi virtio1: request:id 0 is not a head!", Kind::IoError, "virtio1"),
            (
                "WARNING: Pool 'tank' has encountered an uncorrectable I/O failure and has been suspended.",
                Kind::IoError,
                "tank",
            ),
            (
                "EXT4-fs warning (device dm-2): ext4_end_bio:346: I/O error 10 writing to inode 1234",
                Kind::IoError,
                "dm-2",
            ),
            ("XFS (dm-2): log mount/recovery failed: error -117", Kind::Filesystem, "dm-2"),
            ("XFS (dm-2): Metadata CRC error detected at xfs_agf_read_verify+0x1/0x2 [xfs]", Kind::Filesystem, "dm-2"),
            ("XFS (dm-0): xfs_log_force: error -5 returned.", Kind::Filesystem, "dm-0"),
            (
                "BTRFS warning (device sda1): csum failed root 257 ino 286 off 0 csum 0x1 expected csum 0x2 mirror 1",
                Kind::IoError,
                "sda1",
            ),
            ("BTRFS warning (device sda1): checksum verify failed on logical 30408704 mirror 1", Kind::IoError, "sda1"),
            ("mlx5_core 0000:3b:00.0 ens1f0: TX timeout detected", Kind::NetTimeout, "0000:3b:00.0"),
            ("amdgpu 0000:03:00.0: amdgpu: GPU reset begin!", Kind::Hardware, "0000:03:00.0"),
            ("amdgpu 0000:03:00.0: amdgpu: GPU reset end with ret = -110", Kind::Hardware, "0000:03:00.0"),
            ("NVRM: GPU 0000:b3:00.0: GPU has fallen off the bus.", Kind::Hardware, "0000:b3:00.0"),
            ("F2FS-fs (dm-3): Stopped filesystem due to reason: 3", Kind::Filesystem, "dm-3"),
            ("GFS2: fsid=cl:data.0: fatal: filesystem consistency error", Kind::Filesystem, "cl:data.0"),
            ("gfs2: fsid=cl:data.0: about to withdraw this file system", Kind::Filesystem, "cl:data.0"),
            ("bcachefs (sda): fatal error - emergency read only", Kind::Filesystem, "sda"),
            ("ERROR: (device sdb1): dbAllocDmapLev: the dmap page is corrupt", Kind::Filesystem, "sdb1"),
            ("unregister_netdevice: waiting for eth0 to become free. Usage count = 1", Kind::NetTimeout, "eth0"),
            (
                "mlx5_core 0000:3b:00.0: poll_health:840:(pid 0): device's health compromised - reached miss count",
                Kind::NetTimeout,
                "0000:3b:00.0",
            ),
            ("virtio_net virtio0: TX timeout on queue: 0, sq: output.0, vq: 0x1", Kind::NetTimeout, "virtio0"),
            ("e1000e 0000:00:1f.6 eno1: Detected Hardware Unit Hang:", Kind::NetTimeout, "eno1"),
            ("pcieport 0000:00:1c.0: AER: device recovery failed", Kind::Hardware, "0000:00:1c.0"),
            ("pcieport 0000:64:00.0: DPC: unmasked uncorrectable error detected", Kind::Hardware, "0000:64:00.0"),
            (
                "pcieport 0000:64:00.0: DPC: containment event, status:0x1f01: unmasked uncorrectable error detected",
                Kind::Hardware,
                "0000:64:00.0",
            ),
            (
                "arm-smmu-v3 arm-smmu-v3.0.auto: CMD_SYNC timeout at 0x1234 [hwprod 0x1]",
                Kind::Hardware,
                "arm-smmu-v3.0.auto",
            ),
            ("amdgpu 0000:03:00.0: amdgpu: GPU reset(1) failed", Kind::Hardware, "0000:03:00.0"),
            (
                "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', GPU has fallen off the bus.",
                Kind::Hardware,
                "PCI:0000:3b:00",
            ),
            (
                "thermal thermal_zone0: acpitz: critical temperature reached, shutting down",
                Kind::Hardware,
                "thermal_zone0",
            ),
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((event.kind, event.device.as_deref()), (kind, Some(device)), "{line}");
        }
        for line in [
            "[Hardware Error]: System Fatal error.",
            "NVRM: fallen off the bus and is not responding to commands.",
            "EEH: Frozen PHB#0-PE#10000 detected",
            "EEH: This PCI device has failed 6 times in the last hour and has been permanently disabled.",
            "Bad mode in Error handler detected on CPU0, code 0xbf000002 -- SError",
            "AMD-Vi: Completion-Wait loop timed out",
            "reboot: HARDWARE PROTECTION shutdown (Temperature too high)",
        ] {
            assert_eq!(Event::parse(line).map(|event| event.kind), Some(Kind::Hardware), "{line}");
        }
    }

    #[test]
    fn what_every_boot_prints_is_no_failure() {
        for line in [
            "F2FS-fs (sda1): Mounted with checkpoint version = 1a2b",
            "GFS2: fsid=cl:data.0: first mount done, others may mount",
            "md/raid1:md0: active with 2 out of 2 mirrors",
            "device-mapper: multipath: version 1.14.0 loaded",
            "device-mapper: thin: 253:4: growing the data device from 1 to 2 blocks",
            "libceph: osd12 (1)10.0.0.5:6801 socket closed (con state OPEN)",
            "NVRM: Xid (PCI:0000:3b:00): 31, pid=1234, name=python3, Ch 00000008",
            "amdgpu 0000:03:00.0: amdgpu: GPU reset(2) succeeded!",
            "sched_ext: BPF scheduler \"simple\" disabled (unregistered from user space)",
            "EEH: PCI Enhanced I/O Error Handling Enabled",
            "pcieport 0000:64:00.0: DPC: error containment capabilities: Int Msg #0, RPExt-",
            "mmc0: new high speed SDHC card at address 0001",
            "ata1.00: configured for UDMA/133",
            "nfs: server nas01 OK",
            "nvme nvme1: Successfully reconnected (1 attempt)",
            " session: opened",
            "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro",
            "EXT4-fs (sda1): re-mounted. Opts: (null)",
            "EXT2-fs (sda1): error: couldn't mount because of unsupported optional features (244)",
            "XFS (dm-0): Ending clean mount",
            "blk_update_request: I/O error, dev fd0, sector 0",
            "Buffer I/O error on dev sr0, logical block 0, async page read",
            "print_req_error: I/O error, dev mmcblk1rpmb, sector 0",
            "blk_update_request: I/O error, dev mmcblk1rpmb, sector 0 op 0x0:(READ) flags 0x0",
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
