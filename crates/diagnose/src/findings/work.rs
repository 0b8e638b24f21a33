//! Tasks that sleep for too long until a piece of work is done, and what its worker does instead.
//!
//! Control: waits shorter than the kernel's own limit for hung tasks are ordinary, and so is a work that takes its time
//! while nobody waits for it.

use std::collections::BTreeMap;

use vmcore_kernel::{AwaitedWork, Task, WorkWait};
use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::chain::{chain_end, circles, lasts};
use crate::clock::{as_the_watchdog, off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::describe::work::{name, wait_evidence, worker_evidence};
use crate::graph::{Edge, EdgeKind, Node};
use crate::text::seconds;
use crate::wait_edges::task;
use crate::{Confidence, Facts, Finding, Issue, Reader, describe};

/// One finding for each work that is waited for too long and is not part of a circle.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let lasting = context.facts.state.work_waits.iter().filter(|wait| context.lasts(wait.task));
    Found {
        findings: findings(context.facts, context.reader),
        edges: lasting.flat_map(|wait| edges(context.facts, wait)).collect(),
    }
}

fn findings(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Finding> {
    let circles = circles(facts);
    let circles: Vec<_> = circles.into_iter().filter(|circle| lasts(facts, circle)).collect();
    let circular = |wait: &WorkWait| circles.iter().flatten().any(|step| step.task == wait.task);
    let mut works: BTreeMap<VirtAddr, Vec<&WorkWait>> = BTreeMap::new();
    for wait in facts.state.work_waits.iter().filter(|wait| !circular(wait)) {
        if let Some(work) = wait.work.address() {
            works.entry(work).or_default().push(wait);
        }
    }
    works.values().filter_map(|waits| finding(facts, reader, waits)).collect()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, waits: &[&WorkWait]) -> Option<Finding> {
    let first = waits.first()?;
    let tasks: Vec<_> = waits.iter().filter_map(|wait| facts.snapshot.task(wait.task)).collect();
    let waited = tasks.iter().filter_map(|&task| Some((off_cpu_ns(facts, task)?, task)));
    let (longest, task) = waited.max_by_key(|(waited, task)| (*waited, std::cmp::Reverse(task.pid)))?;
    if longest < patience_ns(facts) {
        return None;
    }
    let mut evidence: Vec<_> = worker_evidence(facts, first).into_iter().collect();
    evidence.extend(waits.iter().take(describe::MAX_NAMED).map(|wait| wait_evidence(facts, wait)));
    evidence.extend(off_cpu_evidence(facts, reader, task));
    let summary = format!(
        "{} is not done: {}; waiting for it, for up to {}: {}",
        name(&first.work),
        progress(facts, &first.work),
        seconds(longest),
        describe::pids(tasks.iter().copied())
    );
    let confidence = if first.work.worker().is_some() { Confidence::Confirmed } else { Confidence::Probable };
    let tasks = first.work.worker().into_iter().chain(tasks.iter().map(|task| task.address));
    Some(Finding::new(Issue::WorkNotDone, as_the_watchdog(facts, longest, confidence), summary, evidence).about(tasks))
}

/// What has become of a work, as a clause.
fn progress(facts: &Facts<'_>, work: &AwaitedWork) -> String {
    let known = |worker: VirtAddr| facts.snapshot.task(worker);
    match work {
        AwaitedWork::Doing { worker, .. } => match known(*worker) {
            Some(task) => worker_does(facts, task),
            None => format!("the worker at {worker} has it"),
        },
        AwaitedWork::Queued { .. } => "no worker has begun it".to_owned(),
        AwaitedWork::Unknown(why) => why.clone(),
    }
}

fn worker_does(facts: &Facts<'_>, worker: &Task) -> String {
    let end = chain_end(facts, worker.address).map(|end| format!("; at the end of the chain, {end}"));
    format!("its worker {} {}{}", describe::pid(worker), describe::doing(facts, worker), end.unwrap_or_default())
}

/// The waiter to the work, and the work to its worker.
fn edges(facts: &Facts<'_>, wait: &WorkWait) -> Vec<Edge> {
    let waiter = task(facts, wait.task);
    let shown = [wait_evidence(facts, wait)];
    let Some(address) = wait.work.address() else {
        let pid = describe::pid_at(facts, wait.task);
        let unknown = Node::unknown(format!("work that {pid} waits for"), progress(facts, &wait.work));
        return vec![Edge::new(waiter, EdgeKind::WaitsForWork, unknown, "sleeps until it is done").shown_by(shown)];
    };
    let node = Node::Work { address };
    let function = wait.work.function().map(|function| format!(" ({function})")).unwrap_or_default();
    let why = format!("sleeps until it is done{function}");
    let waits = Edge::new(waiter, EdgeKind::WaitsForWork, node.clone(), why).shown_by(shown);
    let done_by = match wait.work.worker() {
        Some(worker) => Edge::new(node, EdgeKind::DoneBy, task(facts, worker), "has begun it"),
        None => {
            let unknown = Node::unknown(format!("worker of {node}"), progress(facts, &wait.work));
            Edge::new(node, EdgeKind::DoneBy, unknown, "a worker has to take it")
        }
    };
    vec![waits, done_by.shown_by(worker_evidence(facts, wait))]
}
