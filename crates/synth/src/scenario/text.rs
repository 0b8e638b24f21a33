//! The text form of scenarios: TOML.
//!
//! What is written is laid out for people: a table for each page, process, task and object, with everything in it on one line
//! each.

use std::fmt::Write;

use toml::{Table, Value};

use super::Scenario;
use crate::SynthError;

/// Lists that are longer than this are written with one item a line.
const MAX_LINE: usize = 100;

impl Scenario {
    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`SynthError::Text`] that says where it is wrong.
    pub fn parse(text: &str) -> Result<Self, SynthError> {
        toml::from_str(text)
            .map_err(|why| SynthError::Text { what: "the scenario".to_owned(), why: one_line(text, &why) })
    }

    /// The text form.
    ///
    /// # Errors
    ///
    /// [`SynthError::Text`] where a number is too large for it.
    pub fn to_text(&self) -> Result<String, SynthError> {
        let table = Table::try_from(self)
            .map_err(|why| SynthError::Text { what: "the scenario".to_owned(), why: why.to_string() })?;
        let mut text = String::new();
        let is_list_of_tables = |value: &Value| match value {
            Value::Array(items) => items.iter().all(Value::is_table) && !items.is_empty(),
            _ => false,
        };
        let (tables, plain): (Vec<_>, Vec<_>) =
            table.iter().partition(|(key, value)| *key != "log" && (value.is_table() || is_list_of_tables(value)));
        plain.iter().for_each(|(key, value)| entry(&mut text, key, value));
        for (key, value) in tables {
            match value {
                Value::Array(items) => items.iter().for_each(|item| section(&mut text, &format!("[[{key}]]"), item)),
                one => section(&mut text, &format!("[{key}]"), one),
            }
        }
        Ok(text)
    }
}

/// A table with its heading.
fn section(text: &mut String, heading: &str, value: &Value) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{heading}");
    let said = |value: &Value| value.as_array().is_none_or(|items| !items.is_empty());
    let entries = value.as_table().into_iter().flatten().filter(|(_, value)| said(value));
    entries.for_each(|(key, value)| entry(text, key, value));
}

fn entry(text: &mut String, key: &str, value: &Value) {
    let line = inline(value);
    let items = value.as_array().filter(|_| line.len() > MAX_LINE);
    let _ = match items {
        Some(items) => {
            let items: String = items.iter().map(|item| format!("    {},\n", inline(item))).collect();
            writeln!(text, "{key} = [\n{items}]")
        }
        None => writeln!(text, "{key} = {line}"),
    };
}

/// A value on one line; addresses in hexadecimal.
fn inline(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Integer(number @ 0x1_0000_0000..) => format!("{number:#x}"),
        Value::Array(items) => format!("[{}]", list(items.iter().map(inline).collect())),
        Value::Table(table) => {
            let key = |key: &str| match key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
                true if !key.is_empty() => key.to_owned(),
                _ => Value::String(key.to_owned()).to_string(),
            };
            let pairs = table.iter().map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect();
            format!("{{ {} }}", list(pairs))
        }
        other => other.to_string(),
    }
}

/// What is wrong in which line: a message is one line, and the parser's own draws the line that it means.
fn one_line(text: &str, why: &toml::de::Error) -> String {
    let message = why.message().replace('\n', ", ");
    let before = why.span().and_then(|place| text.get(..place.start));
    match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}
