//! The pictures of the page: who waits for whom, the walk of the page tables, since when.

use maud::{Markup, html};

use super::super::drawing::Way;
use super::super::{Analyze, Evidence};
use crate::html::picture::{Bar, Step, chain, time_line};

/// Boxes of one picture: the list below it has all.
const MAX_STEPS: usize = 12;
/// Bars of one picture.
const MAX_BARS: usize = 24;

/// A way through the graph.
pub(super) fn way(way: &Way<'_, '_>) -> Markup {
    let Some(first) = way.edges.first().filter(|_| way.edges.len() <= MAX_STEPS) else { return html! {} };
    let closing = way.edges.last().filter(|_| way.closes());
    let shown = way.edges.len() - usize::from(closing.is_some());
    let step = |text: &str, arrow| Step { arrow, text: text.to_owned(), class: class(text) };
    let mut steps = vec![step(&first.from, None)];
    steps.extend(way.edges.iter().take(shown).map(|edge| step(&edge.to, Some(edge.kind.replace('_', " ")))));
    let how = closing.map(|edge| edge.kind.replace('_', " "));
    chain("who waits for whom", &steps, how.as_deref())
}

/// What cannot be told stands out, and so do tasks, of which somebody has to act.
fn class(node: &str) -> &'static str {
    match node {
        text if text.starts_with("unknown") => "doubtful",
        text if text.starts_with("task") => "bad",
        _ => "",
    }
}

/// The page-table entries on the way to the address that the first spinner faults on.
pub(super) fn walk(report: &Analyze<'_>) -> Markup {
    let Some(spinner) = report.spinners.first() else { return html! {} };
    let is_entry = |fact: &&Evidence<'_>| fact.space == Some("physical") && fact.what.ends_with(" entry");
    let entries: Vec<_> = spinner.evidence.iter().filter(is_entry).take(MAX_STEPS).collect();
    let (Some(address), Some(last)) = (spinner.address, entries.last()) else { return html! {} };
    let start = format!("{address}, which pid {} on CPU {} touches", spinner.pid, spinner.cpu);
    let mut steps = vec![Step { arrow: None, text: start, class: "" }];
    for entry in &entries {
        let place = entry.address.map(|address| format!("at {address}: ")).unwrap_or_default();
        let value = entry.value.as_deref().unwrap_or("?");
        let class = if std::ptr::eq(*entry, *last) { "bad" } else { "" };
        let level = entry.what.trim_end_matches(" entry").to_owned();
        steps.push(Step { arrow: Some(level), text: format!("{place}{value} {}", entry.meaning), class });
    }
    chain("page tables", &steps, None)
}

/// Since when who spins and who waits.
pub(super) fn times(report: &Analyze<'_>) -> Markup {
    let spins = report.spinners.iter().filter_map(|spinner| {
        let text = format!("CPU {}: pid {} \"{}\" spins", spinner.cpu, spinner.pid, spinner.comm);
        Some(Bar { text, ns: spinner.kept_ns?, class: "bad" })
    });
    let waits = report.splitters.iter().filter_map(|splitter| {
        let text = format!("CPU {}: pid {} \"{}\" waits", splitter.cpu, splitter.pid, splitter.comm);
        Some(Bar { text, ns: splitter.waiting_ns?, class: "doubtful" })
    });
    let mut bars: Vec<_> = spins.chain(waits).collect();
    if bars.is_empty() {
        return html! {};
    }
    // The longest first: where it began.
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.ns));
    bars.truncate(MAX_BARS);
    time_line("since when", &bars)
}
