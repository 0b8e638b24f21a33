//! Metrics for Prometheus' node exporter (its textfile collector): the text format, version 0.0.4.

use std::io::{self, Write};

use crate::Pile;

/// Writes what a pile comes to, as of `now` (seconds since 1970).
///
/// # Errors
///
/// As `out`.
pub fn write_metrics(pile: &Pile, now: i64, out: &mut dyn Write) -> io::Result<()> {
    let name = "vmcore_thp_triage_dumps";
    head(out, name, "Dumps and logs in the store, by the confidence of their verdict.")?;
    for (confidence, count) in &pile.confidences {
        writeln!(out, "{name}{{confidence=\"{}\"}} {count}", confidence.name())?;
    }
    let name = "vmcore_thp_triage_failures";
    head(out, name, "Dumps that could not be analyzed, by reason.")?;
    for (kind, count) in &pile.failures {
        writeln!(out, "{name}{{reason=\"{kind}\"}} {count}")?;
    }
    let name = "vmcore_thp_triage_crashes";
    head(out, name, "Crashes by issue and group, each counted once however many dumps there are of it.")?;
    for group in &pile.groups {
        let issue = group.exemplar().and_then(|row| row.summary.issue.as_deref()).unwrap_or_default();
        writeln!(out, "{name}{{issue=\"{}\",group=\"{}\"}} {}", label(issue), group.id, group.crashes)?;
    }
    if pile.left_out.crashes > 0 {
        writeln!(out, "{name}{{issue=\"\",group=\"others\"}} {}", pile.left_out.crashes)?;
    }
    let name = "vmcore_thp_triage_last_run_timestamp_seconds";
    head(out, name, "When the last run ended.")?;
    writeln!(out, "{name} {now}")
}

fn head(out: &mut dyn Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pile_has_all_metrics() {
        let mut out = Vec::new();
        write_metrics(&Pile::default(), 7, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("# TYPE ").count(), 4);
        assert!(text.ends_with("_seconds 7\n"), "{text}");
        assert_eq!(label("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
