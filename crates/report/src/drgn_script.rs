//! `drgn-script`: a script that has drgn read every value again that a verdict rests on.
//!
//! The script has the values in it and none of this program's code: whoever does not believe the verdict reads a hundred
//! lines of Python and runs them on the same dump. Where what was read has a kernel name (`task_struct.on_rq`), drgn's own
//! types say where that member is and how wide; all else is read as so many bytes as give the value. Texts of the dump
//! are written so that they are nothing but texts in Python.

use std::fmt::Write as _;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

use crate::analyze::Analyze;
use crate::verdict::Evidence;
use crate::{Report, Theme};

/// The script.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "DrgnScript")]
pub struct DrgnScript {
    /// The verdict that it checks; null where there is none.
    pub issue: Option<&'static str>,
    /// How many values it reads again.
    pub checks: usize,
    /// The script, for `drgn -c VMCORE -s VMLINUX SCRIPT`.
    pub script: String,
}

/// What stands below the values.
const CHECKER: &str = include_str!("drgn_check.py");

impl DrgnScript {
    /// The script for a verdict.
    #[must_use]
    pub fn new(analyze: &Analyze<'_>) -> Self {
        let mut checks = Vec::new();
        let mut add = |about: String, evidence: &[Evidence<'_>]| {
            checks.extend(evidence.iter().filter_map(|evidence| check(&about, evidence)));
        };
        for spinner in &analyze.spinners {
            add(format!("CPU {} spins: pid {} {:?}", spinner.cpu, spinner.pid, spinner.comm), &spinner.evidence);
        }
        for splitter in &analyze.splitters {
            add(format!("pid {} {:?} waits for CPU {}", splitter.pid, splitter.comm, splitter.cpu), &splitter.evidence);
        }
        for edge in &analyze.edges {
            add(format!("{} {} {}", edge.from, edge.kind.replace('_', " "), edge.to), &edge.evidence);
        }
        for finding in &analyze.findings {
            add(format!("{}: {}", finding.id, finding.summary), &finding.evidence);
        }
        if let Some(known) = &analyze.known_issue {
            add(format!("the known issue {}", known.id), &known.evidence);
        }
        checks.dedup();
        let mut script = String::new();
        let header = [
            "# Reads the values again that a verdict of vmcore-thp rests on, and compares them.",
            "#",
            "# usage: drgn -c VMCORE -s VMLINUX THIS_FILE",
            "#",
            "# Exits 1 where a value differs or none could be read.",
        ];
        header.iter().for_each(|line| {
            script.push_str(line);
            script.push('\n');
        });
        let verdict = format!("{} ({})", analyze.verdict.issue.unwrap_or("no verdict"), analyze.verdict.confidence);
        // Writing to a string cannot fail.
        let _ = writeln!(script, "\nVERDICT = {}", literal(&verdict));
        let _ = writeln!(script, "SUMMARY = {}", literal(analyze.verdict.summary));
        let release = analyze.kernel.release.as_deref().map_or_else(|| "None".to_owned(), literal);
        let _ = writeln!(script, "RELEASE = {release}");
        script.push_str("# What it is about, what was read, whether the address is physical, the address, the value, what it means.\nCHECKS = [\n");
        checks.iter().for_each(|line| script.push_str(line));
        script.push_str("]\n\n");
        script.push_str(CHECKER);
        Self { issue: analyze.verdict.issue, checks: checks.len(), script }
    }
}

/// The line of one value; `None` for what was computed, or has no number.
fn check(about: &str, evidence: &Evidence<'_>) -> Option<String> {
    let address = evidence.address?;
    let value = evidence.value.as_deref()?;
    let number = match value.strip_prefix("0x") {
        Some(hex) => i128::from(u64::from_str_radix(hex, 16).ok()?),
        None => value.parse().ok()?,
    };
    let physical = match evidence.space? {
        "kernel" => "False",
        "physical" => "True",
        _ => return None,
    };
    let (about, what, meaning) = (literal(about), literal(evidence.what), literal(evidence.meaning));
    Some(format!("    ({about}, {what}, {physical}, {address}, {number:#x}, {meaning}),\n"))
}

/// A text as a literal of Python, in printable ASCII alone.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                literal.push('\\');
                literal.push(character);
            }
            ' '..='~' => literal.push(character),
            // Writing to a string cannot fail.
            other => {
                let _ = write!(literal, "\\U{:08x}", u32::from(other));
            }
        }
    }
    literal.push('"');
    literal
}

impl Report for DrgnScript {
    fn may_be_folded(&self) -> bool {
        false
    }

    fn write_text(&self, out: &mut dyn Write, _: &Theme) -> io::Result<()> {
        out.write_all(self.script.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hex;

    #[test]
    fn a_text_is_only_a_text() {
        assert_eq!(literal("a\"b\\c\n\u{202e}"), r#""a\"b\\c\U0000000a\U0000202e""#);
        assert_eq!(literal("\"\"\"); import os #"), r#""\"\"\"); import os #""#);
    }

    #[test]
    fn numbers_that_have_an_address_are_checked() {
        let evidence = |address, space, value: Option<&str>| Evidence {
            what: "task_struct.on_rq",
            address,
            space,
            value: value.map(str::to_owned),
            meaning: "it is queued",
        };
        let line = check("pid 7", &evidence(Some(Hex(0x10)), Some("kernel"), Some("1"))).unwrap();
        assert_eq!(line, "    (\"pid 7\", \"task_struct.on_rq\", False, 0x10, 0x1, \"it is queued\"),\n");
        let physical = check("", &evidence(Some(Hex(0x20)), Some("physical"), Some("0xff"))).unwrap();
        assert!(physical.contains("True, 0x20, 0xff"), "{physical}");
        for none in [
            evidence(None, None, Some("1")),
            evidence(Some(Hex(1)), Some("kernel"), None),
            evidence(Some(Hex(1)), Some("kernel"), Some("a name")),
            evidence(Some(Hex(1)), Some("user"), Some("1")),
        ] {
            assert_eq!(check("", &none), None);
        }
    }
}
