//! All tasks: from `init_task` along the list of thread-group leaders, each with the list of its threads, and the idle
//! tasks of all CPUs, which are on no list.

use std::iter;

use rayon::prelude::*;
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::list::{Addresses as Set, Listed, beginning, list, long_list};
use crate::runqueue::RunQueue;
use crate::task::{Task, TaskLayout};
use crate::{Gap, Kernel};

/// `PID_MAX_LIMIT` on 64-bit machines.
const MAX_TASKS: usize = 4 << 20;
/// List elements that are followed in all: every task is on two lists. Damaged pointers can make many lists share one
/// tail, which would be walked again for each.
const MAX_STEPS: usize = 2 * MAX_TASKS;
/// Processes whose threads are listed at a time, on as many CPUs as there are; and how many threads of each then. Those of
/// one that has more are listed again, alone, so that how far damage is followed does not depend on the number of CPUs.
const AT_A_TIME: usize = 4096;
const FEW_THREADS: usize = 256;
/// Structures this near to each other come with one another when what lies around is read as well: systems read 128 KiB.
const NEAR: u64 = 64 << 10;

impl Kernel<'_> {
    /// All tasks, each CPU's idle task among them, ordered by process id, idle tasks first by CPU.
    #[must_use]
    pub fn tasks(&self, gaps: &mut Vec<Gap>) -> Vec<Task> {
        let mut idle = Vec::new();
        for cpu in self.percpu().cpus() {
            match self.idle_task(cpu) {
                Ok(task) => idle.push(task),
                Err(error) => gaps.push(Gap::new(format!("idle task of CPU {cpu}"), error)),
            }
        }
        let init = self.symbol("init_task");
        // One by one, a hundred thousand of them would take the slower disks a minute.
        read_from(self.memory(), &self.task_layout, &idle, init, &|| self.dump().read_around(), gaps)
    }
}

/// Adds the tasks that run or wait in `queues` and are on no task list, because they exit. `tasks` stay in their order.
pub(crate) fn add_exiting<M: ReadVirtual + ?Sized>(
    memory: &M,
    layout: &TaskLayout,
    queues: &[RunQueue],
    tasks: &mut Vec<Task>,
) {
    // Those of the queues are few: of a hundred thousand tasks no table is made.
    let mut missing: Set = queues.iter().flat_map(|queue| in_queue(queue).map(|(address, _)| address)).collect();
    tasks.iter().for_each(|task| {
        missing.remove(&task.address);
    });
    let listed = tasks.len();
    for queue in queues {
        for (address, on_cpu) in in_queue(queue) {
            if !missing.remove(&address) {
                continue;
            }
            // One that does not say that it is here is no task but a damaged pointer.
            let mut read = layout.read(memory, address).ok();
            layout.place.complete(read.as_mut_slice(), |task| task == queue.current);
            // Nor is one without a process id whose page is lost: only idle tasks have none.
            let is_task = |task: &Task| {
                let is_named = task.pid > 0 || task.address == queue.idle;
                is_named && task.on_cpu == on_cpu && task.cpu == queue.cpu && task.on_rq == 1
            };
            tasks.extend(read.filter(is_task));
        }
    }
    if tasks.len() > listed {
        // Stable: idle tasks stay by CPU.
        tasks.sort_by_key(|task| task.pid);
    }
}

/// The tasks of a queue, and whether each has the CPU.
fn in_queue(queue: &RunQueue) -> impl Iterator<Item = (VirtAddr, bool)> {
    iter::once((queue.current, true)).chain(queue.queued.iter().map(|queued| (queued.task, false)))
}

/// Whether most of them are close together, so that reading ahead pays.
fn lie_near(addresses: &[VirtAddr]) -> bool {
    let mut sorted: Vec<_> = addresses.iter().map(|address| address.get()).collect();
    sorted.sort_unstable();
    let near = sorted.windows(2).filter(|pair| matches!(pair, [one, next] if next - one <= NEAR)).count();
    near > 0 && near >= addresses.len() / 2
}

/// The idle tasks, and those on the list that goes through `init`. `dense` is called where there are many, near to each
/// other.
fn read_from<M: ReadVirtual + ?Sized>(
    memory: &M,
    layout: &TaskLayout,
    idle: &[VirtAddr],
    init: Option<VirtAddr>,
    dense: &dyn Fn(),
    gaps: &mut Vec<Gap>,
) -> Vec<Task> {
    let mut addresses = Addresses { seen: Set::default(), tasks: Vec::new(), steps_left: MAX_STEPS };
    idle.iter().for_each(|&task| addresses.add(task));
    let idle = addresses.tasks.len();
    match init {
        Some(init) => addresses.add_leaders(memory, layout, init, dense, gaps),
        None => gaps.push(Gap::new("task list", "vmlinux has no symbol init_task")),
    }
    let mut read = |addresses: &[VirtAddr]| -> Vec<Task> {
        let read = |&address: &VirtAddr| layout.read(memory, address).map_err(|error| (address, error));
        let read: Vec<_> = addresses.par_iter().map(read).collect();
        let or_gap = |task: Result<Task, _>| {
            task.map_err(|(address, error)| gaps.push(Gap::new(format!("task_struct at {address}"), error))).ok()
        };
        read.into_iter().filter_map(or_gap).collect()
    };
    let (idle, others) = addresses.tasks.split_at(idle);
    let mut tasks = read(idle);
    let mut others = read(others);
    gaps.extend(without_damaged(&mut others));
    others.par_sort_by_key(|task| (task.pid, task.address));
    tasks.append(&mut others);
    tasks
}

/// Takes out what is no task: only idle tasks have process id 0, and they are on no list. Its memory was overwritten, or is not
/// in the dump and reads as zeroes.
fn without_damaged(tasks: &mut Vec<Task>) -> Option<Gap> {
    let listed = tasks.len();
    let first = tasks.iter().find(|task| task.pid <= 0).map(|task| (task.address, task.pid));
    tasks.retain(|task| task.pid > 0);
    let (address, pid) = first?;
    let count = listed - tasks.len();
    Some(Gap::new(
        format!("task_struct at {address}"),
        format!("its process id is {pid}, which no task on a list has (tasks with such an id, all left out: {count})"),
    ))
}

/// Task addresses, each once, in the order found.
struct Addresses {
    seen: Set,
    tasks: Vec<VirtAddr>,
    steps_left: usize,
}

impl Addresses {
    fn add(&mut self, task: VirtAddr) {
        if self.seen.insert(task) {
            self.tasks.push(task);
        }
    }

    fn add_leaders<M: ReadVirtual + ?Sized>(
        &mut self,
        memory: &M,
        layout: &TaskLayout,
        init: VirtAddr,
        dense: &dyn Fn(),
        gaps: &mut Vec<Gap>,
    ) {
        // `init_task` itself, the boot CPU's idle task, is the head of the list.
        let head = layout.tasks.address(init);
        if lie_near(&beginning(memory, head)) {
            dense();
        }
        let leaders = long_list(memory, head, MAX_TASKS, "task list");
        gaps.extend(leaders.gap);
        self.seen.reserve(leaders.nodes.len());
        self.tasks.reserve(leaders.nodes.len());
        for nodes in leaders.nodes.chunks(AT_A_TIME) {
            let leaders = nodes.par_iter().map(|&node| {
                let leader = layout.tasks.container(node);
                (leader, Threads::of(memory, layout, leader, FEW_THREADS))
            });
            for (leader, threads) in leaders.collect::<Vec<_>>() {
                self.add(leader);
                if self.steps_left == 0 {
                    gaps.push(Gap::new("task list", "its lists of threads have no end"));
                    return;
                }
                let few = threads.walked < self.steps_left.min(FEW_THREADS);
                if !few && lie_near(&threads.tasks) {
                    dense();
                }
                let whole = || Threads::of(memory, layout, leader, self.steps_left.min(MAX_TASKS));
                let threads = if few { threads } else { whole() };
                self.steps_left = self.steps_left.saturating_sub(threads.walked);
                gaps.extend(threads.gap);
                threads.tasks.into_iter().for_each(|task| self.add(task));
            }
        }
    }
}

/// The threads of one process.
struct Threads {
    tasks: Vec<VirtAddr>,
    walked: usize,
    gap: Option<Gap>,
}

impl Threads {
    fn of<M: ReadVirtual + ?Sized>(memory: &M, layout: &TaskLayout, leader: VirtAddr, limit: usize) -> Self {
        let what = || format!("threads of the task at {leader}");
        match layout.threads(memory, leader) {
            Ok((head, member)) => {
                let Listed { nodes, gap } = list(memory, head, limit, &what());
                let tasks: Vec<_> = nodes.into_iter().map(|node| member.container(node)).collect();
                Self { walked: tasks.len(), tasks, gap }
            }
            Err(error) => Self { tasks: Vec::new(), walked: 0, gap: Some(Gap::new(what(), error)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runqueue::{Class, Queued};
    use crate::test_memory::TestMemory;

    /// `init_task`, another CPU's idle task, a leader with two more threads, a leader of its own.
    const INIT: u64 = 0x1_0000;
    const IDLE: u64 = 0x2_0000;
    const LEADER: u64 = 0x3_0000;
    const THREADS: [u64; 2] = [0x4_0000, 0x5_0000];
    const OTHER: u64 = 0x6_0000;

    /// Links `list_head`s to a circle.
    fn link(memory: &mut TestMemory, heads: &[u64]) {
        for (index, &head) in heads.iter().enumerate() {
            let next = heads[(index + 1) % heads.len()];
            memory.put_u64(head, next);
            memory.put_u64(next + 8, head);
        }
    }

    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        for (pid, task) in [(0, INIT), (0, IDLE), (30, LEADER), (32, THREADS[0]), (31, THREADS[1]), (20, OTHER)] {
            memory.put(task, &[0; 0x100]);
            memory.put_u32(task + 0x28, pid);
            // Each with a signal_struct behind it; threads use their leader's.
            memory.put_u64(task + 0x20, task + 0x1000);
        }
        link(&mut memory, &[INIT, LEADER, OTHER]);
        link(&mut memory, &[LEADER + 0x1010, LEADER + 0x10, THREADS[0] + 0x10, THREADS[1] + 0x10]);
        link(&mut memory, &[OTHER + 0x1010, OTHER + 0x10]);
        memory
    }

    fn read(memory: &TestMemory) -> (Vec<u64>, Vec<Gap>) {
        let mut gaps = Vec::new();
        let idle = [INIT, IDLE].map(VirtAddr::new);
        let init = Some(VirtAddr::new(INIT));
        let dense = || panic!("there are six");
        let tasks = read_from(memory, &TaskLayout::for_tests(), &idle, init, &dense, &mut gaps);
        (tasks.iter().map(|task| task.address.get()).collect(), gaps)
    }

    #[test]
    fn idle_tasks_first_then_all_threads_by_pid() {
        let (tasks, gaps) = read(&memory());
        assert_eq!(gaps, []);
        assert_eq!(tasks, [INIT, IDLE, OTHER, LEADER, THREADS[1], THREADS[0]]);
    }

    #[test]
    fn tasks_that_exit_are_found_in_the_run_queues() {
        const EXITING: u64 = 0x7_0000;
        const DAMAGED: u64 = 0x8_0000;
        let mut memory = memory();
        // The page with its process id is lost.
        const HALF_LOST: u64 = 0x9_0000;
        for (task, pid, on_cpu) in [(EXITING, 25, 0), (DAMAGED, 0x1234, 7), (HALF_LOST, 0, 0)] {
            memory.put(task, &[0; 0x100]);
            memory.put_u32(task + 0x28, pid);
            memory.put_u32(task + 0x58, on_cpu);
            memory.put_u32(task + 0x5c, 1);
        }
        let layout = TaskLayout::for_tests();
        let mut tasks: Vec<_> =
            [INIT, IDLE, OTHER, LEADER].map(|task| layout.read(&memory, VirtAddr::new(task)).unwrap()).into();
        let waiting = |task| Queued { task: VirtAddr::new(task), class: Class::Fair };
        let queue = RunQueue {
            cpu: 0,
            address: VirtAddr::default(),
            current: VirtAddr::new(LEADER),
            idle: VirtAddr::new(INIT),
            clock_ns: 0,
            task_clock_ns: None,
            nr_running: 3,
            servers: 0,
            online: Some(true),
            queued: [OTHER, EXITING, DAMAGED, HALF_LOST, 0xdead_0000].map(waiting).into(),
        };
        add_exiting(&memory, &layout, &[queue], &mut tasks);
        let found: Vec<_> = tasks.iter().map(|task| task.address.get()).collect();
        assert_eq!(found, [INIT, IDLE, OTHER, EXITING, LEADER]);
    }

    #[test]
    fn a_broken_thread_list_costs_no_other_process() {
        let mut memory = memory();
        memory.remove_page(LEADER + 0x1000);
        let (tasks, gaps) = read(&memory);
        assert_eq!(tasks, [INIT, IDLE, OTHER, LEADER]);
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].what, "threads of the task at 0x30000");
    }

    #[test]
    fn many_tasks_near_each_other_are_read_with_what_lies_around() {
        let told = |leaders: u64, threads: u64, apart: u64| {
            let mut memory = TestMemory::default();
            let place = |number: u64| 0x10_0000 + number * apart;
            let all: Vec<_> = (0..=leaders + threads).map(place).collect();
            for &task in &all {
                memory.put(task, &[0; 0x100]);
                memory.put_u32(task + 0x28, 1);
                memory.put_u64(task + 0x20, all[0] + 0x800);
            }
            let leaders = usize::try_from(leaders).unwrap();
            link(&mut memory, &all[..=leaders]);
            let threads: Vec<_> = all[leaders + 1..].iter().map(|task| task + 0x10).collect();
            link(&mut memory, &[&[all[0] + 0x810], threads.as_slice()].concat());
            let told = std::cell::Cell::new(false);
            let init = Some(VirtAddr::new(all[0]));
            read_from(&memory, &TaskLayout::for_tests(), &[], init, &|| told.set(true), &mut Vec::new());
            told.get()
        };
        assert!(told(2000, 0, 0x4000));
        assert!(!told(2000, 0, 0x10_0000), "each has nothing but foreign memory around it");
        assert!(!told(500, 0, 0x4000), "they are few");
        assert!(told(1, 300, 0x4000), "threads of one process");
        assert!(!told(1, 300, 0x10_0000));
    }

    #[test]
    fn a_lost_task_is_passed_from_the_other_side() {
        let mut memory = memory();
        memory.remove_page(LEADER);
        let (tasks, gaps) = read(&memory);
        assert_eq!(tasks, [INIT, IDLE, OTHER]);
        assert_eq!(gaps.len(), 1);
    }
    #[test]
    fn what_has_no_process_id_is_no_task() {
        let mut memory = memory();
        memory.put_u32(LEADER + 0x28, 0);
        memory.put_u32(THREADS[0] + 0x28, 0);
        let (tasks, gaps) = read(&memory);
        assert_eq!(tasks, [INIT, IDLE, OTHER, THREADS[1]]);
        let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
        assert_eq!(gap.what, "task_struct at 0x30000");
        assert!(gap.why.ends_with("all left out: 2)"), "{}", gap.why);
    }
}
