//! What the first process says of its own end. It writes to the kernel's log (`/dev/kmsg`), since nobody else may be left to
//! write one, and then does nothing for ever: the kernel would panic if it exited.
//!
//! Source: systemd, `src/core/crash-handler.c`, `crash()` and `freeze_or_exit_or_reboot()` (in `src/core/main.c` up to v249).

use super::{Event, Kind};

/// Up to v218 one line says what could not be done, and that this is the end: `Failed to mount API filesystems, freezing.`
const FREEZES: &str = ", freezing.";

pub(super) fn parse(text: &str) -> Option<Event> {
    let said = text.strip_prefix("systemd[1]: ")?;
    let stops = said.starts_with("Caught <") || said.starts_with("Freezing execution") || said.ends_with(FREEZES);
    stops.then(|| Event::new(Kind::InitStopped, text).of_task("systemd", Some(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_process_stops_a_machine() {
        for line in [
            "systemd[1]: Caught <SEGV>, dumped core as pid 4242.",
            "systemd[1]: Caught <ABRT>, core dump failed (child 4242, code=killed, status=6/ABRT).",
            "systemd[1]: Freezing execution.",
            "systemd[1]: Failed to mount API filesystems, freezing.",
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((event.kind, event.pid), (Kind::InitStopped, Some(1)), "{line}");
        }
        for line in [
            "systemd[913]: Freezing execution.",
            "systemd[1]: Freezing user processes before sleep",
            "systemd[1]: Caught up with the journal",
            "Freezing of tasks failed",
        ] {
            assert_ne!(Event::parse(line).map(|event| event.kind), Some(Kind::InitStopped), "{line}");
        }
    }
}
