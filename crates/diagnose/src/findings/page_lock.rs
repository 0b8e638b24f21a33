//! Tasks that sleep for too long until a page is unlocked or written back.
//!
//! The kernel records nowhere who has a page locked: whoever it is, it is not known.
//!
//! Control: a page that was waited for shortly, and one whose flag is no longer set: then the waiters are about to wake.

use std::collections::{BTreeMap, BTreeSet};

use vmcore_kernel::{Page, PageWait};
use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::clock::{as_the_watchdog, off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::evidence::{read_from, renamed};
use crate::graph::{Edge, EdgeKind, Node};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, Value, describe, wait_edges};

/// One finding for each page and flag.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let lasting = facts.state.page_waits.iter().filter(|wait| context.lasts(wait.task));
    Found {
        findings: findings(facts, reader),
        edges: lasting.flat_map(|wait| edges(facts, reader, wait, &context.held)).collect(),
    }
}

fn findings(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Finding> {
    let mut pages: BTreeMap<(VirtAddr, u64), Vec<&PageWait>> = BTreeMap::new();
    for wait in &facts.state.page_waits {
        pages.entry((wait.page, wait.bit)).or_default().push(wait);
    }
    pages.iter().filter_map(|((page, _), waits)| finding(facts, reader, *page, waits)).collect()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, page: VirtAddr, waits: &[&PageWait]) -> Option<Finding> {
    let tasks: Vec<_> = waits.iter().filter_map(|wait| facts.snapshot.task(wait.task)).collect();
    let waited = tasks.iter().filter_map(|&task| Some((off_cpu_ns(facts, task)?, task)));
    let (longest, task) = waited.max_by_key(|(waited, task)| (*waited, std::cmp::Reverse(task.pid)))?;
    let flag = waits.first().and_then(|wait| wait.flag).unwrap_or("a flag");
    let state = reader.page(page).ok();
    let is_set = state.as_ref().map(|page| page.has(flag));
    if longest < patience_ns(facts) || is_set == Some(false) {
        return None;
    }
    let what = match flag {
        "PG_locked" => "is locked, and who has it is recorded nowhere",
        "PG_writeback" => "is being written back, which has not ended",
        _ => "is in use",
    };
    let summary = format!(
        "page {page} {what}; waiting for it, for up to {}: {}",
        seconds(longest),
        describe::pids(tasks.iter().copied())
    );
    let mut evidence = Vec::new();
    if let Some(state) = state {
        evidence.push(flags_evidence(reader, &state));
    }
    evidence.extend(waits.iter().take(describe::MAX_NAMED).map(|wait| wait_evidence(facts, wait)));
    evidence.extend(off_cpu_evidence(facts, reader, task));
    let confidence = if is_set == Some(true) { Confidence::Confirmed } else { Confidence::Probable };
    let tasks = tasks.iter().map(|task| task.address);
    Some(Finding::new(Issue::PageLocked, as_the_watchdog(facts, longest, confidence), summary, evidence).about(tasks))
}

/// The flags of a page that is waited for.
fn flags_evidence(reader: &dyn Reader, page: &Page) -> Evidence {
    let meaning = format!("of the page that is waited for: {}", page.flag_names.join(" | "));
    renamed(reader, page.address, "page", &["flags.f", "flags"], Value::Hex(page.flags), meaning)
}

/// How it is known that a task waits for a page.
fn wait_evidence(facts: &Facts<'_>, wait: &PageWait) -> Evidence {
    let who = describe::pid_at(facts, wait.task);
    let flag = wait.flag.unwrap_or("a flag");
    let meaning = format!(
        "the page for whose {flag} {who} waits, in the wait_page_queue in the frame of {} on its stack",
        wait.function
    );
    read_from(&wait.names_page, wait.page.get(), meaning)
}

/// The waiter to the page, and the page to who has it: nobody knows.
fn edges(facts: &Facts<'_>, reader: &dyn Reader, wait: &PageWait, held: &BTreeSet<Node>) -> Vec<Edge> {
    let page = Node::Page { address: wait.page };
    let why = format!("sleeps until its {} is cleared", wait.flag.unwrap_or("flag"));
    let shown = wait_evidence(facts, wait);
    let holder_known = held.contains(&page);
    let waits =
        Edge::new(wait_edges::task(facts, wait.task), EdgeKind::WaitsForPage, page.clone(), why).shown_by([shown]);
    let holder = || {
        let unknown = Node::unknown(format!("holder of page {}", wait.page), "the kernel does not record it");
        let state = reader.page(wait.page).ok().map(|state| flags_evidence(reader, &state));
        Edge::new(page, EdgeKind::LockedBy, unknown, "somebody has it").shown_by(state)
    };
    let holder = (!holder_known).then(holder);
    std::iter::once(waits).chain(holder).collect()
}
