//! The proof: every fact with its address, its raw value and its meaning, then what was tried to refute it.

use std::collections::HashSet;
use std::io::{self, Write};

use super::Analyze;
use super::phrases::at;
use crate::verdict::{Evidence, Quoted, heading, paragraph};
use crate::{Painted, Sanitized, Theme};

/// Writes what is below the answer and above the stacks.
pub(super) fn write_proof(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let mut proof = Proof { shown: HashSet::new(), out, theme };
    proof.suspects(report)?;
    proof.edges(report)?;
    proof.known_issue(report)?;
    proof.findings(report)?;
    write_refutations(report, out, theme)?;
    write_unknown(report, out, theme)
}

/// What a fact means is said once, where it first belongs.
struct Proof<'p, 'a> {
    shown: HashSet<&'p Evidence<'a>>,
    out: &'p mut dyn Write,
    theme: &'p Theme,
}

impl<'p, 'a> Proof<'p, 'a> {
    fn suspects(&mut self, report: &'p Analyze<'a>) -> io::Result<()> {
        if report.spinners.is_empty() && report.splitters.is_empty() {
            return Ok(());
        }
        heading("Proof", self.out, self.theme)?;
        for spinner in &report.spinners {
            writeln!(self.out, "\n  CPU {} spins: pid {} {}", spinner.cpu, spinner.pid, Quoted(spinner.comm))?;
            self.evidence(&spinner.evidence, true)?;
        }
        for splitter in &report.splitters {
            writeln!(
                self.out,
                "\n  pid {} {} cannot run on CPU {}",
                splitter.pid,
                Quoted(splitter.comm),
                splitter.cpu
            )?;
            self.evidence(&splitter.evidence, true)?;
        }
        Ok(())
    }

    fn edges(&mut self, report: &'p Analyze<'a>) -> io::Result<()> {
        if report.edges.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\n  Who waits for whom")?;
        for edge in &report.edges {
            paragraph(
                4,
                &format!("{} -> {} ({}): {}", edge.from, edge.to, edge.kind.replace('_', " "), edge.why),
                self.out,
                self.theme,
            )?;
            self.evidence(&edge.evidence, false)?;
        }
        Ok(())
    }

    fn known_issue(&mut self, report: &'p Analyze<'a>) -> io::Result<()> {
        let Some(known) = report.known_issue.as_ref().filter(|known| !known.evidence.is_empty()) else { return Ok(()) };
        writeln!(self.out, "\n  Known issue {} in this kernel: {}", Sanitized::new(known.id), known.in_this_kernel)?;
        paragraph(4, known.mechanism, self.out, self.theme)?;
        self.evidence(&known.evidence, true)
    }

    fn findings(&mut self, report: &'p Analyze<'a>) -> io::Result<()> {
        if report.findings.is_empty() {
            return Ok(());
        }
        heading("Findings", self.out, self.theme)?;
        for finding in &report.findings {
            let head = format_args!("{} ({})", finding.id, finding.severity);
            writeln!(self.out, "\n  {}", Painted(self.theme.doubtful, head))?;
            paragraph(4, finding.summary, self.out, self.theme)?;
            self.evidence(&finding.evidence, true)?;
        }
        Ok(())
    }

    /// Writes facts; those that were shown before only where they are to be repeated, and then without their meaning.
    fn evidence(&mut self, evidence: &'p [Evidence<'a>], repeat: bool) -> io::Result<()> {
        for fact in evidence {
            if self.shown.insert(fact) {
                write_fact(fact, self.out)?;
                paragraph(8, fact.meaning, self.out, self.theme)?;
            } else if repeat {
                write_fact(fact, self.out)?;
            }
        }
        Ok(())
    }
}

/// `what at kernel 0xffff... = 0x1234`
fn write_fact(fact: &Evidence<'_>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "    - {}{}", Sanitized::new(fact.what), at(fact.space, fact.address))?;
    match &fact.value {
        Some(value) => writeln!(out, " = {}", Sanitized::new(value)),
        None => writeln!(out),
    }
}

fn write_refutations(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    if report.refutations.is_empty() {
        return Ok(());
    }
    heading("What would make the verdict false", out, theme)?;
    for refutation in &report.refutations {
        let style = match refutation.result {
            "refuted" => theme.good,
            "holds" => theme.bad,
            _ => theme.doubtful,
        };
        let result = Painted(style, format_args!("{:<8}", refutation.result));
        writeln!(out, "  {result} {}", Sanitized::new(refutation.claim))?;
        paragraph(11, refutation.checked, out, theme)?;
    }
    Ok(())
}

fn write_unknown(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    if report.unknown.is_empty() {
        return Ok(());
    }
    heading("Unknown", out, theme)?;
    report.unknown.iter().try_for_each(|unknown| paragraph(2, unknown, out, theme))
}
