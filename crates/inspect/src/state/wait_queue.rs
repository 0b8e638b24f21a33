//! Wait queues: who sleeps on one, and which one each sleeping task is in.
//!
//! ```text
//! wait_queue_head.head      wait_queue_entry.entry, .private (the task), .func (what wakes it)
//! swait_queue_head.task_list    swait_queue.task_list, .task      completions since 5.7
//! ```
//!
//! The entry of a task that sleeps lies on its own stack, and its links lead to the head. Source: `include/linux/wait.h`,
//! `include/linux/swait.h`.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot, Stack};
use vmcore_memory::{ReadVirtual, VirtAddr, le_u64};

use super::{Collector, Missing, Who, state, symbol};
use crate::object::Object;
use crate::{Hex, InspectError};

/// Entries of a queue.
const MAX_ENTRIES: usize = 1 << 14;
/// How much of a stack is searched for entries.
const MAX_STACK: u64 = 16 << 10;

/// Kinds of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QueueKind")]
pub enum QueueKind {
    /// `struct wait_queue_head`.
    WaitQueue,
    /// `struct swait_queue_head`, as in a completion.
    Simple,
}

impl QueueKind {
    /// Type of an entry, its link, and the pointer to the task.
    const fn entry(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::WaitQueue => ("struct wait_queue_entry", "entry", "private"),
            Self::Simple => ("struct swait_queue", "task_list", "task"),
        }
    }

    /// Type of the queue, and the head of its list.
    const fn head(self) -> (&'static str, &'static str) {
        match self {
            Self::WaitQueue => ("struct wait_queue_head", "head"),
            Self::Simple => ("struct swait_queue_head", "task_list"),
        }
    }
}

/// Who is in one wait queue.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WaitQueue")]
pub struct WaitQueue {
    /// Its address.
    pub queue: Hex,
    /// The variable that it is, where it is one.
    pub symbol: Option<String>,
    /// Its kind.
    pub kind: QueueKind,
    /// Its entries, in the order in which they are woken.
    pub entries: Vec<InQueue>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}

impl super::State for WaitQueue {
    fn missing(&self) -> &[Missing] {
        &self.gaps
    }

    /// An empty queue is an answer, too.
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.gaps.is_empty()
    }
}

/// Which queue each sleeping task is in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Waiters")]
pub struct Waiters {
    /// Tasks with the queues that entries on their stacks are in; a task may be in several.
    pub waiters: Vec<InQueue>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Waiters, waiters);

/// An entry of a wait queue.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "InQueue")]
pub struct InQueue {
    /// Its address.
    pub entry: Hex,
    /// The queue that it is in; null where the list does not lead to its head.
    pub queue: Option<Hex>,
    /// The variable that the queue is, or is in.
    pub symbol: Option<String>,
    /// The task that is to be woken; null where the entry names none (epoll and the like call a function).
    pub waiter: Option<Who>,
    /// The function that wakes it.
    pub wakes_by: Option<String>,
    /// Whether only one such entry is woken at a time (`WQ_FLAG_EXCLUSIVE`).
    pub exclusive: Option<bool>,
}

/// Reads the queue at `address`.
#[must_use]
pub fn wait_queue<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, kind: QueueKind, address: VirtAddr) -> WaitQueue {
    let mut missing = Collector::default();
    let mut entries = Vec::new();
    let (type_name, head) = kind.head();
    let (entry_type, link, _) = kind.entry();
    let listed = Object::new(kernel, type_name, address).and_then(|queue| queue.at(head)?.list(entry_type, link));
    if let Some((found, gap)) = missing.take(format!("the queue at {address}"), listed) {
        missing.note_some(&format!("the queue at {address}"), gap);
        for entry in found {
            let read = in_queue(entry, kind, snapshot, Some(address));
            entries.extend(missing.take(format!("the entry at {}", entry.address()), read));
        }
    }
    WaitQueue { queue: address.into(), symbol: symbol(kernel, address), kind, entries, gaps: missing.0 }
}

fn in_queue(
    entry: Object<'_>,
    kind: QueueKind,
    snapshot: &Snapshot,
    queue: Option<VirtAddr>,
) -> Result<InQueue, InspectError> {
    let kernel = entry.kernel();
    let (_, _, task) = kind.entry();
    let task = entry.at(task)?.pointer()?;
    let function = (kind == QueueKind::WaitQueue).then(|| entry.at("func")?.pointer()).transpose()?;
    // poll() and select(): the private pointer leads to a poll_wqueues.
    let polling = || {
        let table = Object::new(kernel, "struct poll_wqueues", task).ok()?;
        Who::at(snapshot, table.pointer_at("polling_task").ok()??)
    };
    let wakes_by = function.and_then(|function| symbol(kernel, function));
    let polls = wakes_by.as_deref() == Some("pollwake");
    Ok(InQueue {
        entry: entry.address().into(),
        queue: queue.map(Hex::from),
        symbol: queue.and_then(|queue| symbol(kernel, queue)),
        waiter: Who::at(snapshot, task).or_else(|| polling().filter(|_| polls)),
        wakes_by,
        exclusive: (kind == QueueKind::WaitQueue)
            .then(|| entry.number_at("flags").ok())
            .flatten()
            .map(|flags| flags & 1 == 1),
    })
}

/// Finds the entries on the stacks of sleeping tasks.
#[must_use]
pub fn waiters<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, stacks: &[Stack]) -> Waiters {
    let mut missing = Collector::default();
    let mut waiters = Vec::new();
    for stack in stacks {
        let Some(task) = snapshot.tasks.get(stack.task) else { continue };
        let Some(low) = stack.frames.first().map(|frame| frame.sp) else {
            missing.note(format!("the stack of pid {}", task.pid), "it cannot be unwound");
            continue;
        };
        let high = stack.frames.last().map_or(low, |frame| frame.sp);
        let size = high.get().saturating_sub(low.get()).min(MAX_STACK);
        let Ok(bytes) = kernel.memory().read_bytes(low, size) else {
            missing.note(format!("the stack of pid {}", task.pid), format!("memory at {low} cannot be read"));
            continue;
        };
        for (offset, word) in (0..).step_by(8).zip(bytes.chunks_exact(8)) {
            if le_u64(word, 0) != Some(task.address.get()) {
                continue;
            }
            let at = low.wrapping_add(offset);
            let found = [QueueKind::WaitQueue, QueueKind::Simple].into_iter().find_map(|kind| {
                let (entry_type, _, member) = kind.entry();
                let entry = Object::around(kernel, entry_type, member, at).ok()?;
                let queue = queue_of(entry, kind)?;
                in_queue(entry, kind, snapshot, Some(queue)).ok()
            });
            waiters.extend(found);
        }
    }
    Waiters { waiters, gaps: missing.0 }
}

/// The queue that `entry` is in. It must be an entry itself (the words of one kind may be read as the other), its
/// neighbours must link back to it, and exactly one of the circle must be no entry.
fn queue_of(entry: Object<'_>, kind: QueueKind) -> Option<VirtAddr> {
    if !is_entry(entry, kind) {
        return None;
    }
    let memory = entry.kernel().memory();
    let (entry_type, link, _) = kind.entry();
    let start = entry.at(link).ok()?.address();
    let next = memory.read_pointer(start).ok()?;
    if next == start || memory.read_pointer(next.wrapping_add(8)).ok()? != start {
        return None;
    }
    let mut seen = HashSet::from([start]);
    let mut head = None;
    let mut at = next;
    while at != start && seen.insert(at) && seen.len() < MAX_ENTRIES {
        let other = Object::around(entry.kernel(), entry_type, link, at).ok()?;
        if !is_entry(other, kind) && head.replace(at).is_some() {
            return None;
        }
        at = memory.read_pointer(at).ok()?;
    }
    let (type_name, member) = kind.head();
    let head = head.filter(|_| at == start)?;
    Some(Object::around(entry.kernel(), type_name, member, head).ok()?.address())
}

fn is_entry(entry: Object<'_>, kind: QueueKind) -> bool {
    let kernel = entry.kernel();
    match kind {
        QueueKind::WaitQueue => {
            entry.at("func").and_then(Object::pointer).is_ok_and(|function| kernel.is_code(function))
        }
        QueueKind::Simple => {
            let named = entry.at("task").and_then(|task| task.pointee()?.at("comm")?.text());
            named.is_ok() && entry.pointer_at("task").is_ok_and(|task| task.is_some_and(VirtAddr::is_kernel_half))
        }
    }
}
