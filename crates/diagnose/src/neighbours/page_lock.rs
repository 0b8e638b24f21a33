//! Tasks that sleep for too long until a page is unlocked or written back.
//!
//! The kernel records nowhere who has a page locked: whoever it is, it is not known.
//!
//! Control: a page that was waited for shortly, and one whose flag is no longer set: then the waiters are about to wake.

use std::collections::BTreeMap;

use vmcore_kernel::{Page, PageWait};
use vmcore_memory::VirtAddr;

use super::clock::{off_cpu_evidence, off_cpu_ns, patience_ns};
use super::{Neighbour, lock_text};
use crate::evidence::renamed;
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Place, Reader, Severity, Value, issue};

/// One finding for each page and flag.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Neighbour> {
    let mut pages: BTreeMap<(VirtAddr, u64), Vec<&PageWait>> = BTreeMap::new();
    for wait in &facts.state.page_waits {
        pages.entry((wait.page, wait.bit)).or_default().push(wait);
    }
    pages.iter().filter_map(|((page, _), waits)| finding(facts, reader, *page, waits)).collect()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, page: VirtAddr, waits: &[&PageWait]) -> Option<Neighbour> {
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
    let summary =
        format!("page {page} {what}; waiting for it, for up to {}: {}", seconds(longest), lock_text::pids(tasks));
    let mut evidence = Vec::new();
    if let Some(state) = state {
        evidence.push(flags_evidence(reader, &state));
    }
    evidence.extend(waits.iter().take(lock_text::MAX_NAMED).map(|wait| wait_evidence(facts, wait)));
    evidence.extend(off_cpu_evidence(facts, reader, task));
    let confidence = if is_set == Some(true) { Confidence::Confirmed } else { Confidence::Probable };
    Some((confidence, Finding { id: issue::PAGE_LOCKED, severity: Severity::Critical, summary, evidence }))
}

/// The flags of a page that is waited for.
pub(crate) fn flags_evidence(reader: &dyn Reader, page: &Page) -> Evidence {
    let meaning = format!("of the page that is waited for: {}", page.flag_names.join(" | "));
    renamed(reader, page.address, "page", &["flags.f", "flags"], Value::Hex(page.flags), meaning)
}

/// How it is known that a task waits for a page.
pub(crate) fn wait_evidence(facts: &Facts<'_>, wait: &PageWait) -> Evidence {
    let who = lock_text::pid_at(facts, wait.task);
    let flag = wait.flag.unwrap_or("a flag");
    let meaning = format!(
        "the page for whose {flag} {who} waits, in the wait_page_queue in the frame of {} on its stack",
        wait.function
    );
    Evidence::new("wait_page_queue.folio", meaning)
        .at(Place::Kernel(wait.names_page))
        .value(Value::Hex(wait.page.get()))
}
