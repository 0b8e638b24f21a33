//! Which lock a sleeping task waits for: see the module above.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::queue::{Anchor, KnownTasks, WaiterLayout};
use super::{Found, LockKind, LockLayouts, LockWait, Waiter};
use crate::layout::{Field, Resolver};
use crate::{Stack, StackFrame, Task, Trust, saved_words_begin, words_between};

/// List elements that are followed for all tasks together.
const MAX_STEPS: usize = 1 << 20;
/// `BLOCKER_TYPE_MASK` of `include/linux/hung_task.h`, and the kinds by its values.
const BLOCKER_TYPES: u64 = 3;
const BLOCKER_READER: u64 = 2;
const BLOCKER_KINDS: [LockKind; 4] =
    [LockKind::Mutex, LockKind::Semaphore, LockKind::RwSemaphore, LockKind::RwSemaphore];

/// Looks for the lock that a task waits for.
pub(crate) struct Finder<'a, M: ?Sized> {
    memory: &'a M,
    layouts: &'a LockLayouts,
    tasks: &'a dyn KnownTasks,
    /// `task_struct.blocked_on`: a `struct mutex *` since 6.17 (kernel commit a4f0b6fef4b0), with `CONFIG_DEBUG_MUTEXES`
    /// a `struct mutex_waiter *` before.
    blocked_on: Option<Field>,
    /// `task_struct.blocker` since 6.16 (kernel commit e711faaafbe5), with `CONFIG_DETECT_HUNG_TASK_BLOCKER`.
    blocker: Option<Field>,
    /// By the addresses of waiters: the locks whose queues were read.
    queued: RefCell<HashMap<VirtAddr, (LockKind, VirtAddr)>>,
    /// The tasks in the queues of locks that were read.
    waiting: RefCell<HashMap<(LockKind, VirtAddr), HashSet<VirtAddr>>>,
    /// How many elements of lists may still be followed: each of many damaged stacks may lead to the same long one.
    steps: Cell<usize>,
}

impl<'a, M: ReadVirtual + ?Sized> Finder<'a, M> {
    pub(crate) fn new(memory: &'a M, types: Resolver<'_>, layouts: &'a LockLayouts, tasks: &'a dyn KnownTasks) -> Self {
        Self {
            memory,
            layouts,
            tasks,
            blocked_on: types.optional("task_struct", "blocked_on"),
            blocker: types.optional("task_struct", "blocker"),
            queued: RefCell::default(),
            waiting: RefCell::default(),
            steps: Cell::new(MAX_STEPS),
        }
    }

    /// Without members of `struct task_struct` that would say it.
    #[cfg(test)]
    pub(crate) fn for_tests(memory: &'a M, layouts: &'a LockLayouts, tasks: &'a dyn KnownTasks) -> Self {
        let steps = Cell::new(MAX_STEPS);
        Self {
            memory,
            layouts,
            tasks,
            blocked_on: None,
            blocker: None,
            queued: RefCell::default(),
            waiting: RefCell::default(),
            steps,
        }
    }

    /// The lock that this task sleeps for; `None` where it sleeps for something else or that cannot be shown.
    pub(crate) fn wait(&self, task: &Task, stack: &Stack) -> Option<LockWait> {
        self.by_rt_waiter(task).or_else(|| self.on_stack(task, stack)).or_else(|| self.by_member(task))
    }

    fn by_rt_waiter(&self, task: &Task) -> Option<LockWait> {
        let found = self.layouts.rt_mutex.as_ref()?.waiter(self.memory, task.address)?;
        self.is_queued(task.address, LockKind::RtMutex, found.lock).then(|| LockWait {
            task: task.address,
            kind: LockKind::RtMutex,
            lock: found.lock,
            shared: false,
            found: Found::Member { name: "pi_blocked_on", value: found.waiter.get() },
        })
    }

    fn on_stack(&self, task: &Task, stack: &Stack) -> Option<LockWait> {
        let (kind, sleeper) = stack.frames.iter().find_map(|frame| sleeps_for(frame.function()?))?;
        let (_, layout) = self.queue(kind)?;
        let words = stack_words(self.memory, stack);
        let named = words.iter().filter(|(_, word)| *word == task.address.get());
        named.map(|(at, _)| layout.task.field.container(*at)).find_map(|waiter| {
            let lock = self.lock_of(kind, Waiter { address: waiter, task: task.address }, &words)?;
            let shared = self.layouts.rwsem.as_ref().is_some_and(|rwsem| rwsem.is_reader(self.memory, waiter));
            let function = function_at(&stack.frames, waiter, |name| sleeps_for(name).is_some());
            let function = function.unwrap_or(sleeper).to_owned();
            let found = Found::OnStack { function, waiter, names_task: layout.task.of(waiter) };
            let shared = shared && kind == LockKind::RwSemaphore;
            Some(LockWait { task: task.address, kind, lock, shared, found })
        })
    }

    /// By the kernel's own note of it.
    fn by_member(&self, task: &Task) -> Option<LockWait> {
        let read = |field: Option<Field>| field?.read(self.memory, task.address).ok().filter(|&value| value != 0);
        let from_blocker = || {
            let value = read(self.blocker)?;
            let kind = *BLOCKER_KINDS.get(usize::try_from(value & BLOCKER_TYPES).ok()?)?;
            Some(("blocker", value, kind, VirtAddr::new(value & !BLOCKER_TYPES)))
        };
        let from_blocked_on =
            || read(self.blocked_on).map(|value| ("blocked_on", value, LockKind::Mutex, VirtAddr::new(value)));
        let (name, value, kind, lock) = from_blocker().or_else(from_blocked_on)?;
        let shared = name == "blocker" && value & BLOCKER_TYPES == BLOCKER_READER;
        let wait = LockWait { task: task.address, kind, lock, shared, found: Found::Member { name, value } };
        self.is_queued(task.address, kind, lock).then_some(wait)
    }

    /// Whether the lock says the same: it is one, and has the task in its queue. A queue is read once for all that are in it.
    fn is_queued(&self, task: VirtAddr, kind: LockKind, lock: VirtAddr) -> bool {
        let read = || self.queue_of(kind, lock).iter().map(|waiter| waiter.task).collect();
        self.waiting.borrow_mut().entry((kind, lock)).or_insert_with(read).contains(&task)
    }

    /// The lock in whose queue this waiter of `task` is. A queue is read once for all that are in it.
    fn lock_of(&self, kind: LockKind, waiter: Waiter, words: &[(VirtAddr, u64)]) -> Option<VirtAddr> {
        let known = |queued: &HashMap<VirtAddr, (LockKind, VirtAddr)>| queued.get(&waiter.address).copied();
        if let Some((known_kind, lock)) = known(&self.queued.borrow()) {
            return (known_kind == kind).then_some(lock);
        }
        let (anchor, layout) = self.queue(kind)?;
        let lock = anchor.lock_of(self.memory, self.tasks, layout, waiter.address, words, &self.steps)?;
        let waiters = self.queue_of(kind, lock);
        let places = waiters.iter().map(|waiter| (waiter.address, (kind, lock)));
        self.queued.borrow_mut().extend(places);
        waiters.contains(&waiter).then_some(lock)
    }

    /// Who waits for a lock, for as long as elements of lists may be followed.
    fn queue_of(&self, kind: LockKind, lock: VirtAddr) -> Vec<Waiter> {
        let left = self.steps.get();
        let state = || self.layouts.read(self.memory, self.tasks, kind, lock);
        let waiters = (left > 0).then(state).flatten().map(|state| state.waiters).unwrap_or_default();
        self.steps.set(left.saturating_sub(waiters.len()));
        waiters
    }

    fn queue(&self, kind: LockKind) -> Option<(Anchor, WaiterLayout)> {
        match kind {
            LockKind::Mutex => self.layouts.mutex.as_ref().map(|layout| (layout.anchor, layout.waiter)),
            LockKind::RwSemaphore => self.layouts.rwsem.as_ref().map(|layout| (layout.anchor, layout.waiter)),
            LockKind::Semaphore => self.layouts.semaphore.as_ref().map(|layout| (layout.anchor, layout.waiter)),
            LockKind::RtMutex => None,
        }
    }
}

/// The kind of lock that a function sleeps for, and the function.
fn sleeps_for(function: &str) -> Option<(LockKind, &str)> {
    // Who waits for a real-time mutex is found by its own member.
    let kind = LockKind::of_sleeper(function).filter(|kind| *kind != LockKind::RtMutex)?;
    Some((kind, function))
}

/// The function in whose frame a stack address lies. Of a frame that was found by its record alone it is not known how far below
/// the record it begins: then it is that of the two around the address which `has` what is there.
pub(super) fn function_at(frames: &[StackFrame], address: VirtAddr, has: impl Fn(&str) -> bool) -> Option<&str> {
    let inner = frames.iter().rposition(|frame| frame.sp <= address)?;
    let outer = frames.get(inner + 1).filter(|frame| frame.trust == Trust::FramePointer);
    let inner = frames.get(inner)?.function();
    let functions = [inner, outer.and_then(StackFrame::function)];
    functions.into_iter().flatten().find(|name| has(name)).or(inner)
}

/// The words of a sleeping task's stack, from what was saved when it was scheduled out to its last frame.
pub(super) fn stack_words<M: ReadVirtual + ?Sized>(memory: &M, stack: &Stack) -> Vec<(VirtAddr, u64)> {
    let (Some(low), Some(last)) = (saved_words_begin(stack), stack.frames.last()) else { return Vec::new() };
    words_between(low, last.sp, |at, chunk| memory.read_virtual(at, chunk).is_ok())
}
