//! Every report in both forms, made from a machine that was built by hand.
//!
//! The JSON snapshots keep the order of the fields; that the real JSON is the same and fits its schema is checked for
//! each of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests, which clippy does not see as such.

mod analyze;
mod lists;
mod log;
mod machine;
mod schema;
mod stacks;

use schemars::JsonSchema;
use vmcore_report::{Report, Theme, json_schema, write_json};

/// The report as text.
fn text(report: &impl Report) -> String {
    let mut out = Vec::new();
    report.write_text(&mut out, &Theme::plain()).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\x1b'), "plain text has no escapes: {text}");
    text
}

/// The report as JSON, as programs get it.
fn written_json(report: &impl Report) -> String {
    let mut out = Vec::new();
    write_json(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The report as JSON, laid out for people. What is written for programs is checked to say the same and to be what the
/// schema says.
fn json<R: Report + JsonSchema>(report: &R) -> String {
    let written = written_json(report);
    assert!(written.starts_with("{\"schema_version\":2,"), "{written}");
    assert!(written.ends_with("}\n") && written.lines().count() == 1);
    let mut value: serde_json::Value = serde_json::from_str(&written).unwrap();
    schema::check(json_schema::<R>().as_value(), &value);
    let pretty = serde_json::to_string_pretty(report).unwrap();
    value.as_object_mut().unwrap().remove("schema_version");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap(), value);
    // As it is written: a snapshot must not turn the reading direction around either.
    pretty.replace('\u{202e}', "\\u202e")
}
