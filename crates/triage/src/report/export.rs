//! Rows for other tools.

use std::io::{self, Write};

use crate::row::Row;
use crate::{Confidence, clock};

pub(super) const COLUMNS: [&str; 22] = [
    "path",
    "key",
    "tool",
    "kind",
    "size",
    "host",
    "crashed",
    "elapsed_ns",
    "error",
    "from_log",
    "confidence",
    "release",
    "build_id",
    "panic",
    "issue",
    "summary",
    "known_issue",
    "in_this_kernel",
    "signature",
    "similar",
    "group",
    "crash",
];

/// Writes the first line of rows as CSV (RFC 4180): the names of the columns.
///
/// # Errors
///
/// As `out`.
pub fn write_csv_head(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}\r\n", COLUMNS.join(","))
}

/// Writes one more row as CSV.
///
/// A text that a spreadsheet would take for a formula has an apostrophe put before it: names are chosen by whoever ran on
/// the machine that crashed.
///
/// # Errors
///
/// As `out`.
pub fn write_csv_row(row: &Row, out: &mut dyn Write) -> io::Result<()> {
    let fields: Vec<_> = fields(row).iter().map(|field| quoted(field)).collect();
    write!(out, "{}\r\n", fields.join(","))
}

/// The texts of a row's columns; nothing for what is not known.
pub(super) fn fields(row: &Row) -> [String; COLUMNS.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let summary = &row.summary;
    [
        row.paths.first().cloned().unwrap_or_default(),
        row.key.clone(),
        row.tool.clone(),
        row.kind.name().to_owned(),
        row.size.to_string(),
        text(&row.host),
        row.crashed.map(clock::utc).unwrap_or_default(),
        row.elapsed_ns.to_string(),
        row.failure.as_ref().map(ToString::to_string).unwrap_or_default(),
        row.from_log.to_string(),
        Confidence::of(row).name().to_owned(),
        text(&summary.release),
        text(&summary.build_id),
        text(&summary.panic),
        text(&summary.issue),
        text(&summary.text),
        text(&summary.known_issue),
        text(&summary.in_this_kernel),
        row.signature.exact.clone(),
        row.signature.similar.clone(),
        row.signature.group(),
        text(&row.crash),
    ]
}

fn quoted(field: &str) -> String {
    let field =
        if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_break_out() {
        assert_eq!(quoted("plain text"), "plain text");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(quoted("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(quoted("-1"), "'-1");
    }
}
