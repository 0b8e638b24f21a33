//! What these detectors saw, as edges of the machine's one graph of who waits for whom.
//!
//! Only waits that last count: a queue that moves is no part of a hang. Where a chain breaks off, it leads to an unknown
//! node that says why.

use vmcore_kernel::{Lock, LockWait, Owner, PageWait};
use vmcore_memory::VirtAddr;

use super::clock::off_cpu_ns;
use super::spin_scan::{HolderFound, Spin};
use super::{hard_lockup, ipi, lock_text, page_lock, rcu_stall, spinlock, starvation, work};
use crate::evidence::member;
use crate::graph::{Edge, EdgeKind, LockKind, Node};
use crate::{Evidence, Facts, Reader, Value};

/// Edges of waits of at least `threshold_ns`. `held` are pages of which another detector says who has them,
/// `explained` CPUs of which one says what they keep from running.
pub(crate) fn edges(
    facts: &Facts<'_>,
    reader: &dyn Reader,
    threshold_ns: u64,
    held: &[Node],
    explained: &[u32],
) -> Vec<Edge> {
    let lasts = |task: VirtAddr| {
        facts.snapshot.task(task).and_then(|task| off_cpu_ns(facts, task)).is_some_and(|waited| waited >= threshold_ns)
    };
    let mut edges = Vec::new();
    for wait in facts.state.lock_waits.iter().filter(|wait| lasts(wait.task)) {
        edges.extend(lock_wait(facts, reader, wait));
    }
    for wait in facts.state.page_waits.iter().filter(|wait| lasts(wait.task)) {
        edges.extend(page_wait(facts, reader, wait, held));
    }
    edges.extend(
        facts.state.work_waits.iter().filter(|wait| lasts(wait.task)).flat_map(|wait| work::edges(facts, wait)),
    );
    for spins in spinlock::by_lock(facts).values().filter(|spins| spinlock::is_stuck(facts, spins)) {
        edges.extend(spins.iter().flat_map(|spin| spinning(facts, reader, spin)));
    }
    edges.extend(calls(facts, reader));
    edges.extend(rcu_stall::edges(facts, reader));
    let explained: Vec<_> = facts.state.spinning().chain(explained.iter().copied()).collect();
    let others = facts.snapshot.cpus.iter().filter(|cpu| !explained.contains(&cpu.cpu));
    edges.extend(others.flat_map(|cpu| starvation::edges(facts, reader, cpu)));
    edges
}

/// The node of the task at an address.
pub(crate) fn task(facts: &Facts<'_>, address: VirtAddr) -> Node {
    let unknown = || Node::unknown(format!("task at {address}"), "it is not on the list of tasks");
    facts.snapshot.task(address).map_or_else(unknown, Node::task)
}

/// From a CPU to what it is busy with.
pub(crate) fn runs(facts: &Facts<'_>, reader: &dyn Reader, cpu: u32) -> Option<Edge> {
    let queue = facts.snapshot.cpu(cpu)?.run_queue.as_ref()?;
    let current = facts.snapshot.task(queue.current)?;
    let off = if hard_lockup::interrupts_off(facts, cpu) { " with interrupts off" } else { "" };
    let why = format!("runs it{off}{}", super::stuck_in(facts, cpu));
    let meaning = format!("CPU {cpu} runs {}", lock_text::pid(current));
    let shown = member(reader, queue.address, ("rq", "curr"), Value::Hex(queue.current.get()), meaning);
    Some(Edge::new(Node::Cpu { cpu }, EdgeKind::Runs, Node::task(current), why).shown_by([shown]))
}

fn lock_wait(facts: &Facts<'_>, reader: &dyn Reader, wait: &LockWait) -> Vec<Edge> {
    let lock = Node::Lock { kind: kind(wait.kind), address: wait.lock };
    let why = if wait.shared { "sleeps until it may read" } else { "sleeps until it gets it" };
    let shown = lock_text::wait_evidence(facts, reader, wait);
    let waits = Edge::new(task(facts, wait.task), EdgeKind::SleepsOn, lock.clone(), why).shown_by([shown]);
    let owner = facts.state.lock_of(wait).map(|state| owned(facts, reader, lock, state));
    std::iter::once(waits).chain(owner).collect()
}

fn owned(facts: &Facts<'_>, reader: &dyn Reader, lock: Node, state: &Lock) -> Edge {
    let shown = lock_text::lock_evidence(facts, reader, state);
    let unknown = |why: &str| Node::unknown(format!("owner of {lock}"), why);
    let (kind, to, why) = match &state.owner {
        Owner::Task(owner) => (EdgeKind::OwnedBy, task(facts, *owner), "has it"),
        Owner::Readers { last: Some(last), .. } => {
            (EdgeKind::ReadBy, task(facts, *last), "is the reader that came last")
        }
        Owner::Readers { last: None, .. } => (EdgeKind::ReadBy, unknown("readers are not recorded"), "readers have it"),
        Owner::Nobody => (EdgeKind::OwnedBy, unknown("nobody has it at this moment"), "is to be given to a waiter"),
        Owner::Unknown(why) => (EdgeKind::OwnedBy, unknown(why), "somebody has it"),
    };
    Edge::new(lock.clone(), kind, to, why).shown_by(shown)
}

fn kind(kind: vmcore_kernel::LockKind) -> LockKind {
    match kind {
        vmcore_kernel::LockKind::Mutex => LockKind::Mutex,
        vmcore_kernel::LockKind::RwSemaphore => LockKind::RwSemaphore,
        vmcore_kernel::LockKind::Semaphore => LockKind::Semaphore,
        vmcore_kernel::LockKind::RtMutex => LockKind::RtMutex,
    }
}

fn page_wait(facts: &Facts<'_>, reader: &dyn Reader, wait: &PageWait, held: &[Node]) -> Vec<Edge> {
    let page = Node::Page { address: wait.page };
    let why = format!("sleeps until its {} is cleared", wait.flag.unwrap_or("flag"));
    let shown = page_lock::wait_evidence(facts, wait);
    let holder_known = held.contains(&page);
    let waits = Edge::new(task(facts, wait.task), EdgeKind::WaitsForPage, page.clone(), why).shown_by([shown]);
    let holder = || {
        let unknown = Node::unknown(format!("holder of page {}", wait.page), "the kernel does not record it");
        let state = reader.page(wait.page).ok().map(|state| page_lock::flags_evidence(reader, &state));
        Edge::new(page, EdgeKind::LockedBy, unknown, "somebody has it").shown_by(state)
    };
    let holder = (!holder_known).then(holder);
    std::iter::once(waits).chain(holder).collect()
}

fn spinning(facts: &Facts<'_>, reader: &dyn Reader, spin: &Spin) -> Vec<Edge> {
    let on = |cpu: u32| facts.snapshot.cpu(cpu).and_then(|cpu| facts.snapshot.current(cpu)).map(Node::task);
    let Some(spinner) = on(spin.cpu) else { return Vec::new() };
    let lock = Node::Lock { kind: LockKind::Spinlock, address: spin.lock };
    let shown = spinlock::spin_evidence(facts, spin);
    let mut edges =
        vec![Edge::new(spinner.clone(), EdgeKind::SpinsOn, lock.clone(), "spins for it").shown_by(shown.clone())];
    if let Some(front) = spin.behind.and_then(on) {
        let why = "is behind it in the lock's queue";
        edges.push(Edge::new(spinner, EdgeKind::QueuedBehind, front, why).shown_by(shown.clone()));
    }
    let holder = match spin.holders.as_slice() {
        [holder] => on(holder.cpu).map(|node| (holder, node)),
        _ => None,
    };
    edges.push(match holder {
        Some((holder, node)) => {
            let surely = holder.found == HolderFound::Recorded;
            let why = if surely { "has it" } else { "seems to have it: only it has the lock's address at hand" };
            let shown: [Evidence; 1] = [spinlock::holder_evidence(facts, reader, holder, spin.lock)];
            Edge::new(lock, EdgeKind::OwnedBy, node, why).shown_by(shown)
        }
        None => {
            let unknown = Node::unknown(format!("owner of {lock}"), "a spin lock does not record it");
            Edge::new(lock, EdgeKind::OwnedBy, unknown, "somebody has it").shown_by(shown)
        }
    });
    edges
}

fn calls(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Edge> {
    let mut edges = Vec::new();
    for call in facts.state.calls.iter().filter(|call| ipi::is_stuck(facts, call.from)) {
        let Some(caller) = facts.snapshot.cpu(call.from).and_then(|cpu| facts.snapshot.current(cpu)) else { continue };
        let why = "spins until that CPU has run its call";
        let deaf = Node::Cpu { cpu: call.to };
        let waits = Edge::new(Node::task(caller), EdgeKind::WaitsForIpi, deaf, why).shown_by([ipi::evidence(call)]);
        edges.push(waits);
        edges.extend(runs(facts, reader, call.to));
    }
    edges
}
