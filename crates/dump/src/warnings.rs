//! What was wrong with a dump but did not stop it from being opened.

/// More than anybody reads; a damaged file could cause one for every few bytes.
const MAX_WARNINGS: usize = 50;

/// A bounded list of one-line messages, in the order of their discovery.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    pub(crate) fn push(&mut self, message: String) {
        match self.0.len() {
            ..MAX_WARNINGS => self.0.push(message),
            MAX_WARNINGS => self.0.push("further warnings about this dump are left out".to_owned()),
            _ => {}
        }
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}
