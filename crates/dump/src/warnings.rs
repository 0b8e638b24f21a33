//! What was wrong with a dump but did not stop it from being opened.

/// More than anybody reads; a damaged file could cause one for every few bytes.
const MAX_WARNINGS: usize = 50;

/// A bounded list of one-line messages, in the order of their discovery.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    messages: Vec<String>,
    damage: Option<String>,
}

impl Warnings {
    pub(crate) fn push(&mut self, message: String) {
        match self.messages.len() {
            ..MAX_WARNINGS => self.messages.push(message),
            MAX_WARNINGS => self.messages.push("further warnings about this dump are left out".to_owned()),
            _ => {}
        }
    }

    /// Says what makes every byte of the dump doubtful.
    pub(crate) fn push_damage(&mut self, message: String) {
        self.damage.get_or_insert_with(|| message.clone());
        self.push(message);
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        &self.messages
    }

    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
}
