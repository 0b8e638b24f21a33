//! One task: what `struct task_struct` says of it.

mod place;

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use crate::layout::{Field, Resolver};
use crate::{LayoutError, Policy, TaskState, sleeps_queued};
use place::PlaceLayout;

/// `PF_KTHREAD` of `include/linux/sched.h`; unchanged since 2.6.27.
const PF_KTHREAD: u64 = 0x0020_0000;
/// `TASK_COMM_LEN`.
const COMM_LEN: usize = 16;

/// Offsets in `struct task_struct`.
pub(crate) struct TaskLayout {
    pub(crate) tasks: Field,
    thread_node: Field,
    thread_head: Field,
    signal: Field,
    pid: Field,
    tgid: Field,
    parent: Field,
    comm: Field,
    state: Field,
    exit_state: Field,
    flags: Field,
    pub(crate) place: PlaceLayout,
    pub(crate) on_rq: Field,
    /// Members of which any that is not 0 says that a queued task sleeps all the same: see [`Task::sleeps_queued`].
    sleeps_queued: [Option<Field>; 2],
    policy: Field,
    prio: Field,
    mm: Field,
    active_mm: Field,
    stack: Field,
    saved_sp: Field,
    last_arrival: Option<Field>,
    last_queued: Option<Field>,
    exec_start: Option<Field>,
    minor_faults: Option<Field>,
    user_time: Option<Field>,
    system_time: Option<Field>,
    pub(crate) fair_node: Field,
    /// `sched_entity.my_q` and `sched_entity.run_node`, where tasks can be grouped.
    pub(crate) fair_group: Option<(Field, Field)>,
    pub(crate) rt_node: Option<Field>,
    pub(crate) dl_node: Option<Field>,
    pub(crate) ext_node: Option<Field>,
}

impl TaskLayout {
    pub(crate) fn resolve(types: Resolver<'_>) -> Result<Self, LayoutError> {
        let task = |path| types.field("task_struct", path);
        let optional = |path| types.optional("task_struct", path);
        Ok(Self {
            tasks: task("tasks")?,
            thread_node: task("thread_node")?,
            thread_head: types.field("signal_struct", "thread_head")?,
            signal: task("signal")?,
            pid: task("pid")?,
            tgid: task("tgid")?,
            parent: task("real_parent")?,
            comm: task("comm")?,
            // Renamed by kernel commit 2f064a59a11f (5.14).
            state: types.first(&[("task_struct", "__state"), ("task_struct", "state")])?,
            exit_state: task("exit_state")?,
            flags: task("flags")?,
            place: PlaceLayout::resolve(types)?,
            on_rq: task("on_rq")?,
            sleeps_queued: sleeps_queued::members(types),
            policy: task("policy")?,
            prio: task("prio")?,
            mm: task("mm")?,
            active_mm: task("active_mm")?,
            stack: task("stack")?,
            saved_sp: types.first(&[("task_struct", "thread.sp"), ("task_struct", "thread.cpu_context.sp")])?,
            last_arrival: optional("sched_info.last_arrival"),
            last_queued: optional("sched_info.last_queued"),
            exec_start: optional("se.exec_start"),
            minor_faults: optional("min_flt"),
            user_time: optional("utime"),
            system_time: optional("stime"),
            fair_node: task("se.run_node")?,
            fair_group: types.optional("sched_entity", "my_q").zip(types.optional("sched_entity", "run_node")),
            rt_node: optional("rt.run_list"),
            dl_node: optional("dl.rb_node"),
            ext_node: optional("scx.runnable_node"),
        })
    }

    /// The head of the list of `task`'s threads, and the member that links them.
    pub(crate) fn threads<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        task: VirtAddr,
    ) -> Result<(VirtAddr, Field), ReadError> {
        let signal = self.signal.read_pointer(memory, task)?;
        Ok((self.thread_head.address(signal), self.thread_node))
    }

    /// The stack pointer that was saved when the task was last scheduled out.
    pub(crate) fn saved_sp<M: ReadVirtual + ?Sized>(&self, memory: &M, task: VirtAddr) -> Result<VirtAddr, ReadError> {
        self.saved_sp.read_pointer(memory, task)
    }

    /// Reads the task at `address`.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(&self, memory: &M, address: VirtAddr) -> Result<Task, ReadError> {
        let read = |field: Field| field.read(memory, address);
        let optional = |field: Option<Field>| field.and_then(|field| field.read(memory, address).ok());
        let int = |field: Field| field.read_i32(memory, address);
        let pointer = |field: Field| field.read_pointer(memory, address);
        let (state, on_rq) = (read(self.state)?, read(self.on_rq)?);
        let is_set = |member| optional(member).is_some_and(|value| value != 0);
        let sleeps_queued = || self.sleeps_queued.into_iter().any(is_set);
        let comm = memory.read_c_string(self.comm.address(address), COMM_LEN)?;
        let parent = pointer(self.parent)?;
        let mm = pointer(self.mm)?;
        let (cpu, on_cpu) = self.place.read(memory, address)?;
        Ok(Task {
            address,
            pid: int(self.pid)?,
            tgid: int(self.tgid)?,
            ppid: self.tgid.read_i32(memory, parent).ok(),
            comm: String::from_utf8_lossy(&comm).into_owned(),
            state: TaskState { state, exit_state: read(self.exit_state)? },
            kernel_thread: read(self.flags)? & PF_KTHREAD != 0,
            cpu,
            on_cpu,
            on_rq,
            sleeps_queued: on_rq == 1 && state != 0 && sleeps_queued(),
            policy: Policy(read(self.policy)?),
            prio: int(self.prio)?,
            mm: (!mm.is_null()).then_some(mm),
            active_mm: pointer(self.active_mm).ok().filter(|mm| !mm.is_null()),
            stack: pointer(self.stack)?,
            last_arrival_ns: optional(self.last_arrival),
            last_queued_ns: optional(self.last_queued),
            exec_start_ns: optional(self.exec_start),
            accounting: Accounting {
                minor_faults: optional(self.minor_faults),
                user_ns: optional(self.user_time),
                system_ns: optional(self.system_time),
            },
        })
    }
}

/// What a task is charged for, of its whole life; `None` where the kernel does not keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// `min_flt`: page faults that were served without reading from a disk.
    pub minor_faults: Option<u64>,
    /// `utime`: time in user code, in nanoseconds (since 4.11, kernel commit 5613fda9a503). Mostly counted in ticks.
    pub user_ns: Option<u64>,
    /// `stime`: time in kernel code, in nanoseconds.
    pub system_ns: Option<u64>,
}

/// A task as it was when the machine stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The address of its `struct task_struct`.
    pub address: VirtAddr,
    /// Its thread id, in the initial PID namespace. 0 for every CPU's idle task.
    pub pid: i32,
    /// Its process id (that of the thread-group leader).
    pub tgid: i32,
    /// The process id of its parent; `None` where that could not be read.
    pub ppid: Option<i32>,
    /// Its name. Chosen by the process itself: untrusted, may hold control characters.
    pub comm: String,
    /// What it was doing.
    pub state: TaskState,
    /// Whether it has no user space (`PF_KTHREAD`).
    pub kernel_thread: bool,
    /// The CPU it runs or last ran on, or whose run queue it is in.
    pub cpu: u32,
    /// Whether a CPU was executing it.
    pub on_cpu: bool,
    /// `task_struct.on_rq`: 1 queued (`TASK_ON_RQ_QUEUED`), 2 migrating, 0 neither.
    pub on_rq: u64,
    /// Whether it sleeps though it is still queued: its dequeue is delayed until its turn
    /// comes (`se.sched_delayed`), or it waits for a mutex and lends its rank to the owner (proxy execution: `is_blocked`, `blocked_on`).
    pub sleeps_queued: bool,
    /// Its scheduling policy.
    pub policy: Policy,
    /// Its effective priority: below 0 deadline, 0 to 99 real-time, 100 to 139 fair.
    pub prio: i32,
    /// Its `struct mm_struct`; `None` for a kernel thread.
    pub mm: Option<VirtAddr>,
    /// The `mm_struct` whose page tables it uses, borrowed for a kernel thread.
    pub active_mm: Option<VirtAddr>,
    /// The lowest address of its kernel stack.
    pub stack: VirtAddr,
    /// When it was last given a CPU, by the run queue's clock (`sched_info.last_arrival`).
    pub last_arrival_ns: Option<u64>,
    /// When it last began to wait for a CPU, by the run queue's clock; 0 while it does not wait
    /// (`sched_info.last_queued`).
    pub last_queued_ns: Option<u64>,
    /// When the scheduler last accounted its run time, by the run queue's task clock (`se.exec_start`).
    pub exec_start_ns: Option<u64>,
    /// What it is charged for.
    pub accounting: Accounting,
}

/// Lower values of `task_struct.prio` are real-time and deadline (`include/linux/sched/prio.h`, `MAX_RT_PRIO`).
const MAX_RT_PRIO: i32 = 100;

impl Task {
    /// Whether it is of a class above the fair one by its effective priority: real-time or deadline.
    #[must_use]
    pub const fn is_above_fair(&self) -> bool {
        self.prio < MAX_RT_PRIO
    }

    /// Whether its effective priority is above the fair class though its policy is not: it was lent by a task that waits for an
    /// `rt_mutex` of this one (`rt_mutex_setprio` in `kernel/sched/core.c`).
    #[must_use]
    pub fn is_boosted(&self) -> bool {
        self.is_above_fair() && !self.policy.is_real_time() && self.policy != Policy::DEADLINE
    }

    /// Whether it has exited so far that the kernel has taken its stack back: a zombie of which only the `task_struct` is
    /// left (`kernel/fork.c`, `release_task_stack`).
    #[must_use]
    pub const fn has_no_stack(&self) -> bool {
        self.stack.get() == 0 && self.state.exit_state != 0
    }

    /// Whether it wants a CPU and waits for one: runnable, queued, not running.
    #[must_use]
    pub const fn waits_for_cpu(&self) -> bool {
        self.on_rq == 1 && !self.on_cpu && (self.state.is_running() || self.is_preempted_before_sleep())
    }

    /// Whether it is about to sleep, and lost its CPU to another task before it came to that: a task that is preempted
    /// stays queued whatever its state (`__schedule()` in `kernel/sched/core.c`). Since when it waits is noted of runnable
    /// tasks alone (`sched_info_depart()` in `kernel/sched/stats.h`): where it is, its state was something else.
    const fn is_preempted_before_sleep(&self) -> bool {
        let is_noted = !matches!(self.last_queued_ns, Some(0));
        self.on_rq == 1 && !self.on_cpu && self.state.exit_state == 0 && !self.sleeps_queued && !is_noted
    }

    /// Whether it sleeps and no signal can wake it ([`TaskState::is_uninterruptible`]).
    #[must_use]
    pub const fn sleeps_uninterruptibly(&self) -> bool {
        self.state.is_uninterruptible() && !self.waits_for_cpu()
    }
}

#[cfg(test)]
impl TaskLayout {
    /// A small `struct task_struct` for tests, with its members in the order of [`TaskLayout`].
    pub(crate) fn for_tests() -> Self {
        let word = |offset| Field { offset, size: 8 };
        let int = |offset| Field { offset, size: 4 };
        Self {
            tasks: Field { offset: 0x00, size: 16 },
            thread_node: Field { offset: 0x10, size: 16 },
            // In `struct signal_struct`.
            thread_head: Field { offset: 0x10, size: 16 },
            signal: word(0x20),
            pid: int(0x28),
            tgid: int(0x2c),
            parent: word(0x30),
            comm: Field { offset: 0x38, size: 16 },
            state: int(0x48),
            exit_state: int(0x4c),
            flags: int(0x50),
            place: PlaceLayout::for_tests(int(0x54), int(0x58)),
            on_rq: int(0x5c),
            sleeps_queued: [Some(int(0xa0)), None],
            policy: int(0x60),
            prio: int(0x64),
            mm: word(0x68),
            active_mm: word(0x70),
            stack: word(0x78),
            saved_sp: word(0x80),
            last_arrival: Some(word(0x88)),
            last_queued: Some(word(0x90)),
            exec_start: Some(word(0x98)),
            minor_faults: None,
            user_time: None,
            system_time: None,
            fair_node: Field { offset: 0xb0, size: 24 },
            // In `struct sched_entity`, whose first member is the node.
            fair_group: Some((word(0x40), Field { offset: 0, size: 24 })),
            rt_node: Some(Field { offset: 0xc8, size: 16 }),
            dl_node: Some(Field { offset: 0xd8, size: 24 }),
            ext_node: Some(Field { offset: 0xf0, size: 16 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const TASK: u64 = 0xffff_8880_0001_0000;

    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        memory.put(TASK, &[0; 0x100]);
        memory.put_u32(TASK + 0x28, 151);
        memory.put_u32(TASK + 0x2c, 147);
        memory.put_u64(TASK + 0x30, TASK + 0x1000);
        memory.put(TASK + 0x38, b"a name of 16 by+");
        memory.put_u32(TASK + 0x48, 0x402);
        memory.put_u32(TASK + 0x50, 0x0020_8040);
        memory.put_u32(TASK + 0x54, 3);
        memory.put_u32(TASK + 0x5c, 1);
        memory.put_u32(TASK + 0x60, 1);
        memory.put_u32(TASK + 0x64, (-1i32).cast_unsigned());
        memory.put_u64(TASK + 0x70, 0xffff_8880_0002_0000);
        memory.put_u64(TASK + 0x90, 5_000);
        memory
    }

    #[test]
    fn every_field_of_a_task() {
        let task = TaskLayout::for_tests().read(&memory(), VirtAddr::new(TASK)).unwrap();
        assert_eq!((task.pid, task.tgid, task.ppid), (151, 147, None), "the parent is not in memory");
        assert_eq!(task.comm, "a name of 16 by+", "a name may fill its room");
        assert_eq!(task.state.letter(), 'I');
        assert!(task.kernel_thread);
        assert_eq!((task.cpu, task.on_cpu, task.on_rq, task.prio), (3, false, 1, -1));
        assert_eq!(task.policy.name(), "SCHED_FIFO");
        assert!(task.is_above_fair());
        assert_eq!((task.mm, task.active_mm), (None, Some(VirtAddr::new(0xffff_8880_0002_0000))));
        assert_eq!((task.last_arrival_ns, task.last_queued_ns), (Some(0), Some(5_000)));
        assert!(!task.waits_for_cpu(), "since when it waits is noted of runnable tasks alone");
    }

    #[test]
    fn a_queued_task_may_sleep() {
        let mut memory = memory();
        memory.put_u32(TASK + 0x48, 2);
        memory.put_u64(TASK + 0x90, 0);
        let read = |memory: &TestMemory| TaskLayout::for_tests().read(memory, VirtAddr::new(TASK)).unwrap();
        let preempted = read(&memory);
        assert!(preempted.waits_for_cpu() && !preempted.sleeps_uninterruptibly());
        memory.put_u32(TASK + 0xa0, 1);
        let delayed = read(&memory);
        assert!(!delayed.waits_for_cpu() && delayed.sleeps_uninterruptibly());
    }

    #[test]
    fn a_runnable_task_off_its_cpu_waits() {
        let mut memory = memory();
        memory.put_u32(TASK + 0x48, 0);
        let read = |memory: &TestMemory| TaskLayout::for_tests().read(memory, VirtAddr::new(TASK)).unwrap();
        assert!(read(&memory).waits_for_cpu());
        memory.put_u32(TASK + 0x58, 1);
        assert!(!read(&memory).waits_for_cpu());
    }

    #[test]
    fn a_zombie_may_have_no_stack_any_more() {
        let mut memory = memory();
        let read = |memory: &TestMemory| TaskLayout::for_tests().read(memory, VirtAddr::new(TASK)).unwrap();
        memory.put_u64(TASK + 0x78, 0);
        assert!(!read(&memory).has_no_stack(), "a damaged pointer of a task that lives");
        memory.put_u32(TASK + 0x4c, 0x20);
        assert!(read(&memory).has_no_stack());
        memory.put_u64(TASK + 0x78, 0xffff_c900_0000_0000);
        assert!(!read(&memory).has_no_stack(), "its last switch is still to come");
    }

    #[test]
    fn what_an_old_kernel_does_not_keep_is_not_known() {
        let layout = TaskLayout { last_queued: None, ..TaskLayout::for_tests() };
        let task = layout.read(&memory(), VirtAddr::new(TASK)).unwrap();
        assert_eq!(task.last_queued_ns, None);
    }

    #[test]
    fn a_task_that_is_not_all_there_is_an_error() {
        let mut memory = TestMemory::default();
        memory.put(0xff0, &[0; 16]);
        assert!(TaskLayout::for_tests().read(&memory, VirtAddr::new(0xff0)).is_err());
    }
}
