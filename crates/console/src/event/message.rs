//! Messages of one line by table: how the line begins, what else is in it, and what it reports.

use super::text::{between, word};
use super::{Event, Kind};

/// Where the line names the device, file system or server.
#[derive(Clone, Copy)]
pub(super) enum Device {
    /// It names none.
    Unnamed,
    /// The first word behind the beginning.
    Next,
    /// What stands before the first `: `: `dev_err()` and its like.
    Sender,
    /// Between two texts.
    Between(&'static str, &'static str),
    /// The first word behind a text.
    After(&'static str),
}

/// One message, or several that begin alike.
pub(super) struct Message {
    /// How the line begins.
    pub(super) begins: &'static str,
    /// One of these is in it; none has to be where there are none.
    pub(super) has: &'static [&'static str],
    pub(super) kind: Kind,
    pub(super) device: Device,
}

impl Message {
    fn read(&self, text: &str) -> Option<Event> {
        let rest = text.strip_prefix(self.begins)?;
        let is_it = self.has.is_empty() || self.has.iter().any(|piece| rest.contains(piece));
        is_it.then(|| Event::new(self.kind, text).of_device(self.device.of(text, rest)))
    }
}

impl Device {
    fn of<'t>(&self, text: &'t str, rest: &'t str) -> Option<&'t str> {
        match self {
            Self::Unnamed => None,
            Self::Next => word(rest),
            Self::Sender => text.split_once(": ").map(|(sender, _)| sender),
            Self::Between(before, after) => between(text, before, after),
            Self::After(before) => word(text.split_once(before)?.1),
        }
    }
}

/// What the line reports by the first row that fits.
pub(super) fn find(messages: &[Message], text: &str) -> Option<Event> {
    messages.iter().find_map(|message| message.read(text))
}
