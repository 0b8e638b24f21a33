//! What a log tells, as a page.

use maud::{Markup, html};

use super::{CpuReport, Log, TimelineEntry, report_text};
use crate::html::{Section, Shown, preformatted, sections};
use crate::verdict::{Quoted, known_issue, remedies};

/// The whole page.
pub(super) fn page(log: &Log<'_>) -> String {
    let (answer, rating) = log.verdict.answer();
    let release = log.kernel.release.unwrap_or("unknown release");
    crate::html::page(
        format_args!("{answer} - {release}"),
        &html! {
            header class=(rating.class()) {
                h1 { (answer) }
                p { (Shown(log.verdict.summary)) }
                dl {
                    dt { "kernel" } dd { (Shown(release)) }
                    @if let Some(taint) = log.kernel.taint.filter(|taint| !taint.is_empty()) { dt { "taint" } dd { (Shown(taint)) } }
                    @if let Some(hardware) = log.kernel.hardware { dt { "hardware" } dd { (Shown(hardware)) } }
                    @if let Some(panic) = &log.panic { dt { "panic" } dd { (Shown(panic.message)) } }
                    dt { "log" } dd { (log.how_much()) }
                }
            }
            (sections(parts(log)))
            footer { "vmcore-thp " (env!("CARGO_PKG_VERSION")) " read " (Shown(&log.path)) }
        },
    )
}

fn parts(log: &Log<'_>) -> Vec<Section> {
    let part = |anchor, title: &str, body| Section { anchor, title: title.to_owned(), body };
    let mut parts = vec![part("who", "Who", who(log)), part("time", "Time line", time_line(&log.timeline))];
    if let Some(known) = &log.known_issue {
        parts.push(part("known-issue", "Known issue", known_issue(known)));
    }
    parts.push(part("to-do", "What to do", remedies(&log.remedy)));
    parts.push(part("cpus", "What each CPU printed", cpus(&log.cpus)));
    let unknown = html! { @if !log.unknown.is_empty() { ul { @for what in log.unknown { li { (Shown(what)) } } } } };
    parts.push(part("unknown", "Not known", unknown));
    parts
}

fn who(log: &Log<'_>) -> Markup {
    let hard = log.hard_lockups();
    html! {
        @if !hard.is_empty() {
            div.wide { table {
                tr { th { "CPU" } th { "pid" } th { "name" } th { "takes no interrupts in" } }
                @for event in hard {
                    tr {
                        td.number data-label="CPU" { (event.cpu.unwrap_or_default()) }
                        td.number data-label="pid" { @if let Some(pid) = event.pid { (pid) } @else { "?" } }
                        td { @if let Some(comm) = event.comm { (Shown(Quoted(comm))) } @else { "?" } }
                        td data-label="in" { (Shown(event.symbol.unwrap_or("?"))) }
                    }
                }
            } }
        }
        @if !log.lockups.is_empty() {
            div.wide { table {
                tr { th { "CPU" } th { "pid" } th { "name" } th { "locked up for" } }
                @for lockup in &log.lockups {
                    tr {
                        td.number data-label="CPU" { (lockup.cpu) }
                        td.number data-label="pid" { (lockup.pid) }
                        td { (Shown(Quoted(lockup.comm))) }
                        td.number data-label="for" { (lockup.seconds) " s" }
                    }
                }
            } }
        }
    }
}

pub(crate) fn time_line(timeline: &[TimelineEntry<'_>]) -> Markup {
    html! {
        @if !timeline.is_empty() {
            div.wide { table {
                tr { th { "time" } th { "report" } th { "what" } }
                @for entry in timeline {
                    tr {
                        td.number data-label="at" {
                            @if let Some(ns) = entry.timestamp_ns { (crate::duration::LogTime(ns).to_string()) } @else { "line " (entry.line) }
                        }
                        td.bad[entry.is_verdict] { (entry.kind) }
                        td { (Shown(entry.summary)) @if entry.count > 1 { ", " (entry.count) " times" } }
                    }
                }
            } }
        }
    }
}

pub(crate) fn cpus(reports: &[CpuReport<'_>]) -> Markup {
    let shown: Vec<_> = reports.iter().filter(|report| report.has_state()).collect();
    html! {
        @for report in shown {
            details {
                @let (title, text) = report_text(report);
                summary { (Shown(title)) }
                (preformatted(&text))
            }
        }
    }
}
