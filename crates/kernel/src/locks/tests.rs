//! Locks in memory written by hand: two tasks, each with a stack, and a lock.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::test_memory::{TestMemory, damaged_memory};
use crate::{Location, Policy, StackEnd, StackFrame, SymbolName, Task, TaskState, Trust};

const TASKS: [u64; 3] = [0xffff_8880_0001_0000, 0xffff_8880_0001_2000, 0xffff_8880_0001_4000];
const STACKS: [u64; 3] = [0xffff_c900_0001_0000, 0xffff_c900_0001_4000, 0xffff_c900_0001_8000];
const LOCK: u64 = 0xffff_8880_0002_0000;
/// Where the waiter of each task is, from the bottom of its stack.
const WAITER: u64 = 0x3040;

struct Known;

impl KnownTasks for Known {
    fn is_task(&self, address: VirtAddr) -> bool {
        TASKS.contains(&address.get())
    }

    fn on_stack_of(&self, task: VirtAddr, address: VirtAddr) -> bool {
        let stack = TASKS.iter().position(|known| *known == task.get()).map(|index| STACKS[index]);
        stack.is_some_and(|stack| (stack..stack + 0x4000).contains(&address.get()))
    }
}

fn layouts() -> LockLayouts {
    LockLayouts {
        mutex: Some(MutexLayout::for_tests()),
        rwsem: Some(RwSemLayout::for_tests(true)),
        semaphore: None,
        rt_mutex: Some(RtMutexLayout::for_tests()),
    }
}

fn task(index: usize) -> Task {
    Task {
        address: VirtAddr::new(TASKS[index]),
        pid: 100,
        tgid: 100,
        ppid: None,
        comm: String::new(),
        state: TaskState { state: 2, exit_state: 0 },
        kernel_thread: false,
        cpu: 0,
        on_cpu: false,
        on_rq: 0,
        sleeps_queued: false,
        policy: Policy(0),
        prio: 120,
        mm: None,
        active_mm: None,
        stack: VirtAddr::new(STACKS[index]),
        last_arrival_ns: None,
        last_queued_ns: None,
        exec_start_ns: None,
        accounting: crate::Accounting::default(),
    }
}

/// A stack with the waiter in the frame of `function`.
fn stack(index: usize, function: &str) -> Stack {
    let frame = |(depth, name): (u64, &str)| StackFrame {
        pc: VirtAddr::new(0xffff_ffff_8100_0000),
        sp: VirtAddr::new(STACKS[index] + 0x3000 + depth * 0x40),
        exact: false,
        trust: Trust::Orc,
        segment: None,
        location: Arc::new(Location {
            symbol: Some(SymbolName { name: name.to_owned(), offset: 0, module: None }),
            source: Vec::new(),
        }),
    };
    let frames = (0..).zip(["__schedule", function, "driver_write", "do_syscall_64"]).map(frame).collect();
    Stack { task: 0, frames, interrupts: Vec::new(), end: StackEnd::UserMode, error: None }
}

/// Links the nodes to a circle.
fn link(memory: &mut TestMemory, nodes: &[u64]) {
    for (index, node) in nodes.iter().enumerate() {
        let next = nodes[(index + 1) % nodes.len()];
        memory.put_u64(*node, next);
        memory.put_u64(next + 8, *node);
    }
}

fn waiter(index: usize) -> u64 {
    STACKS[index] + WAITER
}

/// Tasks 0 and 1 wait for a mutex that task 2 has.
fn mutex() -> TestMemory {
    let mut memory = TestMemory::default();
    memory.put_u64(LOCK, TASKS[2] | 1);
    link(&mut memory, &[LOCK + 16, waiter(0), waiter(1)]);
    memory.put_u64(waiter(0) + 16, TASKS[0]);
    memory.put_u64(waiter(1) + 16, TASKS[1]);
    memory
}

fn found(memory: &TestMemory, layouts: &LockLayouts, index: usize, function: &str) -> Option<LockWait> {
    Finder::for_tests(memory, layouts, &Known).wait(&task(index), &stack(index, function))
}

fn read(memory: &TestMemory, layouts: &LockLayouts, kind: LockKind) -> Option<Lock> {
    layouts.read(memory, &Known, kind, VirtAddr::new(LOCK))
}

fn names(lock: &Lock) -> Vec<u64> {
    lock.waiters.iter().map(|waiter| waiter.task.get()).collect()
}

#[test]
fn a_waiter_on_the_stack_leads_to_its_mutex_and_the_owner() {
    let (memory, layouts) = (mutex(), layouts());
    let wait = found(&memory, &layouts, 1, "__mutex_lock.constprop.0").unwrap();
    assert_eq!((wait.kind, wait.lock.get(), wait.shared), (LockKind::Mutex, LOCK, false));
    let Found::OnStack { function, waiter: at, names_task } = wait.found else { panic!("{:?}", wait.found) };
    assert_eq!(function, "__mutex_lock.constprop.0");
    assert_eq!((at.get(), names_task.address.get()), (waiter(1), waiter(1) + 16));
    let lock = read(&memory, &layouts, LockKind::Mutex).unwrap();
    assert_eq!(lock.owner, Owner::Task(VirtAddr::new(TASKS[2])));
    assert_eq!(names(&lock), TASKS[..2]);
    assert_eq!(lock.words[0].flags, ["MUTEX_FLAG_WAITERS"]);
}

#[test]
fn a_waiter_that_is_not_linked_or_not_on_its_own_stack_is_none() {
    let layouts = layouts();
    let mut memory = mutex();
    // The list goes from the waiter back to its head, but not from the head to the waiter.
    memory.put_u64(LOCK + 24, waiter(0));
    assert_eq!(found(&memory, &layouts, 1, "__mutex_lock"), None);
    let mut memory = mutex();
    // The other waiter names a task on whose stack it is not.
    memory.put_u64(waiter(0) + 16, TASKS[2]);
    assert_eq!(found(&memory, &layouts, 1, "__mutex_lock"), None);
}

#[test]
fn a_stale_waiter_of_a_mutex_without_waiters_is_none() {
    let mut memory = mutex();
    memory.put_u64(LOCK, TASKS[2]);
    assert_eq!(found(&memory, &layouts(), 0, "__mutex_lock"), None);
}

#[test]
fn a_task_that_sleeps_elsewhere_waits_for_no_lock() {
    assert_eq!(found(&mutex(), &layouts(), 0, "msleep"), None);
}

#[test]
fn an_owner_that_is_no_task_makes_no_mutex() {
    let mut memory = mutex();
    memory.put_u64(LOCK, 0xdead_0000 | 1);
    assert_eq!(found(&memory, &layouts(), 0, "__mutex_lock"), None);
    memory.put_u64(LOCK, 3);
    assert_eq!(read(&memory, &layouts(), LockKind::Mutex).unwrap().owner, Owner::Nobody);
}

/// As after an oops in a task that had it.
#[test]
fn an_owner_that_may_have_ended_is_not_known() {
    const GONE: u64 = 0xffff_8880_0bad_0040;
    let mut memory = mutex();
    memory.put_u64(LOCK, GONE | 1);
    assert_eq!(found(&memory, &layouts(), 0, "__mutex_lock"), None, "where no memory is");
    memory.put_u64(GONE, 0);
    assert_eq!(found(&memory, &layouts(), 0, "__mutex_lock").unwrap().lock.get(), LOCK);
    let owner = read(&memory, &layouts(), LockKind::Mutex).unwrap().owner;
    assert!(matches!(owner, Owner::Unknown(why) if why.contains("is no task that was found")));
}

#[test]
fn a_queue_without_a_head_is_found_by_the_locks_address_on_the_stack() {
    let layouts = LockLayouts { mutex: Some(MutexLayout::with_first_waiter()), ..layouts() };
    let mut memory = mutex();
    link(&mut memory, &[waiter(0), waiter(1)]);
    memory.put_u64(LOCK + 16, waiter(0));
    assert_eq!(found(&memory, &layouts, 1, "__mutex_lock"), None);
    memory.put_u64(STACKS[1] + 0x3080, LOCK);
    assert_eq!(found(&memory, &layouts, 1, "__mutex_lock").unwrap().lock.get(), LOCK);
    assert_eq!(names(&read(&memory, &layouts, LockKind::Mutex).unwrap()), TASKS[..2]);
}

#[test]
fn a_mutex_with_a_count_may_have_an_owner_that_is_not_recorded() {
    let layouts = LockLayouts { mutex: Some(MutexLayout::with_count()), ..layouts() };
    let mut memory = mutex();
    memory.put_u64(LOCK, TASKS[2]);
    memory.put_u32(LOCK + 32, u32::MAX);
    assert_eq!(read(&memory, &layouts, LockKind::Mutex).unwrap().owner, Owner::Task(VirtAddr::new(TASKS[2])));
    memory.put_u64(LOCK, 0);
    assert!(matches!(read(&memory, &layouts, LockKind::Mutex).unwrap().owner, Owner::Unknown(_)));
    memory.put_u32(LOCK + 32, 0);
    assert_eq!(read(&memory, &layouts, LockKind::Mutex), None);
}

/// Task 0 waits to write, task 1 to read; count and owner are given.
fn rwsem(count: u64, owner: u64) -> TestMemory {
    let mut memory = TestMemory::default();
    memory.put_u64(LOCK, count);
    memory.put_u64(LOCK + 8, owner);
    link(&mut memory, &[LOCK + 24, waiter(0), waiter(1)]);
    memory.put_u64(waiter(0) + 16, TASKS[0]);
    memory.put_u64(waiter(1) + 16, TASKS[1]);
    memory.put_u32(waiter(1) + 24, 1);
    memory
}

#[test]
fn a_semaphore_says_who_writes_or_how_many_read() {
    let owner = |count, owner| read(&rwsem(count, owner), &layouts(), LockKind::RwSemaphore).map(|lock| lock.owner);
    let last = Some(VirtAddr::new(TASKS[2]));
    assert_eq!(owner(0x3, TASKS[2]), Some(Owner::Task(VirtAddr::new(TASKS[2]))));
    assert_eq!(owner(0x302, TASKS[2] | 3), Some(Owner::Readers { count: Some(3), last }));
    assert_eq!(owner(0x102, 1), Some(Owner::Readers { count: Some(1), last: None }));
    // The owner still names a writer that has left: it is no reader.
    assert_eq!(owner(0x102, TASKS[2]), Some(Owner::Readers { count: Some(1), last: None }));
    assert_eq!(owner(0x6, 0), Some(Owner::Nobody));
    // The reader that came last may have exited since; a writer cannot.
    let exited = 0xffff_8880_0bad_0000;
    assert_eq!(owner(0x102, exited | 1), Some(Owner::Readers { count: Some(1), last: None }));
    assert_eq!(owner(0x2, exited | 1), Some(Owner::Nobody));
    assert_eq!(owner(0x3, exited), None);
    assert!(matches!(owner(0x3, 0), Some(Owner::Unknown(_))));
    // No waiters by the count, though somebody is linked.
    assert_eq!(owner(0x101, 1), None);
}

#[test]
fn a_semaphore_before_5_3_has_other_bits() {
    let layouts = LockLayouts { rwsem: Some(RwSemLayout::for_tests(false)), ..layouts() };
    let owner = |count, owner| read(&rwsem(count, owner), &layouts, LockKind::RwSemaphore).map(|lock| lock.owner);
    assert_eq!(owner(0xffff_fffe_0000_0001, TASKS[2]), Some(Owner::Task(VirtAddr::new(TASKS[2]))));
    assert_eq!(owner(0xffff_ffff_0000_0002, 1), Some(Owner::Readers { count: Some(2), last: None }));
    assert!(matches!(owner(0xffff_ffff_0000_0001, 0), Some(Owner::Unknown(_))));
    assert_eq!(owner(0x1, 1), None);
    // Frozen file systems have a writer that no task is, in bits that readers have as well.
    for unknown in [u64::MAX, u64::MAX - 1] {
        assert!(matches!(owner(0xffff_fffe_0000_0001, unknown), Some(Owner::Unknown(why)) if why.contains("frozen")));
    }
    assert_eq!(owner(0xffff_ffff_0000_0000, 1), Some(Owner::Nobody));
}

#[test]
fn readers_and_writers_are_told_apart() {
    let memory = rwsem(0x102, TASKS[2] | 1);
    let shared = |index, function| found(&memory, &layouts(), index, function).unwrap().shared;
    assert!(!shared(0, "rwsem_down_write_slowpath"));
    assert!(shared(1, "rwsem_down_read_slowpath"));
}

/// Task 0 waits for an `rt_mutex` of task 2.
fn rt_mutex() -> TestMemory {
    let mut memory = TestMemory::default();
    memory.put_u64(LOCK + 8, waiter(0));
    memory.put_u64(LOCK + 24, TASKS[2] | 1);
    memory.put_u64(waiter(0) + 48, TASKS[0]);
    memory.put_u64(waiter(0) + 56, LOCK);
    memory.put_u64(TASKS[0] + 0x100, waiter(0));
    memory
}

#[test]
fn an_rt_mutex_is_found_through_the_task() {
    let memory = rt_mutex();
    let wait = found(&memory, &layouts(), 0, "rt_mutex_slowlock").unwrap();
    assert_eq!((wait.kind, wait.lock.get()), (LockKind::RtMutex, LOCK));
    assert_eq!(wait.found, Found::Member { name: "pi_blocked_on", value: waiter(0) });
    let lock = read(&memory, &layouts(), LockKind::RtMutex).unwrap();
    assert_eq!((lock.owner.clone(), names(&lock)), (Owner::Task(VirtAddr::new(TASKS[2])), vec![TASKS[0]]));
}

#[test]
fn an_rt_waiter_of_another_task_or_lock_proves_nothing() {
    let mut memory = rt_mutex();
    memory.put_u64(waiter(0) + 48, TASKS[1]);
    assert_eq!(found(&memory, &layouts(), 0, "rt_mutex_slowlock"), None);
    let mut memory = rt_mutex();
    memory.put_u64(waiter(0) + 56, LOCK + 0x100);
    assert_eq!(found(&memory, &layouts(), 0, "rt_mutex_slowlock"), None);
}

proptest! {
    #[test]
    fn any_memory_is_survived(memory in damaged_memory(STACKS[0] + 0x2000..STACKS[0] + 0x4000), head: bool) {
        let mutex = if head { MutexLayout::for_tests() } else { MutexLayout::with_first_waiter() };
        let layouts = LockLayouts { mutex: Some(mutex), ..layouts() };
        for function in ["__mutex_lock", "down_write", "msleep"] {
            let _ = found(&memory, &layouts, 0, function);
        }
        for at in (STACKS[0] + 0x2000..STACKS[0] + 0x4000).step_by(0x100) {
            for kind in [LockKind::Mutex, LockKind::RwSemaphore, LockKind::RtMutex] {
                let _ = layouts.read(&memory, &Known, kind, VirtAddr::new(at));
            }
        }
    }
}
