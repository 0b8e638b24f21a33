//! Trouble that was over soon: what did not answer answers again.
//!
//! Source: `net/sunrpc`, `fs/lockd/clntproc.c`, `fs/ceph/mds_client.c`, `lustre/ptlrpc/import.c`, `drivers/md/dm-mpath.c`, `drivers/nvme/host/fabrics.c`,
//! `drivers/net/ethernet/amazon/ena/ena_netdev.c`, `kernel/smp.c` (`csd_lock_wait_toolong()`); of
//! `unregister_netdevice: waiting for …`, which is printed every 10 s as long as it lasts, `net/core/dev.c`.

use std::collections::HashMap;

use crate::event::{Event, Kind};
use crate::log::Occurrence;

/// As many reports before the line that says so may be over.
const MAX_BEFORE: usize = 256;
/// A device that was waited for as many times is not given back soon.
const LONG_WAIT: usize = 3;

/// What a line says to be well again.
enum Again<'t> {
    /// What reports of this kind name that begin like this.
    Device { kind: Kind, begins: &'static str, device: Option<&'t str> },
    /// What this device could not read here.
    Read { device: &'t str, place: &'t str },
    /// The disks on this adapter, which was reset.
    Adapter { number: &'t str },
    /// A CPU that has answered another one.
    Call { by: u32, cpu: u32 },
}

impl Again<'_> {
    fn is_about(&self, event: &Event) -> bool {
        match *self {
            Self::Device { kind, begins, device } => {
                event.kind == kind && event.device.as_deref() == device && event.text.starts_with(begins)
            }
            Self::Read { device, place } => {
                let (_, offset) = place.rsplit_once(' ').unwrap_or_default();
                let is_there = [format!(" {place} "), format!(" logical {offset} ")]
                    .iter()
                    .any(|at| event.text.contains(at.as_str()));
                event.kind == Kind::IoError && event.device.as_deref() == Some(device) && is_there
            }
            Self::Adapter { number } => {
                let of_adapter = |rest: &str| rest.strip_prefix(number).is_some_and(|rest| rest.starts_with(':'));
                event.kind == Kind::IoTimeout
                    && event.text.contains("uas_eh_abort_handler")
                    && event.text.strip_prefix("sd ").is_some_and(of_adapter)
            }
            Self::Call { by, cpu } => {
                event.kind == Kind::UnansweredCall && event.cpus == [cpu] && event.details == [format!("CPU {by}")]
            }
        }
    }
}

/// Takes a line that may say that something answers again.
pub(crate) fn learn(events: &mut [Occurrence], text: &str) {
    let Some(again) = server(text).or_else(|| device(text)).or_else(|| call(text)) else { return };
    let known = events.iter_mut().rev().take(MAX_BEFORE);
    for known in known.filter(|known| again.is_about(&known.event)).take_while(|known| !known.is_over) {
        known.is_over = true;
    }
}

fn server(text: &str) -> Option<Again<'_>> {
    let [nfs, lockd, ceph] =
        [("nfs: server ", " OK"), ("lockd: server ", " OK"), ("ceph: ", " came back")].map(|(begins, ends)| {
            let device = text.strip_prefix(begins)?.trim_end().strip_suffix(ends)?;
            // Since 6.9 behind the file system and the client: `ceph: [FSID 24161]: mds0 came back`.
            let device = device.rsplit_once("]: ").map_or(device, |(_, device)| device);
            Some(Again::Device { kind: Kind::IoTimeout, begins, device: Some(device) })
        });
    nfs.or(lockd).or(ceph).or_else(|| lustre(text))
}

/// `Lustre: fs-OST0001-osc-ffff8881: Connection restored to fs-OST0001 (at 10.0.0.1@tcp)`.
fn lustre(text: &str) -> Option<Again<'_>> {
    let (device, _) = text.strip_prefix("Lustre: ")?.split_once(": Connection restored to ")?;
    Some(Again::Device { kind: Kind::IoTimeout, begins: "Lustre: ", device: Some(device) })
}

fn device(text: &str) -> Option<Again<'_>> {
    if let Some(rest) = text.strip_prefix("device-mapper: multipath: ") {
        let (_, path) = rest.split_once("Reinstating path ")?;
        let device = path.trim_end().trim_end_matches('.');
        return Some(Again::Device {
            kind: Kind::IoTimeout,
            begins: "device-mapper: multipath: ",
            device: Some(device),
        });
    }
    if let Some(rest) = text.strip_prefix("ena ") {
        let (device, _) = rest.split_once(": ").filter(|(_, rest)| rest.contains("Device reset completed success"))?;
        let device = device.split(' ').next()?;
        return Some(Again::Device { kind: Kind::NetTimeout, begins: "ena ", device: Some(device) });
    }
    if let Some(rest) = text.strip_prefix("amdgpu ").filter(|rest| has_reset(rest)) {
        let device = rest.split(": ").next()?;
        return Some(Again::Device { kind: Kind::Hardware, begins: "amdgpu ", device: Some(device) });
    }
    if text.starts_with("BTRFS info (device ") && text.contains("read error corrected: ") {
        let (device, rest) = text.split_once("(device ")?.1.split_once(')')?;
        // `ino 286 off 0 (dev /dev/sda1 sector 2048)`; of metadata `off` is what others call `logical`.
        let (place, _) = rest.split_once("corrected: ")?.1.split_once(" (dev")?;
        return Some(Again::Read { device, place });
    }
    if let Some((number, _)) =
        text.strip_prefix("scsi host").and_then(|rest| rest.split_once(": uas_eh_device_reset_handler success"))
    {
        return Some(Again::Adapter { number });
    }
    if let Some(rest) =
        text.strip_prefix("mlx5_core ").filter(|rest| rest.contains("Recovered ") && rest.contains(" eqes on EQ "))
    {
        return Some(Again::Device { kind: Kind::NetTimeout, begins: "mlx5_core ", device: rest.split(' ').next() });
    }
    if text.starts_with("megasas: reset successful") {
        return Some(Again::Device { kind: Kind::IoTimeout, begins: "megasas: ", device: None });
    }
    let (device, what) = text.strip_prefix("nvme ")?.split_once(": ")?;
    let again = Again::Device { kind: Kind::IoTimeout, begins: "nvme ", device: Some(device) };
    what.starts_with("Successfully reconnected").then_some(again)
}

/// `0000:03:00.0: amdgpu: GPU reset(1) succeeded!`: before that it only tries to resume.
fn has_reset(text: &str) -> bool {
    text.split_once("GPU reset(").is_some_and(|(_, result)| result.contains(") succeeded"))
}

/// `csd: CSD lock (#1) got unstuck on CPU#03, CPU#07 released the lock.`
fn call(text: &str) -> Option<Again<'_>> {
    let text = text.strip_prefix("smp: ").unwrap_or(text);
    let (by, rest) = text.strip_prefix("csd: CSD lock ")?.split_once(" got unstuck on CPU#")?.1.split_once(", CPU#")?;
    let (cpu, _) = rest.split_once(" released the lock")?;
    Some(Again::Call { by: by.parse().ok()?, cpu: cpu.parse().ok()? })
}

/// Marks the devices of a boot that were waited for only shortly.
pub(crate) fn mark(events: &mut [Occurrence]) {
    let waits = |known: &Occurrence| known.event.text.starts_with("unregister_netdevice: waiting for ");
    let mut times: HashMap<String, usize> = HashMap::new();
    for device in events.iter().filter(|known| waits(known)).filter_map(|known| known.event.device.clone()) {
        *times.entry(device).or_default() += 1;
    }
    for known in events.iter_mut().filter(|known| waits(known)) {
        let times = known.event.device.as_ref().and_then(|device| times.get(device));
        known.is_over = times.is_some_and(|times| *times < LONG_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Log, Weight};

    fn weights(text: &str) -> Vec<Weight> {
        Log::read(text.as_bytes()).unwrap().events.iter().map(crate::Occurrence::weight).collect()
    }

    #[test]
    fn what_answers_again_is_over() {
        let gone = "nfs: server nas01 not responding, still trying\n";
        assert_eq!(weights(gone), [Weight::Failure]);
        assert_eq!(weights(&format!("{gone}nfs: server nas01 OK\n")), [Weight::Harmless]);
        assert_eq!(weights(&format!("{gone}nfs: server nas02 OK\n")), [Weight::Failure]);
        assert_eq!(weights(&format!("nfs: server nas01 OK\n{gone}")), [Weight::Failure]);
        let path = "device-mapper: multipath: 253:3: Failing path 8:16.\n";
        let back = path.replace("Failing", "Reinstating");
        assert_eq!(weights(&format!("{path}{back}{path}")), [Weight::Harmless, Weight::Failure]);
    }

    #[test]
    fn a_cpu_a_card_and_a_server_that_answer_again_are_over() {
        let call = "smp: csd: Detected non-responsive CSD lock (#1) on CPU#3, waiting 5000000003 ns for CPU#07 f+0x0/0x40(0x0).\n";
        let answer = "smp: csd: CSD lock (#1) got unstuck on CPU#03, CPU#07 released the lock.\n";
        assert_eq!(weights(call), [Weight::Stopped]);
        assert_eq!(weights(&format!("{call}{answer}")), [Weight::Harmless]);
        assert_eq!(weights(&format!("{call}{}", answer.replace("07", "08"))), [Weight::Stopped]);
        let card = "ena 0000:00:05.0 eth0: Keep alive watchdog timeout.\n";
        let reset = "ena 0000:00:05.0: Device reset completed successfully, Driver info: x\n";
        assert_eq!(weights(card), [Weight::Failure]);
        assert_eq!(weights(&format!("{card}{reset}")), [Weight::Harmless]);
        assert_eq!(weights(&format!("{card}{}", reset.replace("05.0", "06.0"))), [Weight::Failure]);
        let server = "ceph: mds0 hung\n";
        assert_eq!(weights(server), [Weight::Failure]);
        assert_eq!(weights(&format!("{server}ceph: mds0 came back\n")), [Weight::Harmless]);
    }

    #[test]
    fn what_was_reset_or_corrected_is_over() {
        let fsid = "[0c2cb2b7-3b4d-11ef-a0d0-525400aabbcc 24161]";
        for (trouble, end) in [
            (format!("ceph: {fsid}: mds0 hung"), format!("ceph: {fsid}: mds0 came back")),
            (
                "Lustre: fs-OST0001-osc-ffff8881: Connection to fs-OST0001 (at 10.0.0.1@tcp) was lost; in progress \
                 operations using this service will wait for recovery to complete"
                    .to_owned(),
                "Lustre: fs-OST0001-osc-ffff8881: Connection restored to 10.0.0.1@tcp (at 10.0.0.1@tcp)".to_owned(),
            ),
            ("megasas: [ 0]waiting for 1 commands to complete".to_owned(), "megasas: reset successful ".to_owned()),
            (
                "amdgpu 0000:03:00.0: amdgpu: GPU reset begin!".to_owned(),
                "amdgpu 0000:03:00.0: amdgpu: GPU reset(1) succeeded!".to_owned(),
            ),
            (
                "sd 2:0:0:0: [sda] tag#0 uas_eh_abort_handler 0 uas-tag 1 inflight: CMD".to_owned(),
                "scsi host2: uas_eh_device_reset_handler success".to_owned(),
            ),
            (
                "mlx5_core 0000:3b:00.0 ens1f0: TX timeout detected".to_owned(),
                "mlx5_core 0000:3b:00.0 ens1f0: Recovered 1 eqes on EQ 0x2".to_owned(),
            ),
            (
                "BTRFS warning (device sda1): checksum verify failed on logical 30408704 mirror 1 wanted 0x1 found 0x2"
                    .to_owned(),
                "BTRFS info (device sda1): read error corrected: ino 0 off 30408704 (dev /dev/sda1 sector 2048)"
                    .to_owned(),
            ),
            (
                "BTRFS warning (device sda1): csum failed root 257 ino 286 off 0 csum 0x1 expected csum 0x2 mirror 1"
                    .to_owned(),
                "BTRFS info (device sda1): read error corrected: ino 286 off 0 (dev /dev/sda1 sector 2048)".to_owned(),
            ),
        ] {
            assert_eq!(weights(&trouble), [Weight::Failure], "{trouble}");
            assert_eq!(weights(&format!("{trouble}\n{end}\n")), [Weight::Harmless], "{trouble}");
        }
    }

    #[test]
    fn a_controller_that_is_pulled_out_with_its_dock_does_not_fail() {
        let died = "xhci_hcd 0000:3b:00.0: HC died; cleaning up\n";
        assert_eq!(weights(died), [Weight::Failure]);
        let pulled = "pcieport 0000:06:04.0: pciehp: Slot(4): Link Down\n";
        assert_eq!(weights(&format!("{pulled}{died}")), [Weight::Harmless]);
        // One of the board itself is in no dock, and one that does not come back from a suspend need be in none.
        let of_board = died.replace("3b:00.0", "00:14.0");
        assert_eq!(weights(&format!("{pulled}{of_board}")), [Weight::Failure]);
        let resumed = "xhci_hcd 0000:3b:00.0: PCI post-resume error -19!\n";
        assert_eq!(weights(&format!("{resumed}{died}")), [Weight::Failure]);
    }

    #[test]
    fn what_could_be_read_elsewhere_corrects_nothing_here() {
        let bad =
            "BTRFS warning (device sda1): csum failed root 257 ino 257 off 0 csum 0x1 expected csum 0x2 mirror 1\n";
        let other = "BTRFS info (device sda1): read error corrected: ino 300 off 0 (dev /dev/sda1 sector 2048)\n";
        assert_eq!(weights(&format!("{bad}{other}")), [Weight::Failure]);
        // It has yet to resume.
        let gpu = "amdgpu 0000:03:00.0: GPU reset begin!\namdgpu 0000:03:00.0: GPU reset succeeded, trying to resume\n";
        assert_eq!(weights(gpu), [Weight::Failure]);
    }

    #[test]
    fn a_device_that_is_waited_for_long_is_not_over() {
        let wait = "unregister_netdevice: waiting for eth0 to become free. Usage count = 1\n";
        assert_eq!(weights(wait), [Weight::Harmless]);
        assert_eq!(weights(&wait.repeat(3)), [Weight::Failure; 3]);
    }
}
