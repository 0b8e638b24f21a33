//! JSON: one object for each command, its schema version first.

use std::io;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::ser::Formatter;
use vmcore_console::first_unsafe;

/// Raised when a field is removed or changes its meaning; new fields do not raise it.
pub const SCHEMA_VERSION: u32 = 2;

/// A report with its schema version.
#[derive(Serialize, JsonSchema)]
struct Document<T> {
    /// Raised when a field is removed or changes its meaning; new fields do not raise it.
    schema_version: u32,
    #[serde(flatten)]
    report: T,
}

/// Writes a report as one line of JSON. Characters that a terminal would act on are written as `\u` escapes, so that
/// the bytes are safe to look at and the values are what was in the dump.
///
/// # Errors
///
/// As `out`.
pub fn write_json<T: Serialize>(report: &T, out: &mut dyn io::Write) -> io::Result<()> {
    write_part(&Document { schema_version: SCHEMA_VERSION, report }, out)?;
    out.write_all(b"\n")
}

/// Writes a value that is part of such a line.
pub(crate) fn write_part<T: Serialize>(value: &T, mut out: &mut dyn io::Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, TerminalSafe);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// The JSON Schema of what [`write_json`] writes for `T`: a field that may be null is always there.
#[must_use]
pub fn json_schema<T: JsonSchema>() -> Schema {
    SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<Document<T>>()
}

/// Compact JSON with the characters escaped that [`first_unsafe`] finds. JSON itself only asks for those below U+0020.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = first_unsafe(rest) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = after.strip_prefix(character).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Name<'a> {
        comm: &'a str,
    }

    #[test]
    fn values_survive_and_bytes_are_safe() {
        let comm = "a\x1b[2J\u{7f}\u{9b}\u{202e}\u{e0041}\u{e9}\"";
        let mut out = Vec::new();
        write_json(&Name { comm }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "{\"schema_version\":2,\"comm\":\"a\\u001b[2J\\u007f\\u009b\\u202e\\udb40\\udc41\u{e9}\\\"\"}\n";
        assert_eq!(text, expected);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["comm"], comm);
    }
}
