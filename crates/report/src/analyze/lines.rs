//! The verdict in lines: one line in all, or one line for each fact, which grep finds and a terminal may cut.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

use super::Analyze;
use super::phrases::{at, kernel_line, panic_line};
use crate::verdict::Evidence;
use crate::{Report, Sanitized, Theme};

/// The verdict in one line as text; in every other form as it is.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Brief<'r, 'a>(pub &'r Analyze<'a>);

impl Report for Brief<'_, '_> {
    fn may_be_folded(&self) -> bool {
        false
    }

    fn write_text(&self, out: &mut dyn Write, _: &Theme) -> io::Result<()> {
        let Self(report) = self;
        let (answer, _) = report.verdict.answer();
        let line = format!("{}: {answer}: {} [{}]", report.dump.path, report.verdict.summary, kernel_line(report));
        one_line(&line, out)
    }

    fn page(&self) -> Option<String> {
        self.0.page()
    }
}

/// The verdict with one fact a line as text; in every other form as it is.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Wide<'r, 'a>(pub &'r Analyze<'a>);

impl Report for Wide<'_, '_> {
    fn may_be_folded(&self) -> bool {
        false
    }

    fn write_text(&self, out: &mut dyn Write, _: &Theme) -> io::Result<()> {
        let Self(report) = self;
        let (answer, _) = report.verdict.answer();
        one_line(&format!("verdict: {answer}: {}", report.verdict.summary), out)?;
        one_line(&format!("kernel: {}", kernel_line(report)), out)?;
        if let Some(message) = &report.panic.message {
            one_line(&format!("panic: {}", panic_line(report, message)), out)?;
        }
        for spinner in &report.spinners {
            facts(
                &format!("spinner CPU {} pid {} {:?}", spinner.cpu, spinner.pid, spinner.comm),
                &spinner.evidence,
                out,
            )?;
        }
        for splitter in &report.splitters {
            let about = format!("splitter CPU {} pid {} {:?}", splitter.cpu, splitter.pid, splitter.comm);
            facts(&about, &splitter.evidence, out)?;
        }
        for edge in &report.edges {
            let about = format!("edge {} -> {} ({})", edge.from, edge.to, edge.kind);
            one_line(&format!("{about}: {}", edge.why), out)?;
            facts(&about, &edge.evidence, out)?;
        }
        if let Some(known) = &report.known_issue {
            let about = format!("known issue {} in this kernel: {}", known.id, known.in_this_kernel);
            one_line(&format!("{about}: {}", known.why), out)?;
            facts(&about, &known.evidence, out)?;
        }
        for finding in &report.findings {
            let about = format!("finding {} ({})", finding.id, finding.severity);
            one_line(&format!("{about}: {}", finding.summary), out)?;
            facts(&about, &finding.evidence, out)?;
        }
        for refutation in &report.refutations {
            let line = format!("refutation {}: {}: {}", refutation.result, refutation.claim, refutation.checked);
            one_line(&line, out)?;
        }
        for unknown in report.unknown {
            one_line(&format!("unknown: {unknown}"), out)?;
        }
        for (index, remedy) in report.remedy.iter().enumerate() {
            let command = remedy.command.map(|command| format!(": $ {command}")).unwrap_or_default();
            one_line(&format!("remedy {}: {}{command}: {}", index + 1, remedy.action, remedy.why), out)?;
        }
        Ok(())
    }

    fn page(&self) -> Option<String> {
        self.0.page()
    }
}

fn facts(about: &str, evidence: &[Evidence<'_>], out: &mut dyn Write) -> io::Result<()> {
    evidence.iter().try_for_each(|fact| {
        let value = fact.value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
        one_line(&format!("{about}: {}{}{value}: {}", fact.what, at(fact.space, fact.address), fact.meaning), out)
    })
}

/// Untrusted text on one line, whatever line breaks it has.
fn one_line(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let words: Vec<_> = text.split_whitespace().collect();
    writeln!(out, "{}", Sanitized::new(&words.join(" ")))
}
