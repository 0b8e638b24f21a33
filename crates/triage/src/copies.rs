//! What was found of one content, told of one of its copies: a dump that lies in two directories is judged once.

use serde_json::Value;

use crate::input::Item;
use crate::row::Row;
use crate::run::Outcome;
use crate::store::Store;
use crate::{TriageError, path_text};

impl Outcome {
    /// The row with the path of this item first, and the document as if that had been analyzed.
    ///
    /// # Errors
    ///
    /// [`TriageError`] where the store fails.
    pub fn of_copy(&self, item: &Item, store: &Store) -> Result<(Row, Option<String>), TriageError> {
        let path = path_text::shown(&item.path);
        let document = match &self.document {
            Some(document) => Some(document.clone()),
            None => store.document(&self.row.key, &self.row.tool)?,
        };
        let document = document.map(|document| with_path(document, &self.row.paths, &path));
        let mut row = self.row.clone();
        row.paths.retain(|known| *known != path);
        row.paths.insert(0, path);
        Ok((row, document))
    }
}

/// A document that names another copy, with this path. The log beside a dump that could not be judged keeps its own.
fn with_path(document: String, copies: &[String], path: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(&document) else { return document };
    let mut is_changed = false;
    for place in ["/path", "/dump/path"] {
        let named = value.pointer_mut(place).filter(|named| named.as_str().is_some_and(|named| named != path));
        if let Some(named) = named.filter(|named| copies.iter().any(|copy| **named == **copy)) {
            *named = path.into();
            is_changed = true;
        }
    }
    if is_changed { format!("{value}\n") } else { document }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_the_copy_that_it_lies_beside() {
        let copies = ["a/vmcore".to_owned(), "b/vmcore".to_owned()];
        let of = |document: &str| with_path(document.to_owned(), &copies, "b/vmcore");
        assert_eq!(of(r#"{"dump":{"path":"a/vmcore"}}"#), "{\"dump\":{\"path\":\"b/vmcore\"}}\n");
        assert_eq!(of(r#"{"path":"a/vmcore"}"#), "{\"path\":\"b/vmcore\"}\n");
        for other in [r#"{"path": "a/vmcore-dmesg.txt"}"#, r#"{"dump": {"path": "b/vmcore"}}"#, "{}", "no JSON"] {
            assert_eq!(of(other), other);
        }
    }
}
