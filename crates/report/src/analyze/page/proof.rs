//! What is below the answer: every fact with its address and raw value, and what speaks against the verdict.

use maud::{Markup, html};

use super::super::phrases::at;
use super::super::{Analyze, Edge, Finding, Refutation};
use crate::html::{Section, Shown};
use crate::verdict::{Evidence, Quoted};

/// The parts of the page that are below what to do.
pub(super) fn proof(report: &Analyze<'_>) -> Vec<Section> {
    let part = |anchor, title: String, body| Section { anchor, title, body };
    let mut parts = vec![
        part("proof", "Proof".to_owned(), suspects(report)),
        part("edges", "Who waits for whom".to_owned(), edges(&report.edges)),
    ];
    if let Some(known) = &report.known_issue {
        let title = format!("Is the bug in this kernel? {}", known.in_this_kernel);
        parts.push(part("in-this-kernel", title, facts(&known.evidence)));
    }
    parts.push(part("findings", "Findings".to_owned(), findings(&report.findings)));
    parts.push(part("refutations", "What would make the verdict false".to_owned(), refutations(&report.refutations)));
    parts.push(part("unknown", "Unknown".to_owned(), unknown(report.unknown)));
    parts
}

fn unknown(unknown: &[String]) -> Markup {
    html! {
        @if !unknown.is_empty() { ul { @for unknown in unknown { li { (Shown(unknown)) } } } }
    }
}

fn suspects(report: &Analyze<'_>) -> Markup {
    html! {
        @if !(report.spinners.is_empty() && report.splitters.is_empty()) {
            @for spinner in &report.spinners {
                h3 { "CPU " (spinner.cpu) " spins: pid " (spinner.pid) " " (Shown(Quoted(spinner.comm))) }
                (facts(&spinner.evidence))
            }
            @for splitter in &report.splitters {
                h3 { "pid " (splitter.pid) " " (Shown(Quoted(splitter.comm))) " cannot run on CPU " (splitter.cpu) }
                (facts(&splitter.evidence))
            }
        }
    }
}

fn edges(edges: &[Edge<'_>]) -> Markup {
    html! {
        @if !edges.is_empty() {
            @for edge in edges {
                details {
                    summary { (Shown(&edge.from)) " " span.dim { (edge.kind.replace('_', " ")) } " " (Shown(&edge.to)) }
                    p { (Shown(edge.why)) }
                    (facts(&edge.evidence))
                }
            }
        }
    }
}

fn findings(findings: &[Finding<'_>]) -> Markup {
    html! {
        @if !findings.is_empty() {
            @for finding in findings {
                h3 { (finding.id) " " span class=(finding.severity) { "(" (finding.severity) ")" } }
                p { (Shown(finding.summary)) }
                (facts(&finding.evidence))
            }
        }
    }
}

fn refutations(refutations: &[Refutation<'_>]) -> Markup {
    html! {
        @if !refutations.is_empty() {
            div.wide { table {
                tr { th { "claim" } th { "result" } th { "looked at" } }
                @for refutation in refutations {
                    tr {
                        td { (Shown(refutation.claim)) }
                        td class=(class(refutation.result)) data-label="result" { (refutation.result) }
                        td { (Shown(refutation.checked)) }
                    }
                }
            } }
        }
    }
}

fn class(result: &str) -> &'static str {
    match result {
        "refuted" => "good",
        "holds" => "bad",
        _ => "doubtful",
    }
}

fn facts(facts: &[Evidence<'_>]) -> Markup {
    html! {
        @if !facts.is_empty() {
            div.wide { table {
                tr { th { "read" } th { "value" } th { "meaning" } }
                @for fact in facts {
                    tr {
                        td { code { (Shown(fact.what)) } span.dim { (at(fact.space, fact.address)) } }
                        td.value data-label="value" { @if let Some(value) = &fact.value { (Shown(value)) } }
                        td { (Shown(fact.meaning)) }
                    }
                }
            } }
        }
    }
}
