//! Nodes and edges that several detectors make: a task, a lock, and what a CPU is busy with.

use vmcore_memory::VirtAddr;

use crate::evidence::member;
use crate::graph::{Edge, EdgeKind, LockKind, Node};
use crate::{Facts, Reader, Value, describe, interrupts};

/// The node of the task at an address.
pub(crate) fn task(facts: &Facts<'_>, address: VirtAddr) -> Node {
    let unknown = || Node::unknown(format!("task at {address}"), "it is not on the list of tasks");
    facts.snapshot.task(address).map_or_else(unknown, Node::task)
}

/// What a lock that tasks sleep for is in the graph.
pub(crate) const fn lock_kind(kind: vmcore_kernel::LockKind) -> LockKind {
    match kind {
        vmcore_kernel::LockKind::Mutex => LockKind::Mutex,
        vmcore_kernel::LockKind::RwSemaphore => LockKind::RwSemaphore,
        vmcore_kernel::LockKind::Semaphore => LockKind::Semaphore,
        vmcore_kernel::LockKind::RtMutex => LockKind::RtMutex,
    }
}

/// From a CPU to what it is busy with.
pub(crate) fn runs(facts: &Facts<'_>, reader: &dyn Reader, cpu: u32) -> Option<Edge> {
    let queue = facts.snapshot.cpu(cpu)?.run_queue.as_ref()?;
    let current = facts.snapshot.task(queue.current)?;
    let off = if interrupts::interrupts_off(facts, cpu) { " with interrupts off" } else { "" };
    let why = format!("runs it{off}{}", describe::stuck_in(facts, cpu));
    let meaning = format!("CPU {cpu} runs {}", describe::pid(current));
    let shown = member(reader, queue.address, ("rq", "curr"), Value::Hex(queue.current.get()), meaning);
    Some(Edge::new(Node::Cpu { cpu }, EdgeKind::Runs, Node::task(current), why).shown_by([shown]))
}
