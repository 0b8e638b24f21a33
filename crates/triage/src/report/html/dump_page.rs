//! The page of one dump: its verdict with the whole proof, and the stacks that the document has.

use maud::{Markup, html};

use super::{Shown, class, frame, proof};
use crate::document::{Claim, Document, Frame};
use crate::row::Row;
use crate::{Confidence, clock};

/// Claims of one kind, pieces of evidence of one claim, stacks, and frames of one stack that are shown. A document has few;
/// one of a hostile dump may have many.
const CLAIMS: usize = 200;
const EVIDENCE: usize = 100;
const STACKS: usize = 300;
const FRAMES: usize = 200;

/// The page of a row, as of `now` (seconds since 1970); with its whole document where there is one, and the address of the
/// page of the pile.
#[must_use]
pub fn dump_page(row: &Row, document: Option<&str>, back: &str, now: i64) -> String {
    let value = document.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let confidence = Confidence::of(row);
    let summary = &row.summary;
    let title = summary.issue.as_deref().unwrap_or(confidence.name());
    let failure = row.failure.as_ref();
    let body = html! {
        header {
            p { a href=(back) { "All crashes" } }
            h1 { (Shown(title)) " " span class=(class(confidence)) { (confidence.name()) } }
            @if let Some(text) = &summary.text { p { (Shown(text)) } }
            @if let Some(failure) = failure {
                p.doubtful { @if row.from_log { "By the log beside the dump, which could not be judged itself: " } (Shown(failure)) }
            }
        }
        dl {
            @for path in &row.paths { dt { "Dump" } dd { (Shown(path)) } }
            (fact("Host", row.host.as_deref()))
            (fact("Crashed", row.crashed.map(clock::utc).as_deref()))
            (fact("Kernel", summary.release.as_deref()))
            (fact("Build", summary.version.as_deref()))
            (fact("Panic", summary.panic.as_deref()))
            (fact("Known as", summary.known_issue.as_deref()))
            (fact("This kernel has it", summary.in_this_kernel.as_deref()))
            (fact("Remedy", summary.remedy.as_deref()))
            (fact("Signature", Some(&row.signature.exact)))
            (fact("Judged by", Some(&format!("vmcore-thp {}, {}", row.tool, clock::utc(row.finished)))))
        }
        @if let Some(value) = &value { (contents(Document(value))) }
        p.dim { "as of " (clock::utc(now)) ", all times in UTC" }
    };
    frame(&format!("{}: {}", title, row.host.as_deref().unwrap_or(&row.key)), &body, false)
}

fn fact(name: &str, value: Option<&str>) -> Markup {
    html! { @if let Some(value) = value { dt { (name) } dd { (Shown(value)) } } }
}

fn contents(document: Document<'_>) -> Markup {
    let parts = [
        ("Who spins", document.claims("/spinners")),
        ("Who is starved", document.claims("/splitters")),
        ("Who waits for whom", document.claims("/edges")),
        ("Findings", document.claims("/findings")),
        ("What would make it false", document.claims("/refutations")),
        ("What could not be read", document.claims("/unknown")),
    ];
    html! {
        (proof(document))
        @for (title, claims) in parts.iter().filter(|(_, claims)| !claims.is_empty()) {
            h2 { (title) }
            ul { @for claim in claims.iter().take(CLAIMS) { li { (evidence(claim)) } } }
            (more(claims.len(), CLAIMS))
        }
        @let stacks = document.stacks();
        @if !stacks.is_empty() {
            h2 { "Stacks" }
            @for (title, frames) in stacks.iter().take(STACKS) { (stack(title, frames)) }
            (more(stacks.len(), STACKS))
        }
    }
}

fn evidence(claim: &Claim) -> Markup {
    html! {
        (Shown(&claim.title))
        @if !claim.evidence.is_empty() { ul { @for line in claim.evidence.iter().take(EVIDENCE) { li.dim { (Shown(line)) } } } }
        (more(claim.evidence.len(), EVIDENCE))
    }
}

fn stack(title: &str, frames: &[Frame<'_>]) -> Markup {
    html! {
        details {
            summary { (Shown(title)) }
            ol { @for frame in frames.iter().take(FRAMES) { li { code { (Shown(frame.symbol)) } } } }
            (more(frames.len(), FRAMES))
        }
    }
}

fn more(all: usize, shown: usize) -> Markup {
    html! { @if let Some(more @ 1..) = all.checked_sub(shown) { p.dim { "and " (more) " more" } } }
}
