//! What is below the answer: every fact with its address and raw value, and what speaks against the verdict.

use maud::{Markup, html};

use super::super::text::{Quoted, at};
use super::super::{Analyze, Edge, Evidence, Finding, Refutation};
use crate::html::Shown;

pub(super) fn proof(report: &Analyze<'_>) -> Markup {
    html! {
        (suspects(report))
        (edges(&report.edges))
        @if let Some(known) = report.known_issue.as_ref().filter(|known| !known.evidence.is_empty()) {
            h2 { "Is the bug in this kernel? " (known.in_this_kernel) }
            (facts(&known.evidence))
        }
        (findings(&report.findings))
        (refutations(&report.refutations))
        @if !report.unknown.is_empty() {
            h2 { "Unknown" }
            ul { @for unknown in report.unknown { li { (Shown(unknown)) } } }
        }
    }
}

fn suspects(report: &Analyze<'_>) -> Markup {
    html! {
        @if !(report.spinners.is_empty() && report.splitters.is_empty()) {
            h2 { "Proof" }
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
            h2 { "Who waits for whom" }
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
            h2 { "Findings" }
            @for finding in findings {
                h3 { (finding.id) " " span.doubtful { "(" (finding.severity) ")" } }
                p { (Shown(finding.summary)) }
                (facts(&finding.evidence))
            }
        }
    }
}

fn refutations(refutations: &[Refutation<'_>]) -> Markup {
    html! {
        @if !refutations.is_empty() {
            h2 { "What would make the verdict false" }
            div.wide { table {
                tr { th { "claim" } th { "result" } th { "looked at" } }
                @for refutation in refutations {
                    tr {
                        td { (Shown(refutation.claim)) }
                        td class=(class(refutation.result)) { (refutation.result) }
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
                        td.value { @if let Some(value) = &fact.value { (Shown(value)) } }
                        td { (Shown(fact.meaning)) }
                    }
                }
            } }
        }
    }
}
