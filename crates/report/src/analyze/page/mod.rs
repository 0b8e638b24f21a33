//! The verdict as a page: the same order as in text, with the proof in tables and stacks folded away.

mod log;
mod pictures;
mod proof;
mod queues;

use maud::{Markup, html};

use self::proof::proof;
use super::circumstances;
use super::drawing::{Way, others_text, ways};
use super::phrases::{kernel_line, panic_line};
use super::{Analyze, Spinner, Splitter};
use crate::Theme;
use crate::bt::{Stack, stack_text};
use crate::duration::{Date, or_unknown};
use crate::html::{Section, Shown, preformatted, sections};
use crate::verdict::{Quoted, known_issue, remedies};

/// The whole page.
pub(super) fn page(report: &Analyze<'_>) -> String {
    let (answer, _) = report.verdict.answer();
    let release = report.kernel.release.as_deref().unwrap_or("unknown release");
    crate::html::page(
        format_args!("{answer} - {release}"),
        &html! {
            (head(report))
            (sections(parts(report)))
            footer { "vmcore-thp " (env!("CARGO_PKG_VERSION")) " read " (Shown(&report.dump.path)) ", " (Shown(&report.dump.format)) " by " (Shown(&report.dump.source)) }
        },
    )
}

/// What is below the answer, in order.
fn parts(report: &Analyze<'_>) -> Vec<Section> {
    let part = |anchor, title: &str, body| Section { anchor, title: title.to_owned(), body };
    let mut parts = vec![part("who", "Who", who(report)), part("time", "Since when", pictures::times(report))];
    // Anchors are names of places, so there are only so many; a report that has more shapes has them in its proof.
    for (way, anchor) in ways(report).iter().zip(["why", "why-2", "why-3", "why-4"]) {
        parts.push(part(anchor, &format!("Why: {}", way.title), why(way)));
    }
    parts.push(part("page-tables", "The walk of the page tables", pictures::walk(report)));
    if let Some(known) = &report.known_issue {
        parts.push(part("known-issue", "Known issue", known_issue(known)));
    }
    parts.push(part("to-do", "What to do", remedies(&report.remedy)));
    parts.push(part("run-queues", "Run queues", queues::queues(&report.around.run_queues)));
    if let Some(kernel_log) = &report.around.log {
        parts.push(part("log", "The log around it", log::log(kernel_log)));
    }
    parts.extend(proof(report));
    parts.push(part("stacks", "Stacks", stacks(&report.stacks)));
    parts
}

fn head(report: &Analyze<'_>) -> Markup {
    let (answer, rating) = report.verdict.answer();
    html! {
        header class=(rating.class()) {
            h1 { (answer) }
            p { (Shown(report.verdict.summary)) }
            dl {
                dt { "kernel" } dd { (Shown(kernel_line(report))) }
                @if let Some(seconds) = report.crash_time { dt { "stopped" } dd { (Date(seconds).to_string()) } }
                @if let Some(build_id) = &report.kernel.build_id { dt { "build-id" } dd { code { (Shown(build_id)) } } }
                @if let Some(node) = &report.kernel.nodename { dt { "host" } dd { (Shown(node)) } }
                @if let Some(message) = &report.panic.message { dt { "panic" } dd { (Shown(panic_line(report, message))) } }
                @for (label, text) in circumstances::rows(report) { dt { (label) } dd { (Shown(text)) } }
                @if let Some(line) = &report.machine.command_line { dt { "command line" } dd { code { (Shown(line)) } } }
                @if let Some(missing) = &report.dump.incomplete_reason { dt.doubtful { "incomplete" } dd { (Shown(missing)) } }
                @if !report.unknown.is_empty() { dt.doubtful { "unknown" } dd { (report.unknown.len()) " could not be determined: see below" } }
            }
        }
    }
}

fn who(report: &Analyze<'_>) -> Markup {
    if report.spinners.is_empty() && report.splitters.is_empty() {
        return html! {};
    }
    html! {
        div.wide { table {
            tr { th { "what" } th { "CPU" } th { "pid" } th { "name" } th { "for" } th { "where" } }
            @for spinner in &report.spinners { (spinner_row(spinner)) }
            @for splitter in &report.splitters { (splitter_row(splitter)) }
        } }
    }
}

fn spinner_row(spinner: &Spinner<'_>) -> Markup {
    html! {
        tr {
            td.bad { "spins" }
            td.number data-label="CPU" { (spinner.cpu) }
            td.number data-label="pid" { (spinner.pid) }
            td { (Shown(Quoted(spinner.comm))) }
            td.number data-label="for" { (or_unknown(spinner.kept_ns)) }
            td {
                "at " @if let Some(address) = spinner.address { code { (address.to_string()) } } @else { "an unknown address" }
                @if let Some(function) = spinner.syscall_function.or(spinner.fault_function) { " in " code { (Shown(function)) } }
            }
        }
    }
}

fn splitter_row(splitter: &Splitter<'_>) -> Markup {
    html! {
        tr {
            td.doubtful { "starves" }
            td.number data-label="CPU" { (splitter.cpu) }
            td.number data-label="pid" { (splitter.pid) }
            td { (Shown(Quoted(splitter.comm))) }
            td.number data-label="for" { (or_unknown(splitter.waiting_ns)) }
            td { "in " code { (Shown(splitter.split_function)) } ", state " (Shown(splitter.state)) }
        }
    }
}

fn why(way: &Way<'_, '_>) -> Markup {
    let last = way.edges.len().saturating_sub(1);
    html! {
        @let picture = pictures::way(way);
        (picture)
        @if picture.0.is_empty() { ol.way {
            @if let Some(first) = way.edges.first() { li { (Shown(&first.from)) } }
            @for (index, edge) in way.edges.iter().enumerate() {
                @let closes = index == last && way.closes();
                li.closes[closes] {
                    span.how { (edge.kind.replace('_', " ")) }
                    (Shown(&edge.to)) @if closes { ": the circle closes" }
                }
            }
        } }
        @if let Some(others) = others_text(way.others) { p { (others) } }
    }
}

fn stacks(stacks: &[Stack<'_>]) -> Markup {
    html! {
        @if !stacks.is_empty() {
            @for stack in stacks {
                details {
                    summary { "CPU " (stack.cpu) ", pid " (stack.pid) " " (Shown(Quoted(stack.comm))) ", state " (Shown(stack.state)) }
                    (preformatted(&stack_text(stack, &Theme::plain())))
                }
            }
        }
    }
}
