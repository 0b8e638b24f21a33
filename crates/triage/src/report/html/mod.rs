//! A pile as one page: groups with their proof, a time line, and a table of all dumps that sorts and filters.
//!
//! The page is complete in itself and asks nobody for anything; its content security policy holds the browser to that and
//! lets only the one script run that belongs to it, known by its hash. Without a script everything but the table is
//! there. What came from dumps is text everywhere: here through [`Shown`], in the script by `textContent`.

mod dump_page;
mod timeline;

use std::fmt::Display;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use serde::Serialize;
use sha2::{Digest, Sha256};
use vmcore_report::Sanitized;

use super::text::left_out;
use crate::clock;
use crate::confidence::Confidence;
use crate::document::Document;
use crate::pile::{Extent, Group, LISTED, Pile, why};
use crate::row::Row;
pub use dump_page::dump_page;

/// What a page shows of a pile. One with more would be slow to load: it says what is left out.
pub const PAGE: Extent = Extent { newest: 10_000, ..Extent::GROUPS };
/// Steps of who waits for whom.
const STEPS: usize = 16;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("table.js");

/// Untrusted text in a page.
struct Shown<T>(T);

impl<T: Display> Render for Shown<T> {
    fn render_to(&self, buffer: &mut String) {
        Sanitized::line(&self.0.to_string()).to_string().render_to(buffer);
    }
}

/// The page of a pile, as of `now` (seconds since 1970). `document` gives a row's whole document, for the proof of each
/// group; `link` the address of a row's own page, where there is one.
pub fn page(
    pile: &Pile,
    now: i64,
    document: &dyn Fn(&Row) -> Option<String>,
    link: &dyn Fn(&Row) -> Option<String>,
) -> String {
    let body = html! {
        header {
            h1 { "Crashes" }
            p { (summary(pile)) }
            p.dim { "as of " (clock::utc(now)) ", all times in UTC" }
        }
        (timeline::draw(pile))
        h2 #groups { "Groups" }
        (overview(pile))
        @for group in &pile.groups { (section(group, document, link)) }
        @for (heading, groups) in pile.unjudged_by_kind().iter().filter(|(_, groups)| !groups.is_empty()) {
            h2 { (heading) }
            @for group in groups { (unjudged(group)) }
        }
        @if let Some(left_out) = left_out(pile) { p.doubtful { (left_out) } }
        (table(pile, link))
    };
    frame(&format!("Crashes: {} groups", pile.groups.len()), &body, true)
}

/// The rows that the page names, and that have pages of their own where there are such: those of the table and of the
/// groups' lists. A row may be among both.
pub fn shown_rows(pile: &Pile) -> impl Iterator<Item = &Row> {
    pile.newest.iter().chain(pile.groups.iter().flat_map(Group::listed))
}

/// A whole page around a body; with the script of the table, if it has one.
fn frame(title: &str, body: &Markup, has_table: bool) -> String {
    let script = if has_table {
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(SCRIPT)))
    } else {
        "'none'".to_owned()
    };
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src {script}; base-uri 'none'; form-action 'none'"
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="vmcore-thp";
                title { (Shown(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } @if has_table { script { (PreEscaped(SCRIPT)) } } }
        }
    };
    page.into_string()
}

fn summary(pile: &Pile) -> String {
    format!(
        "{} dumps and logs of {} crashes, in {} groups; {} of crashes that are there in another form; {}",
        pile.rows,
        pile.crashes,
        pile.all_groups(),
        pile.duplicates,
        pile.without_verdict(),
    )
}

fn class(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Confirmed | Confidence::Probable => "bad",
        Confidence::None => "good",
        _ => "doubtful",
    }
}

fn title(group: &Group) -> &str {
    group.exemplar().and_then(|row| row.summary.issue.as_deref()).unwrap_or(&group.signature)
}

fn span(group: &Group) -> String {
    group.seen.map_or_else(String::new, |(first, last)| match (clock::day(first), clock::day(last)) {
        (first, last) if first == last => first,
        (first, last) => format!("{first} to {last}"),
    })
}

fn overview(pile: &Pile) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Groups" { table {
            thead { tr { th { "Issue" } th { "Verdict" } th { "Crashes" } th { "Seen" } th { "Kernels" } th { "Hosts" } } }
            tbody { @for group in &pile.groups { @if let Some(row) = group.exemplar() {
                tr {
                    td { a href=(format!("#g-{}", group.id)) { (Shown(title(group))) } }
                    td class=(class(Confidence::of(row))) { (Confidence::of(row).name()) }
                    td.number { (group.crashes) }
                    td.number { (span(group)) }
                    td.number { (group.kernels.len()) }
                    td.number { (group.hosts.len()) }
                }
            } } }
        } }
    }
}

fn section(group: &Group, document: &dyn Fn(&Row) -> Option<String>, link: &dyn Fn(&Row) -> Option<String>) -> Markup {
    let Some(row) = group.exemplar() else { return html! {} };
    let confidence = Confidence::of(row);
    let summary = &row.summary;
    html! {
        section id=(format!("g-{}", group.id)) class=(class(confidence)) {
            h3 { (Shown(title(group))) " " span class=(class(confidence)) { (confidence.name()) } }
            p { (Shown(summary.text.as_deref().unwrap_or("nothing was found"))) }
            dl {
                dt { "Crashes" } dd { (group.crashes) @if group.duplicates > 0 { ", in " (group.rows()) " dumps" } }
                dt { "Seen" } dd { (span(group)) }
                dt { "Kernels" } dd { (Shown(names(group.kernels.iter().map(|(kernel, count)| format!("{kernel} ({count})"))))) }
                @if !group.hosts.is_empty() { dt { "Hosts" } dd { (Shown(names(group.hosts.iter().cloned()))) } }
                @if let Some(issue) = &summary.known_issue {
                    dt { "Known as" } dd { (Shown(issue)) "; in these kernels: " (Shown(group.in_these_kernels())) }
                }
                @if let Some(remedy) = &summary.remedy { dt { "Remedy" } dd { (Shown(remedy)) } }
                @if !group.next.is_empty() { dt { "May be next" } dd { (Shown(names(group.next.iter().cloned()))) ": the same bug, no such crash yet" } }
                dt { "Signature" } dd { code { (Shown(&group.signature)) } " " span.dim { (group.id) } }
                @if !group.like.is_empty() {
                    dt { "Similar" } dd { @for id in &group.like { a href=(format!("#g-{id}")) { (id) } " " } }
                }
            }
            @if let Some(value) = document(row).and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok()) {
                (proof(Document(&value)))
            }
            details {
                summary { "Dumps" }
                ul { @for row in group.listed() { li { (dump(row, link)) } } }
                @if let Some(more @ 1..) = group.rows().checked_sub(LISTED) { p.dim { "and " (more) " more, in the table" } }
            }
        }
    }
}

fn dump(row: &Row, link: &dyn Fn(&Row) -> Option<String>) -> Markup {
    let path = row.paths.first().map_or("", String::as_str);
    html! {
        @match link(row) {
            Some(address) => a href=(address) { (Shown(path)) },
            None => (Shown(path)),
        }
        @if row.from_log {
            @match &row.failure {
                Some(failure) => span.dim { " (by the log beside it: " (Shown(failure.to_string())) ")" },
                None => span.dim { " (by its own log: it has no debug information)" },
            }
        }
    }
}

/// Who waits for whom.
fn proof(document: Document<'_>) -> Markup {
    let (shape, edges) = document.edges();
    if edges.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "Proof: " (Shown(shape.as_deref().unwrap_or("who waits for whom"))) }
            ol { @for (from, kind, to) in edges.iter().take(STEPS) {
                li { (Shown(from)) " " em { (Shown(kind.replace('_', " "))) } " " (Shown(to)) }
            } }
        }
    }
}

fn unjudged(group: &Group) -> Markup {
    html! {
        section {
            h3 { (group.rows()) " × " (Shown(&group.signature)) }
            ul { @for row in group.listed() {
                li { (Shown(row.paths.first().map_or("", String::as_str))) ": " span.dim { (Shown(why(row).unwrap_or_default())) } }
            } }
            @if let Some(more @ 1..) = group.rows().checked_sub(LISTED) { p.dim { "and " (more) " more" } }
        }
    }
}

/// Names, and how many more there are.
fn names(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(LISTED) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// One line of the table. The order of the fields is that of the columns in `table.js`.
#[derive(Serialize)]
struct Line<'r>(&'r str, &'static str, &'r str, &'r str, String, String, &'r str);

/// With why it could not be judged, and the address of its own page.
#[derive(Serialize)]
struct TableRow<'r>(Line<'r>, Option<&'r str>, Option<String>);

fn table(pile: &Pile, link: &dyn Fn(&Row) -> Option<String>) -> Markup {
    let left_out = pile.rows.saturating_sub(pile.newest.len());
    let line = |row: &Row| {
        let summary = &row.summary;
        let line = Line(
            row.paths.first().map_or("", String::as_str),
            Confidence::of(row).name(),
            summary.issue.as_deref().unwrap_or_default(),
            summary.release.as_deref().unwrap_or_default(),
            row.crashed.map(clock::utc).unwrap_or_default(),
            row.signature.group(),
            row.host.as_deref().unwrap_or_default(),
        );
        let why = row.failure.as_ref().filter(|_| !row.from_log).map(|failure| failure.message.as_str());
        serde_json::to_value(TableRow(line, why, link(row))).ok()
    };
    let lines: Vec<_> = pile.newest.iter().filter_map(line).collect();
    // Inside a script element only `<` can end it; in JSON it stands in texts alone, where the escape means the same.
    let data = serde_json::to_string(&lines).unwrap_or_default().replace('<', "\\u003c");
    html! {
        h2 #dumps { "All dumps" }
        @if left_out > 0 { p.doubtful { "The newest " (pile.newest.len()) "; " (left_out) " older ones are left out, `vmcore-thp triage export` has them" } }
        noscript { p { "The table needs the script of this page; `vmcore-thp triage export` writes it as CSV." } }
        div #table hidden {
            p {
                label { "Filter " input #filter type="search" placeholder="words that must all be there" autocomplete="off"; }
                " " span #shown role="status" {}
            }
            div.wide tabindex="0" role="region" aria-label="Dumps" { table #rows { thead {} tbody {} } }
            p { button #more type="button" { "Show more" } }
        }
        script #data type="application/json" { (PreEscaped(data)) }
    }
}

#[cfg(test)]
mod tests;
