//! The run queues of the page: who had each CPU, and who waited for it.

use maud::{Markup, html};

use crate::duration::or_unknown;
use crate::html::Shown;
use crate::runq::{Cpu, Runq};
use crate::verdict::Quoted;

/// Rows that anybody reads; `runq` has all.
const MAX_ROWS: usize = 150;

/// The run queues; nothing where there are none.
pub(super) fn queues(run_queues: &Runq<'_>) -> Markup {
    let (idle, busy): (Vec<_>, Vec<_>) = run_queues.cpus.iter().partition(|cpu| is_idle(cpu));
    let rows: Vec<_> = busy.iter().flat_map(|cpu| rows(cpu)).collect();
    let left_out = rows.len().saturating_sub(MAX_ROWS);
    html! {
        @if !rows.is_empty() {
            div.wide { table {
                tr { th { "CPU" } th { "what" } th { "pid" } th { "name" } th { "class" } th { "for" } }
                @for row in rows.iter().take(MAX_ROWS) { (row) }
            } }
        }
        @if left_out > 0 { p.dim { (left_out) " more: " code { "vmcore-thp runq" } " shows them" } }
        @if !idle.is_empty() { p { "Idle, with nobody waiting: " (Shown(names(&idle))) } }
    }
}

fn is_idle(cpu: &Cpu<'_>) -> bool {
    cpu.current.as_ref().is_some_and(|current| current.pid == 0) && cpu.queued.as_ref().is_some_and(Vec::is_empty)
}

/// `CPU 0, 2-5`.
fn names(cpus: &[&Cpu<'_>]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in cpus.iter().map(|cpu| cpu.cpu) {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let name = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    format!("CPU {}", runs.iter().map(name).collect::<Vec<_>>().join(", "))
}

fn rows(cpu: &Cpu<'_>) -> Vec<Markup> {
    let number = cpu.cpu;
    let Some(queued) = &cpu.queued else {
        return vec![
            html! { tr { td.number data-label="CPU" { (number) } td.doubtful colspan="5" { "its run queue cannot be read" } } },
        ];
    };
    let runs = match &cpu.current {
        None => {
            html! { tr { td.number data-label="CPU" { (number) } td.doubtful colspan="5" { "what it ran cannot be read" } } }
        }
        Some(current) => {
            let is_idle = current.pid == 0;
            let priority = (!is_idle).then_some(current.prio);
            let ns = cpu.running_ns.filter(|_| !is_idle);
            row(number, if is_idle { "idles" } else { "runs" }, "", current.pid, current.comm, ("", priority), ns)
        }
    };
    let waits = queued
        .iter()
        .map(|one| row(number, "waits", "doubtful", one.pid, one.comm, (one.class, Some(one.prio)), one.waiting_ns));
    std::iter::once(runs).chain(waits).collect()
}

fn row(
    cpu: u32,
    what: &str,
    colour: &str,
    pid: i32,
    comm: &str,
    (class, priority): (&str, Option<i32>),
    ns: Option<u64>,
) -> Markup {
    html! {
        tr {
            td.number data-label="CPU" { (cpu) }
            td class=[(!colour.is_empty()).then_some(colour)] { (what) }
            td.number data-label="pid" { (pid) }
            td { (Shown(Quoted(comm))) }
            td.number data-label="class" { (class) @if let Some(priority) = priority { " [" (priority) "]" } }
            td.number data-label="for" { @if what == "idles" { "-" } @else { (or_unknown(ns)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cpu: u32) -> Cpu<'static> {
        Cpu {
            cpu,
            runqueue: None,
            current: None,
            running_ns: None,
            nr_running: None,
            servers: None,
            clock: None,
            queued: None,
        }
    }

    #[test]
    fn neighbours_are_named_together() {
        let cpus = [0, 2, 3, 4, 7].map(cpu);
        assert_eq!(names(&cpus.iter().collect::<Vec<_>>()), "CPU 0, 2-4, 7");
    }

    #[test]
    fn what_cannot_be_read_is_not_idle() {
        let shown = queues(&Runq { cpus: vec![cpu(3)], gaps: Vec::new() }).into_string();
        assert!(shown.contains("its run queue cannot be read") && !shown.contains("Idle"), "{shown}");
    }
}
