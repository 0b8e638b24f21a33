//! What the livelock detector saw, as edges: spinner, user address, page, splitter, run queue, and who has that CPU.
//!
//! A step that could not be shown leads to an unknown node that says why: a chain that breaks off is not one that ends.

use std::collections::HashSet;

use vmcore_memory::VirtAddr;

use super::spinner::Candidate;
use super::splitter::{SplitCandidate, Starved, Tied};
use super::tie::Tie;
use super::ties::Ties;
use super::waited_page::Entry;
use crate::graph::{Edge, EdgeKind, Node};
use crate::text::seconds;
use crate::{Evidence, Facts, Reader};

/// More tasks than these that may have a page locked, by an address in its range alone, tell no more.
const MAX_HOLDERS: usize = 16;

/// All edges that can be shown, and an unknown node for each step that cannot. `no_splitter` says why nobody splits.
pub(super) fn edges(
    facts: &Facts<'_>,
    reader: &dyn Reader,
    spinning: &[Candidate],
    ties: &Ties<'_>,
    no_splitter: &dyn Fn() -> String,
    threshold_ns: u64,
) -> Vec<Edge> {
    let mut edges = Vec::new();
    let (mut known, mut pages) = (HashSet::new(), HashSet::new());
    for candidate in spinning {
        edges.extend(to_page(candidate, reader));
        // What is known of who has a page is the same for all that wait for it in one process.
        if candidate.waits_on_entry() && known.insert((Tie::by_head(candidate), Tie::by_range(candidate, reader))) {
            let first_of_page = pages.insert(Tie::by_head(candidate));
            edges.extend(holders(candidate, ties, reader, first_of_page, no_splitter));
        }
    }
    for tied in &ties.splitters {
        edges.extend(to_cpu(facts, reader, tied, threshold_ns));
    }
    edges
}

/// Spinner to user address to page.
fn to_page(candidate: &Candidate, reader: &dyn Reader) -> Vec<Edge> {
    let spinner = &candidate.spinner;
    let task = Node::Task { address: spinner.task, pid: spinner.pid, comm: spinner.comm.clone() };
    let faults = |to: Node, why: String| {
        Edge::new(task.clone(), EdgeKind::FaultsOn, to, why).shown_by(candidate.fault_evidence.clone())
    };
    let (Some(address), Some(mm), Some(waited)) = (spinner.address, candidate.mm, &candidate.waited) else {
        let what = format!("user address that pid {} faults on", spinner.pid);
        let unknown = Node::unknown(what, "its faulting instruction or its mm cannot be read");
        return vec![faults(unknown, "is in a page fault on a user address".to_owned())];
    };
    if let Entry::Unknown(why) = &waited.entry {
        let unknown = Node::unknown(format!("what pid {} waits for at {address}", spinner.pid), why.clone());
        return vec![faults(unknown, format!("is in a page fault on {address}"))];
    }
    let entry = Node::UserAddress { mm, address: page_start(address, reader) };
    let why = format!("faults on {address} again and again until the page-table entry there is put back");
    let mut edges = vec![faults(entry.clone(), why)];
    let of = |page: Node, why: &str, evidence: Vec<Evidence>| {
        Edge::new(entry.clone(), EdgeKind::EntryOf, page, why).shown_by(evidence)
    };
    let evidence = waited.walk_evidence.iter().chain(&waited.page_evidence).cloned().collect();
    edges.push(match (&waited.head, &waited.unreadable) {
        (Some(head), _) => {
            let node = Node::Page { address: head.address };
            of(node, "its page-table entry says that this page is being moved or split", evidence)
        }
        (None, why) => {
            let why = why.clone().unwrap_or_else(|| "its struct page cannot be read".to_owned());
            of(Node::unknown(format!("page behind {address}"), why), "its page-table entry names a page", evidence)
        }
    });
    edges
}

fn page_start(address: VirtAddr, reader: &dyn Reader) -> VirtAddr {
    VirtAddr::new(address.get() & !(reader.page_size() - 1))
}

/// Page to who has it locked. An unlocked page is held by nobody. Those that have its head on their stacks are there from
/// the first spinner of the page on.
fn holders(
    candidate: &Candidate,
    ties: &Ties<'_>,
    reader: &dyn Reader,
    first_of_page: bool,
    no_splitter: &dyn Fn() -> String,
) -> Vec<Edge> {
    let Some((waited, head)) = candidate.waited.as_ref().and_then(|waited| Some((waited, waited.head.as_ref()?)))
    else {
        return Vec::new();
    };
    if waited.is_locked() == Some(false) {
        return Vec::new();
    }
    let page = Node::Page { address: head.address };
    let locked = || waited.page_evidence.last().cloned();
    let (by_head, by_range) = (Tie::by_head(candidate), Tie::by_range(candidate, reader));
    let has_holder = ties.with(by_head).chain(ties.with(by_range)).next().is_some();
    if has_holder && waited.is_locked().is_some() {
        let holds = |tie: Option<Tie>, tied: &Tied<'_>| {
            let why = format!("is locked and being {} by it ({})", tied.splitter.done(), tied.splitter.function);
            let tie = tie.and_then(|tie| tied.splitter.tie_evidence(tie, reader));
            let evidence = locked().into_iter().chain(tie).chain(tied.splitter.split_evidence(reader));
            Edge::new(page.clone(), EdgeKind::LockedBy, Node::task(tied.splitter.task), why).shown_by(evidence)
        };
        let sure = ties.with(by_head).filter(|_| first_of_page).map(|tied| holds(by_head, tied));
        // Who has the head on its stack, too, is shown by that.
        let by_head_too = |tied: &&Tied<'_>| by_head.is_some_and(|tie| tied.tie == tie);
        let others = ties.with(by_range).filter(|tied| !by_head_too(tied)).take(MAX_HOLDERS);
        return sure.chain(others.map(|tied| holds(by_range, tied))).collect();
    }
    let why = match (waited.is_locked(), ties.with(Tie::by_mm(candidate)).next()) {
        (None, _) => "whether the page is locked cannot be told".to_owned(),
        (_, Some(tied)) => format!(
            "pid {} of the same process is splitting a huge page, but nothing ties it to this one",
            tied.splitter.task.pid
        ),
        (_, None) => no_splitter(),
    };
    let unknown = Node::unknown(format!("holder of page {}", head.address), why);
    vec![Edge::new(page, EdgeKind::LockedBy, unknown, "somebody has to put it back").shown_by(locked())]
}

/// Splitter to run queue to who has the CPU.
fn to_cpu(facts: &Facts<'_>, reader: &dyn Reader, tied: &Tied<'_>, threshold_ns: u64) -> Vec<Edge> {
    let splitter = tied.splitter;
    let task = Node::task(splitter.waiter);
    let mut queued = splitter.queue_evidence(facts, reader);
    let counted = splitter.counted(facts, threshold_ns);
    queued.extend(counted.iter().flat_map(|counted| counted.evidence(splitter.waiter, reader)));
    let queue = Node::RunQueue { cpu: splitter.place.cpu };
    if let Starved::Granted { displaced, evidence } = &tied.starved
        && let Some(displaced) = facts.snapshot.task(*displaced)
    {
        let why = match splitter.moment_on_cpu() {
            Some(moment) => format!("has the CPU for a moment of {}, and gets no more", seconds(moment.moment_ns)),
            None => "is runnable and gets moments of the CPU only".to_owned(),
        };
        let to_queue = Edge::new(task, EdgeKind::QueuedOn, queue.clone(), why).shown_by(queued);
        let why = "keeps the CPU, but for the moments that fair tasks are granted";
        return vec![
            to_queue,
            Edge::new(queue, EdgeKind::RunBy, Node::task(displaced), why).shown_by([evidence.clone()]),
        ];
    }
    match splitter.waiting_ns {
        Some(waiting) if waiting < threshold_ns && counted.is_none() => return Vec::new(),
        Some(_) => {}
        None => {
            let what = format!("how long pid {} has been waiting for a CPU", splitter.waiter.pid);
            let why = match splitter.contradictions.as_slice() {
                [] => "the kernel does not keep when it began to wait".to_owned(),
                contradictions => contradictions.join("; "),
            };
            let unknown = Node::unknown(what, why);
            return vec![Edge::new(task, EdgeKind::QueuedOn, unknown, "is runnable").shown_by(queued)];
        }
    }
    if let Starved::Throttled(evidence) = &tied.starved {
        // Whoever has the CPU: it would not run on an idle one either.
        let why = "is runnable, but has used up the CPU time that it or its cgroup is granted";
        queued.push(evidence.clone());
        return vec![Edge::new(task, EdgeKind::QueuedOn, queue, why).shown_by(queued)];
    }
    let to_queue = Edge::new(task, EdgeKind::QueuedOn, queue.clone(), "is runnable and gets no CPU").shown_by(queued);
    vec![to_queue, run_by(facts, splitter, &tied.starved, queue)]
}

fn run_by(facts: &Facts<'_>, splitter: &SplitCandidate<'_>, starved: &Starved, queue: Node) -> Edge {
    let occupant = facts.snapshot.cpu(splitter.place.cpu).and_then(|cpu| facts.snapshot.current(cpu));
    match (starved.evidence(), occupant) {
        (Some(evidence), Some(occupant)) => {
            let why = "runs there and keeps the CPU";
            let shown = [evidence.clone(), facts.preemption.evidence.clone()];
            Edge::new(queue, EdgeKind::RunBy, Node::task(occupant), why).shown_by(shown)
        }
        _ => {
            let what = format!("why CPU {} is not given to pid {}", splitter.place.cpu, splitter.waiter.pid);
            let why = starved.doubt(splitter.waiter.pid).unwrap_or_else(|| "what runs there cannot be read".to_owned());
            Edge::new(queue, EdgeKind::RunBy, Node::unknown(what, why), "something else has the CPU")
        }
    }
}
