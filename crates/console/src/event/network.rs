//! Network devices that do not send, or that nothing can be done with any more.
//!
//! Source: `net/sched/sch_generic.c`, `dev_watchdog()`; `net/core/dev.c`, `netdev_wait_allrefs_any()`;
//! `drivers/net/ethernet/mellanox/mlx5/core/health.c`, `cmd.c`; `drivers/net/ethernet/intel`; `drivers/net/virtio_net.c`;
//! `drivers/net/ethernet/amazon/ena/ena_netdev.c`.

use super::message::{Device, Message, find};
use super::text::word;
use super::{Event, Kind};

pub(super) fn parse(text: &str) -> Option<Event> {
    find(&MESSAGES, text).or_else(|| watchdog(text)).or_else(|| hang(text))
}

const fn network(begins: &'static str, has: &'static [&'static str], device: Device) -> Message {
    Message { begins, has, kind: Kind::NetTimeout, device }
}

static MESSAGES: [Message; 7] = [
    network("unregister_netdevice: waiting for ", &["to become free"], Device::Next),
    network(
        "mlx5_core ",
        &["health compromised", "Will cause a leak of a command resource", "Fatal error ", "recovery flow aborted"],
        Device::Next,
    ),
    network("mlx5_core ", &[": TX timeout detected"], Device::Next),
    network("ena ", &["Keep alive watchdog timeout"], Device::Next),
    network("igb ", &["PCIe link lost"], Device::Next),
    network("igc ", &["PCIe link lost"], Device::Next),
    network("virtio_net ", &["TX timeout on queue"], Device::Next),
];

/// `NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out`; since 6.4 `eth0: NETDEV WATCHDOG: CPU: 3: transmit …`.
fn watchdog(text: &str) -> Option<Event> {
    let device = match text.strip_prefix("NETDEV WATCHDOG: ") {
        Some(rest) => word(rest),
        None => text.split_once(": NETDEV WATCHDOG: ").and_then(|(before, _)| before.rsplit(' ').next()),
    };
    device.map(|device| Event::new(Kind::NetTimeout, text).of_device(Some(device)))
}

/// `e1000e 0000:00:1f.6 eno1: Detected Hardware Unit Hang:`.
fn hang(text: &str) -> Option<Event> {
    let (sender, _) =
        text.split_once(": Detected Hardware Unit Hang").or_else(|| text.split_once(": Detected Tx Unit Hang"))?;
    Some(Event::new(Kind::NetTimeout, text).of_device(sender.rsplit(' ').next()))
}
