//! A lock's queue: waiters on the stacks of those that wait, linked in a circle.
//!
//! ```text
//! struct mutex_waiter / rwsem_waiter / semaphore_waiter
//!   list  struct list_head   next, prev: other waiters, and the lock's `wait_list`
//!   task  struct task_struct *
//! ```
//!
//! The circle goes through the head `wait_list` in the lock. In the newest kernels the waiters alone are the circle, and
//! the lock's `first_waiter` points to one of them.

use std::cell::Cell;

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::Waiter;
use crate::layout::{Field, Named, Resolver};
use crate::list::{is_linked_both_ways, list};

/// More waiters than one lock has: every one is a task.
const MAX_WAITERS: usize = 1 << 16;

/// What is known of tasks without reading their memory.
pub(crate) trait KnownTasks: Sync {
    /// Whether a task is at this address.
    fn is_task(&self, address: VirtAddr) -> bool;

    /// Whether `address` lies on the kernel stack of the task at `task`.
    fn on_stack_of(&self, task: VirtAddr, address: VirtAddr) -> bool;
}

/// Offsets in a waiter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaiterLayout {
    pub(crate) list: Field,
    pub(crate) task: Named,
}

impl WaiterLayout {
    pub(crate) fn resolve(types: Resolver<'_>, type_name: &'static str) -> Option<Self> {
        Some(Self { list: types.optional(type_name, "list")?, task: types.named(type_name, &["task"])? })
    }

    /// The task of the waiter at `waiter`, if it is one: it names a task and lies on that task's stack.
    pub(crate) fn task_of<M: ReadVirtual + ?Sized>(
        self,
        memory: &M,
        tasks: &dyn KnownTasks,
        waiter: VirtAddr,
    ) -> Option<VirtAddr> {
        let task = self.task.field.read_pointer(memory, waiter).ok()?;
        (tasks.is_task(task) && tasks.on_stack_of(task, waiter)).then_some(task)
    }
}

/// How a lock leads to its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    /// `wait_list`: the head of the list.
    Head(Field),
    /// `first_waiter`: a pointer to a waiter.
    First(Field),
}

impl Anchor {
    pub(crate) fn resolve(types: Resolver<'_>, type_name: &'static str) -> Option<Self> {
        let head = types.optional(type_name, "wait_list").map(Self::Head);
        head.or_else(|| types.optional(type_name, "first_waiter").map(Self::First))
    }

    /// The queue of the lock at `lock`, in order; `None` where it is damaged.
    pub(crate) fn waiters<M: ReadVirtual + ?Sized>(
        self,
        memory: &M,
        tasks: &dyn KnownTasks,
        layout: WaiterLayout,
        lock: VirtAddr,
    ) -> Option<Vec<Waiter>> {
        let (start, mut waiters) = match self {
            Self::Head(head) => (head.address(lock), Vec::new()),
            Self::First(first) => match first.read_pointer(memory, lock).ok()? {
                waiter if waiter.is_null() => return Some(Vec::new()),
                waiter => (layout.list.address(waiter), vec![waiter]),
            },
        };
        let listed = list(memory, start, MAX_WAITERS, "wait list");
        if listed.gap.is_some() {
            return None;
        }
        waiters.extend(listed.nodes.into_iter().map(|node| layout.list.container(node)));
        let waiter = |address| Some(Waiter { address, task: layout.task_of(memory, tasks, address)? });
        waiters.into_iter().map(waiter).collect()
    }

    /// The lock in whose queue this waiter is. `words` are those of the stack it was found on: where no head tells, one
    /// of them is the lock's address. `steps` is how many list elements may still be followed.
    pub(crate) fn lock_of<M: ReadVirtual + ?Sized>(
        self,
        memory: &M,
        tasks: &dyn KnownTasks,
        layout: WaiterLayout,
        waiter: VirtAddr,
        words: &[(VirtAddr, u64)],
        steps: &Cell<usize>,
    ) -> Option<VirtAddr> {
        let node = layout.list.address(waiter);
        if !is_linked_both_ways(memory, node) {
            return None;
        }
        let circle = list(memory, node, MAX_WAITERS.min(steps.get()), "wait list");
        steps.set(steps.get().saturating_sub(circle.nodes.len()));
        if circle.gap.is_some() {
            return None;
        }
        let is_waiter = |node: &VirtAddr| layout.task_of(memory, tasks, layout.list.container(*node)).is_some();
        let mut others = circle.nodes.iter().filter(|node| !is_waiter(node));
        match (self, others.next(), others.next()) {
            (Self::Head(head), Some(at), None) => Some(head.container(*at)),
            (Self::First(first), None, None) => {
                let in_circle = |at: VirtAddr| at == waiter || circle.nodes.contains(&layout.list.address(at));
                let candidates =
                    words.iter().map(|(_, word)| VirtAddr::new(*word)).filter(|word| word.is_kernel_half());
                let leads_here = |lock: &VirtAddr| first.read_pointer(memory, *lock).is_ok_and(in_circle);
                candidates.into_iter().find(leads_here)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
impl WaiterLayout {
    /// As on all kernels: the list, then the task.
    pub(crate) fn for_tests() -> Self {
        Self { list: Field { offset: 0, size: 16 }, task: Named::for_tests("mutex_waiter", "task", 16, 8) }
    }
}
