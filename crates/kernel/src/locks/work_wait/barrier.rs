//! From the barrier on the stack of a task that flushes a work to the work and its worker.
//!
//! The barrier lies in a frame of the task's own stack and names the task:
//!
//! ```text
//! struct wq_barrier   on the stack of the task that waits
//!   work.func         wq_barrier_func
//!   work.entry        behind the work: in worker.scheduled once that has been begun, in worker_pool.worklist before
//!   task              the task
//! struct worker       what kthread_data() of a worker's task is
//!   current_work      the work that it is doing; taken off the list
//!   scheduled         what it does next: the barriers behind that work, and then more
//!   task              the worker's task
//! ```
//!
//! Source: `kernel/workqueue.c`, `kernel/workqueue_internal.h`, `kernel/kthread.c`.

use std::collections::HashMap;

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::{AwaitedWork, WorkWait};
use crate::layout::{Field, Named, Resolver};
use crate::locks::find::{function_at, stack_words};
use crate::{Stack, Task, list};

/// Barriers that are passed on the way to a work: one for each task that flushes it.
const MAX_BARRIERS: usize = 1 << 10;
/// The same for all tasks together.
const MAX_STEPS: usize = 1 << 16;

/// Where workqueues keep what is followed.
pub(super) struct Layout {
    barrier_task: Named,
    /// `wq_barrier.work`, from the barrier.
    barrier_work: Field,
    entry: Field,
    func: Field,
    current_work: Named,
    current_func: Field,
    scheduled: Field,
    worker_task: Field,
    /// `kthread_data()`: from the task to its `struct kthread`, and what that has.
    kthread: Field,
    data: Field,
}

impl Layout {
    pub(super) fn resolve(types: Resolver<'_>) -> Option<Self> {
        Some(Self {
            barrier_task: types.named("wq_barrier", &["task"])?,
            barrier_work: types.optional("wq_barrier", "work")?,
            entry: types.optional("work_struct", "entry")?,
            func: types.optional("work_struct", "func")?,
            current_work: types.named("worker", &["current_work"])?,
            current_func: types.optional("worker", "current_func")?,
            scheduled: types.optional("worker", "scheduled")?,
            worker_task: types.optional("worker", "task")?,
            // A member of its own since 5.17 (kernel commit e32cf5dfbe22).
            kthread: types.first(&[("task_struct", "worker_private"), ("task_struct", "set_child_tid")]).ok()?,
            data: types.optional("kthread", "data")?,
        })
    }

    /// The `struct worker` of a task, if it is a worker's.
    fn worker_of<M: ReadVirtual + ?Sized>(&self, memory: &M, task: &Task) -> Option<VirtAddr> {
        task.kernel_thread.then_some(())?;
        let read = |field: Field, at| {
            field.read_pointer(memory, at).ok().filter(|pointer: &VirtAddr| pointer.is_kernel_half())
        };
        let worker = read(self.data, read(self.kthread, task.address)?)?;
        (read(self.worker_task, worker)? == task.address).then_some(worker)
    }
}

/// Follows barriers to their works.
pub(super) struct Finder<'a, M: ?Sized> {
    memory: &'a M,
    layout: &'a Layout,
    /// Whether a pointer is one to the function of barriers.
    barriers: &'a dyn Fn(VirtAddr) -> bool,
    /// By the addresses of their lists of scheduled work: worker and its task.
    workers: HashMap<VirtAddr, (VirtAddr, VirtAddr)>,
    steps: usize,
}

impl<'a, M: ReadVirtual + ?Sized> Finder<'a, M> {
    pub(super) fn new(
        memory: &'a M,
        layout: &'a Layout,
        barriers: &'a dyn Fn(VirtAddr) -> bool,
        tasks: &[Task],
    ) -> Self {
        let worker = |task: &Task| {
            let worker = layout.worker_of(memory, task)?;
            Some((layout.scheduled.address(worker), (worker, task.address)))
        };
        Self { memory, layout, barriers, workers: tasks.iter().filter_map(worker).collect(), steps: MAX_STEPS }
    }

    /// What the task with this stack waits for; `None` where no barrier on it names the task.
    pub(super) fn wait(
        &mut self,
        task: &Task,
        stack: &Stack,
        name: &impl Fn(VirtAddr) -> Option<String>,
    ) -> Option<WorkWait> {
        let words = stack_words(self.memory, stack);
        let named = words.iter().filter(|(_, word)| *word == task.address.get()).map(|(at, _)| *at);
        let barriers = named.map(|at| self.layout.barrier_task.field.container(at));
        let mut works = barriers.map(|barrier| (barrier, self.layout.barrier_work.address(barrier)));
        let (barrier, work) = works.find(|(_, work)| self.is_barrier(*work))?;
        let names_task = self.layout.barrier_task.of(barrier);
        Some(WorkWait {
            task: task.address,
            names_task,
            function: function_at(&stack.frames, names_task.address, super::sleeps_for_work)
                .unwrap_or_default()
                .to_owned(),
            work: self.behind(work, name),
        })
    }

    fn is_barrier(&self, work: VirtAddr) -> bool {
        self.layout.func.read_pointer(self.memory, work).is_ok_and(self.barriers)
    }

    /// The work that this barrier is behind: what stands before it in its list, but for other barriers.
    fn behind(&mut self, barrier: VirtAddr, name: &impl Fn(VirtAddr) -> Option<String>) -> AwaitedWork {
        let mut at = self.layout.entry.address(barrier);
        for _ in 0..MAX_BARRIERS.min(self.steps) {
            self.steps -= 1;
            let before = match list::before(self.memory, at) {
                Ok(before) => before,
                Err(why) => return AwaitedWork::Unknown(format!("the list that its barrier is in {why}")),
            };
            if let Some(&(worker, task)) = self.workers.get(&before) {
                return self.doing(worker, task, name);
            }
            let work = self.layout.entry.container(before);
            if !self.is_barrier(work) {
                return self.queued(work, name);
            }
            at = before;
        }
        AwaitedWork::Unknown("too many barriers are behind it".to_owned())
    }

    fn doing(&self, worker: VirtAddr, task: VirtAddr, name: &impl Fn(VirtAddr) -> Option<String>) -> AwaitedWork {
        let work = self.layout.current_work.field.read_pointer(self.memory, worker);
        match work.ok().filter(|work| work.is_kernel_half()) {
            Some(work) => AwaitedWork::Doing {
                work,
                function: self.layout.current_func.read_pointer(self.memory, worker).ok().and_then(name),
                worker: task,
                current_work_at: self.layout.current_work.of(worker),
            },
            None => AwaitedWork::Unknown("its worker is between two works".to_owned()),
        }
    }

    /// What lies before a barrier in a list must be a work: something with a function.
    fn queued(&self, work: VirtAddr, name: &impl Fn(VirtAddr) -> Option<String>) -> AwaitedWork {
        match self.layout.func.read_pointer(self.memory, work).ok().and_then(name) {
            Some(function) => AwaitedWork::Queued { work, function: Some(function) },
            None => AwaitedWork::Unknown(format!("what its barrier is behind, at {work}, is no work")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::test_memory::{TestMemory, damaged_memory};
    use crate::{Location, Policy, StackEnd, StackFrame, SymbolName, TaskState, Trust};

    /// Offset of `prev` in `struct list_head`.
    const PREV: u64 = 8;
    const FLUSHER: u64 = 0xffff_8880_0001_0000;
    const WORKER_TASK: u64 = 0xffff_8880_0001_2000;
    const KTHREAD: u64 = 0xffff_8880_0001_4000;
    const WORKER: u64 = 0xffff_8880_0001_6000;
    const WORK: u64 = 0xffff_8880_0002_0000;
    const WORKLIST: u64 = 0xffff_8880_0002_1000;
    const SP: u64 = 0xffff_c900_0001_3000;
    /// `struct wq_barrier`s: of the task, and of another.
    const BARRIER: u64 = SP + 0x110;
    const OTHER_BARRIER: u64 = 0xffff_8880_0002_2000;
    const BARRIER_FUNC: u64 = 0xffff_ffff_8120_0000;
    const WORK_FUNC: u64 = 0xffff_ffff_8121_0000;

    const fn field(offset: u64) -> Field {
        Field { offset, size: 8 }
    }

    const LAYOUT: Layout = Layout {
        barrier_task: Named::for_tests("wq_barrier", "task", 64, 8),
        barrier_work: field(0),
        entry: field(8),
        func: field(24),
        current_work: Named::for_tests("worker", "current_work", 16, 8),
        current_func: field(24),
        scheduled: field(56),
        worker_task: field(72),
        kthread: field(40),
        data: field(16),
    };

    fn task(address: u64, kernel_thread: bool) -> Task {
        Task {
            address: VirtAddr::new(address),
            pid: 100,
            tgid: 100,
            ppid: None,
            comm: String::new(),
            state: TaskState { state: 2, exit_state: 0 },
            kernel_thread,
            cpu: 0,
            on_cpu: false,
            on_rq: 0,
            sleeps_queued: false,
            policy: Policy(0),
            prio: 120,
            mm: None,
            active_mm: None,
            stack: VirtAddr::new(SP & !0x3fff),
            last_arrival_ns: None,
            last_queued_ns: None,
            exec_start_ns: None,
            accounting: crate::Accounting::default(),
        }
    }

    fn stack() -> Stack {
        let frame = |(depth, name): (u64, &str)| StackFrame {
            pc: VirtAddr::new(0xffff_ffff_8100_0000),
            sp: VirtAddr::new(SP + depth * 0x80),
            exact: false,
            trust: Trust::Orc,
            segment: None,
            location: Arc::new(Location {
                symbol: Some(SymbolName { name: name.to_owned(), offset: 0, module: None }),
                source: Vec::new(),
            }),
        };
        let names = ["__schedule", "wait_for_completion", "__flush_work.isra.0", "driver_close", "do_syscall_64"];
        let frames = (0..).zip(names).map(frame).collect();
        Stack { task: 0, frames, interrupts: Vec::new(), end: StackEnd::UserMode, error: None }
    }

    fn link(memory: &mut TestMemory, nodes: &[u64]) {
        for (index, node) in nodes.iter().enumerate() {
            let next = nodes[(index + 1) % nodes.len()];
            memory.put_u64(*node, next);
            memory.put_u64(next + PREV, *node);
        }
    }

    /// A worker that does a work, behind which two tasks have put their barriers.
    fn doing() -> TestMemory {
        let mut memory = TestMemory::default();
        for (at, value) in [
            (WORKER_TASK + 40, KTHREAD),
            (KTHREAD + 16, WORKER),
            (WORKER + 16, WORK),
            (WORKER + 24, WORK_FUNC),
            (WORKER + 72, WORKER_TASK),
            (WORK + 24, WORK_FUNC),
            (BARRIER + 24, BARRIER_FUNC),
            (BARRIER + 64, FLUSHER),
            (OTHER_BARRIER + 24, BARRIER_FUNC),
        ] {
            memory.put_u64(at, value);
        }
        link(&mut memory, &[WORKER + 56, OTHER_BARRIER + 8, BARRIER + 8]);
        memory
    }

    fn found<M: ReadVirtual>(memory: &M) -> Option<WorkWait> {
        let tasks = [task(FLUSHER, false), task(WORKER_TASK, true)];
        let mut finder = Finder::new(memory, &LAYOUT, &|func| func.get() == BARRIER_FUNC, &tasks);
        let name = |code: VirtAddr| (code.get() == WORK_FUNC).then(|| "do_the_work".to_owned());
        finder.wait(&tasks[0], &stack(), &name)
    }

    #[test]
    fn a_barrier_leads_to_the_worker_that_has_the_work() {
        let wait = found(&doing()).unwrap();
        assert_eq!((wait.names_task.address.get(), wait.function.as_str()), (BARRIER + 64, "__flush_work.isra.0"));
        let work = AwaitedWork::Doing {
            work: VirtAddr::new(WORK),
            function: Some("do_the_work".to_owned()),
            worker: VirtAddr::new(WORKER_TASK),
            current_work_at: LAYOUT.current_work.of(VirtAddr::new(WORKER)),
        };
        assert_eq!(wait.work, work);
    }

    #[test]
    fn a_work_that_no_worker_has_begun_is_queued() {
        let mut memory = doing();
        link(&mut memory, &[WORKLIST, WORK + 8, BARRIER + 8, OTHER_BARRIER + 8]);
        let work = AwaitedWork::Queued { work: VirtAddr::new(WORK), function: Some("do_the_work".to_owned()) };
        assert_eq!(found(&memory).unwrap().work, work);
    }

    #[test]
    fn what_is_no_barrier_is_none() {
        let mut memory = doing();
        memory.put_u64(BARRIER + 24, WORK_FUNC);
        assert_eq!(found(&memory), None);
        let mut memory = doing();
        memory.put_u64(BARRIER + 64, WORKER_TASK);
        assert_eq!(found(&memory), None);
    }

    #[test]
    fn what_cannot_be_told_is_unknown() {
        let is_unknown = |memory: &TestMemory| matches!(found(memory).unwrap().work, AwaitedWork::Unknown(_));
        // Not linked both ways; a worker that is not the task's; between two works; not a work.
        for (at, value) in [
            (OTHER_BARRIER + 8, WORKLIST),
            (WORKER + 72, FLUSHER),
            (WORKER + 16, 0),
            (OTHER_BARRIER + 24, 0),
            (BARRIER + 8 + PREV, 0x1000),
        ] {
            let mut memory = doing();
            memory.put_u64(at, value);
            assert!(is_unknown(&memory), "{at:#x}");
        }
        // A circle of barriers without a head.
        let mut memory = doing();
        link(&mut memory, &[OTHER_BARRIER + 8, BARRIER + 8]);
        assert!(is_unknown(&memory));
    }

    proptest! {
        #[test]
        fn damaged_memory_is_survived(memory in damaged_memory(SP..SP + 0x1000)) {
            let _ = found(&memory);
        }
    }
}
