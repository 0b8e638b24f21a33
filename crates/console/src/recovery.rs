//! Trouble that was over soon: what did not answer answers again.
//!
//! Source: `net/sunrpc`, `fs/lockd/clntproc.c`, `drivers/md/dm-mpath.c`, `drivers/nvme/host/fabrics.c`; of
//! `unregister_netdevice: waiting for …`, which is printed every 10 s as long as it lasts, `net/core/dev.c`.

use std::collections::HashMap;

use crate::event::Kind;
use crate::log::Occurrence;

/// As many reports before the line that says so may be over.
const MAX_BEFORE: usize = 256;
/// A device that was waited for as many times is not given back soon.
const LONG_WAIT: usize = 3;

/// Takes a line that may say that something answers again.
pub(crate) fn learn(events: &mut [Occurrence], text: &str) {
    let Some((begins, device)) = answers(text) else { return };
    let known = events.iter_mut().rev().take(MAX_BEFORE);
    let same = |known: &&mut Occurrence| {
        known.event.kind == Kind::IoTimeout
            && known.event.device.as_deref() == Some(device)
            && known.event.text.starts_with(begins)
    };
    for known in known.filter(same).take_while(|known| !known.is_over) {
        known.is_over = true;
    }
}

/// How the reports begin that are over, and the device that they name.
fn answers(text: &str) -> Option<(&str, &str)> {
    for begins in ["nfs: server ", "lockd: server "] {
        if let Some(server) = text.strip_prefix(begins).and_then(|rest| rest.trim_end().strip_suffix(" OK")) {
            return Some((begins, server));
        }
    }
    if let Some(rest) = text.strip_prefix("device-mapper: multipath: ") {
        let (_, path) = rest.split_once("Reinstating path ")?;
        return Some(("device-mapper: multipath: ", path.trim_end().trim_end_matches('.')));
    }
    let (controller, what) = text.strip_prefix("nvme ")?.split_once(": ")?;
    what.starts_with("Successfully reconnected").then_some(("nvme ", controller))
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
    fn a_device_that_is_waited_for_long_is_not_over() {
        let wait = "unregister_netdevice: waiting for eth0 to become free. Usage count = 1\n";
        assert_eq!(weights(wait), [Weight::Harmless]);
        assert_eq!(weights(&wait.repeat(3)), [Weight::Failure; 3]);
    }
}
