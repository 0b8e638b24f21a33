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

use super::{Collector, Listing, Missing, Who, state, symbol};
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
    pub entries: Listing<InQueue>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}

impl super::State for WaitQueue {
    fn missing(&self) -> &[Missing] {
        &self.gaps
    }

    /// An empty queue is an answer, too.
    fn is_empty(&self) -> bool {
        self.entries.found().is_empty() && self.entries.unread().is_some()
    }
}

/// Which queue each sleeping task is in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Waiters")]
pub struct Waiters {
    /// Tasks with the queues that entries on their stacks are in; a task may be in several.
    pub waiters: Listing<InQueue>,
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
    let what = format!("the queue at {address}");
    let entries = missing.list(&what, |missing| {
        let (type_name, head) = kind.head();
        let (entry_type, link, _) = kind.entry();
        let (found, gap) = Object::new(kernel, type_name, address)?.at(head)?.list(entry_type, link)?;
        missing.note_some(&what, gap);
        let mut entries = Vec::new();
        for entry in found {
            let read = in_queue(entry, kind, snapshot, Some(address), missing);
            entries.extend(missing.take(format!("the entry at {}", entry.address()), read));
        }
        Ok(entries)
    });
    WaitQueue { queue: address.into(), symbol: symbol(kernel, address), kind, entries, gaps: missing.into_gaps() }
}

fn in_queue(
    entry: Object<'_>,
    kind: QueueKind,
    snapshot: &Snapshot,
    queue: Option<VirtAddr>,
    missing: &mut Collector,
) -> Result<InQueue, InspectError> {
    let kernel = entry.kernel();
    let (_, _, task) = kind.entry();
    let task = entry.at(task)?.pointer()?;
    let function = (kind == QueueKind::WaitQueue).then(|| entry.at("func")?.pointer()).transpose()?;
    let wakes_by = function.and_then(|function| missing.function(kernel, function));
    let mut waiter = Who::at(snapshot, task);
    // poll() and select(): the private pointer leads to a poll_wqueues.
    if waiter.is_none() && wakes_by.as_deref() == Some("pollwake") {
        let polling = Object::new(kernel, "struct poll_wqueues", task)?.pointer_at("polling_task")?;
        waiter = polling.and_then(|task| Who::at(snapshot, task));
    }
    let flags = (kind == QueueKind::WaitQueue).then(|| entry.number_at("flags")).transpose()?;
    Ok(InQueue {
        entry: entry.address().into(),
        queue: queue.map(Hex::from),
        symbol: queue.and_then(|queue| symbol(kernel, queue)),
        waiter,
        wakes_by,
        exclusive: flags.map(|flags| flags & 1 == 1),
    })
}

/// Finds the entries on the stacks of sleeping tasks.
#[must_use]
pub fn waiters<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, stacks: &[Stack]) -> Waiters {
    let mut missing = Collector::default();
    let waiters = missing.list("tasks that wait", |missing| {
        missing.note_gaps(&snapshot.gaps);
        let mut waiters = Vec::new();
        for stack in stacks {
            on_stack(kernel, snapshot, stack, missing, &mut waiters);
        }
        Ok(waiters)
    });
    Waiters { waiters, gaps: missing.into_gaps() }
}

fn on_stack<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    stack: &Stack,
    missing: &mut Collector,
    waiters: &mut Vec<InQueue>,
) {
    let Some(task) = snapshot.tasks.get(stack.task) else { return };
    let what = format!("the stack of pid {}", task.pid);
    if let Some(why) = &stack.error {
        missing.note(&what, why);
    }
    let Some(low) = stack.frames.first().map(|frame| frame.sp) else {
        return missing.note(what, "it cannot be unwound");
    };
    let high = stack.frames.last().map_or(low, |frame| frame.sp);
    let size = high.get().saturating_sub(low.get()).min(MAX_STACK);
    let bytes = kernel.memory().read_bytes(low, size).map_err(|error| InspectError::read(&what, error));
    let bytes = missing.take(what, bytes).unwrap_or_default();
    for (offset, word) in (0..).step_by(8).zip(bytes.chunks_exact(8)) {
        if le_u64(word, 0) != Some(task.address.get()) {
            continue;
        }
        let at = low.wrapping_add(offset);
        for kind in [QueueKind::WaitQueue, QueueKind::Simple] {
            let found = entry_at(kernel, snapshot, kind, at, missing);
            let found = missing.take_known(format!("the queue that pid {} is in, by {at}", task.pid), found).flatten();
            if let Some(found) = found {
                waiters.push(found);
                break;
            }
        }
    }
}

/// The entry of a queue whose pointer to a task is at `at`; `None` where there is none.
fn entry_at<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    kind: QueueKind,
    at: VirtAddr,
    missing: &mut Collector,
) -> Result<Option<InQueue>, InspectError> {
    let (entry_type, _, member) = kind.entry();
    let entry = Object::around(kernel, entry_type, member, at)?;
    let Some(queue) = queue_of(entry, kind, snapshot)? else { return Ok(None) };
    in_queue(entry, kind, snapshot, Some(queue), missing).map(Some)
}

/// The queue that `entry` is in. It must be an entry itself (the words of one kind may be read as the other), its
/// neighbours must link back to it, and exactly one of the circle must be no entry. An error where it is in one, by all that
/// can be read.
fn queue_of(entry: Object<'_>, kind: QueueKind, snapshot: &Snapshot) -> Result<Option<VirtAddr>, InspectError> {
    if !is_entry(entry, kind, snapshot) {
        return Ok(None);
    }
    let memory = entry.kernel().memory();
    let link_at =
        |at: VirtAddr| memory.read_pointer(at).map_err(|error| InspectError::read(format!("the link at {at}"), error));
    let (entry_type, link, _) = kind.entry();
    let start = entry.at(link)?.address();
    let (next, previous) = (link_at(start)?, link_at(start.wrapping_add(8))?);
    if next == start || !next.is_kernel_half() || !previous.is_kernel_half() {
        return Ok(None);
    }
    match (link_at(next.wrapping_add(8)), link_at(previous)) {
        (Ok(back), Ok(forth)) if back == start && forth == start => {}
        (Ok(back), Err(error)) | (Err(error), Ok(back)) if back == start => return Err(error),
        // What names a function besides the task is one; else both lead to the same place, as links to a head do.
        (Err(error), Err(_)) if kind == QueueKind::WaitQueue || next == previous => return Err(error),
        _ => return Ok(None),
    }
    let mut seen = HashSet::from([start]);
    let mut head = None;
    let mut at = next;
    while at != start && seen.insert(at) && seen.len() < MAX_ENTRIES {
        let other = Object::around(entry.kernel(), entry_type, link, at)?;
        if !is_entry(other, kind, snapshot) && head.replace(at).is_some() {
            return Ok(None);
        }
        at = link_at(at)?;
    }
    let (type_name, member) = kind.head();
    let Some(head) = head.filter(|_| at == start) else { return Ok(None) };
    Ok(Some(Object::around(entry.kernel(), type_name, member, head)?.address()))
}

/// Whether it names a function that wakes, or a task.
fn is_entry(entry: Object<'_>, kind: QueueKind, snapshot: &Snapshot) -> bool {
    let pointer = |member: &str| entry.at(member).and_then(Object::pointer);
    match kind {
        QueueKind::WaitQueue => pointer("func").is_ok_and(|function| entry.kernel().is_code(function)),
        QueueKind::Simple => pointer("task").is_ok_and(|task| snapshot.task(task).is_some()),
    }
}
