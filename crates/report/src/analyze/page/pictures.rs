//! The pictures of the page: who waits for whom, the walk of the page tables, since when.

use std::cmp::Reverse;
use std::collections::HashSet;

use maud::{Markup, html};

use super::super::Analyze;
use super::super::drawing::Way;
use crate::html::picture::{Bar, Step, chain, time_line};
use crate::ps::Task;
use crate::runq::Cpu;
use crate::verdict::Evidence;

/// Boxes of one picture: the list below it has all.
const MAX_STEPS: usize = 12;
/// Bars of one picture: the run queues have everybody.
const MAX_BARS: usize = 14;

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

/// Since when who spins, who waits, and who had the CPUs meanwhile.
pub(super) fn times(report: &Analyze<'_>) -> Markup {
    let spins = report.spinners.iter().filter_map(|spinner| {
        let text = format!("CPU {}: pid {} \"{}\" spins", spinner.cpu, spinner.pid, spinner.comm);
        Some(Bar { text, ns: spinner.kept_ns?, class: "bad" })
    });
    let waits = report.splitters.iter().filter_map(|splitter| {
        let text = format!("CPU {}: pid {} \"{}\" waits", splitter.cpu, splitter.pid, splitter.comm);
        Some(Bar { text, ns: splitter.waiting_ns?, class: "doubtful" })
    });
    let told: HashSet<i32> = report
        .spinners
        .iter()
        .map(|spinner| spinner.pid)
        .chain(report.splitters.iter().map(|splitter| splitter.pid))
        .collect();
    // First those that the verdict is about, then whoever else had a CPU or waited for one.
    let mut bars: Vec<_> = spins.chain(waits).chain(in_graph(report, &told)).collect();
    bars.truncate(MAX_BARS);
    let named: HashSet<i32> = told.into_iter().chain(report.around.tasks.iter().map(|task| task.pid)).collect();
    let mut others = on_cpus(report, &named);
    others.sort_by_key(|bar| Reverse(bar.ns));
    others.truncate(MAX_BARS - bars.len());
    bars.extend(others);
    if bars.is_empty() {
        return html! {};
    }
    // The longest first: where it began.
    bars.sort_by_key(|bar| Reverse(bar.ns));
    time_line("since when", &bars)
}

/// The tasks in the graph of who waits for whom, but for those that were `told` of.
fn in_graph(report: &Analyze<'_>, told: &HashSet<i32>) -> Vec<Bar> {
    let bar = |task: &Task<'_>| {
        let (what, ns, class) = match (task.running_ns, task.waiting_ns) {
            (Some(ns), _) => ("runs", ns, ""),
            (_, Some(ns)) => ("waits", ns, "doubtful"),
            _ => ("has not run", task.last_run_ns?, "doubtful"),
        };
        let text = format!("CPU {}: pid {} \"{}\" {what}", task.cpu, task.pid, task.comm);
        Some(Bar { text, ns, class })
    };
    let tasks = report.around.tasks.iter().filter(|task| task.pid != 0 && !told.contains(&task.pid));
    tasks.filter_map(bar).collect()
}

/// Who had each CPU and who waited for it, but for those that are `named` already.
fn on_cpus(report: &Analyze<'_>, named: &HashSet<i32>) -> Vec<Bar> {
    let bar = |cpu: u32, pid: i32, comm: &str, what: &str, ns: Option<u64>| {
        let ns = ns.filter(|_| pid != 0 && !named.contains(&pid))?;
        let class = if what == "runs" { "" } else { "doubtful" };
        Some(Bar { text: format!("CPU {cpu}: pid {pid} \"{comm}\" {what}"), ns, class })
    };
    let of_cpu = |cpu: &Cpu<'_>| {
        let number = cpu.cpu;
        let runs = cpu.current.as_ref().and_then(|task| bar(number, task.pid, task.comm, "runs", cpu.running_ns));
        let queued = cpu.queued.iter().flatten();
        let waits = queued.filter_map(|task| bar(number, task.pid, task.comm, "waits", task.waiting_ns));
        runs.into_iter().chain(waits).collect::<Vec<_>>()
    };
    report.around.run_queues.cpus.iter().flat_map(of_cpu).collect()
}
