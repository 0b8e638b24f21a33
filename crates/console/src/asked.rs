//! The crash that somebody asked for: which of a boot's reports are that crash, and no trouble of the machine's.
//!
//! `sysrq: Trigger a crash` and the panic that says so. Up to 5.9 the request wrote to address 0 (commit 8341f2f222d7): then
//! the exception is part of it, and the panic `Fatal exception` that follows.

use crate::event::{Kind, PanicReason};
use crate::log::Occurrence;

/// An oops this few lines below the request is the crash.
const BY_REQUEST: u64 = 4;

/// Marks the reports of one boot, in the order of their lines.
pub(crate) fn mark(events: &mut [Occurrence]) {
    let mut request = None;
    // Whether the last oops was asked for.
    let mut by_oops = false;
    for known in events {
        let near = request.is_some_and(|asked: u64| known.line.saturating_sub(asked) <= BY_REQUEST);
        known.is_asked_for = match known.event.kind {
            Kind::CrashRequested => {
                request = Some(known.line);
                true
            }
            Kind::Oops => {
                by_oops = near || known.event.is_sysrq_oops();
                by_oops
            }
            Kind::Panic => match known.event.panic_reason() {
                Some(PanicReason::Requested) => true,
                Some(PanicReason::Oops) => by_oops,
                _ => false,
            },
            _ => false,
        };
    }
}
