//! Network devices: which are up, have a link, and are allowed to send.
//!
//! Source: `include/linux/netdevice.h`, `include/linux/inetdevice.h`.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::Kernel;

use super::clock::Clock;
use super::{Collector, Listing, Missing, state};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError};

/// Queues of a device, and addresses.
const MAX_QUEUES: u64 = 1 << 10;
const MAX_ADDRESSES: usize = 64;
/// `IFF_UP`, `__LINK_STATE_NOCARRIER`, and of a queue `__QUEUE_STATE_DRV_XOFF`, `_STACK_XOFF` and `_FROZEN`.
const UP: u64 = 1;
const NO_CARRIER: u64 = 1 << 2;
const QUEUE_STOPPED: u64 = 7;

/// The devices of the initial network namespace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Network")]
pub struct Network {
    /// The devices.
    pub devices: Listing<Device>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Network, devices);

/// A device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Device")]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The address of its `struct net_device`.
    pub device: Hex,
    /// Whether it is up.
    pub up: bool,
    /// Whether it has a link.
    pub carrier: bool,
    /// Its IPv4 addresses, with the length of the prefix.
    pub addresses: Listing<String>,
    /// How many queues send.
    pub tx_queues: u64,
    /// Which of them are stopped: the device or the kernel takes no more packets.
    pub stopped: Vec<u64>,
    /// When one of the stopped queues last sent something.
    pub silent_ns: Option<i64>,
}

/// Reads them.
#[must_use]
pub fn network<'k>(kernel: &'k Kernel<'k>) -> Network {
    let mut missing = Collector::default();
    let clock = Clock::read(kernel, &mut missing);
    let devices = missing.list("network devices", |missing| {
        let head = Object::variable(kernel, "init_net", "struct net")?.at("dev_base_head")?;
        let (found, gap) = head.list("struct net_device", "dev_list")?;
        missing.note_some("network devices", gap);
        let mut devices = Vec::new();
        for device in found {
            let read = read(device, &clock, missing);
            devices.extend(missing.take(format!("the net_device at {}", device.address()), read));
        }
        Ok(devices)
    });
    Network { devices, gaps: missing.into_gaps() }
}

fn read(device: Object<'_>, clock: &Clock, missing: &mut Collector) -> Result<Device, InspectError> {
    let tx_queues = device.number_at("real_num_tx_queues")?.min(MAX_QUEUES);
    let queues = device.at("_tx")?;
    let (mut stopped, mut sent) = (Vec::new(), None);
    for index in 0..tx_queues {
        let queue = queues.element(index)?;
        if queue.number_at("state")? & QUEUE_STOPPED != 0 {
            stopped.push(index);
            let since = if_known(queue.number_at("trans_start"))?.and_then(|jiffies| clock.since_jiffies(jiffies));
            sent = sent.max(since);
        }
    }
    Ok(Device {
        name: device.text_at("name")?,
        device: device.address().into(),
        up: device.number_at("flags")? & UP != 0,
        carrier: device.number_at("state")? & NO_CARRIER == 0,
        addresses: missing.list(format!("addresses of the net_device at {}", device.address()), |_| addresses(device)),
        tx_queues,
        stopped,
        silent_ns: sent,
    })
}

fn addresses(device: Object<'_>) -> Result<Vec<String>, InspectError> {
    let mut found = Vec::new();
    if device.pointer_at("ip_ptr")?.is_none() {
        return Ok(found);
    }
    let mut next = device.at("ip_ptr")?.pointee()?.pointer_at("ifa_list")?;
    while let Some(at) = next.filter(|_| found.len() < MAX_ADDRESSES) {
        let address = Object::new(device.kernel(), "struct in_ifaddr", at)?;
        // In network order, and so in memory.
        let number = u32::try_from(address.number_at("ifa_address")? & 0xffff_ffff).unwrap_or_default();
        let prefix = address.number_at("ifa_prefixlen")?;
        found.push(format!("{}/{prefix}", Ipv4Addr::from(number.to_le_bytes())));
        next = address.pointer_at("ifa_next")?;
    }
    Ok(found)
}
