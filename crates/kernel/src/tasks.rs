//! All tasks: from `init_task` along the list of thread-group leaders, each with the list of its threads, and the idle
//! tasks of all CPUs, which are on no list.

use std::collections::HashSet;

use rayon::prelude::*;
use vmcore_memory::VirtAddr;

use crate::list::list;
use crate::task::{Task, TaskLayout};
use crate::{Gap, Kernel};

/// `PID_MAX_LIMIT` on 64-bit machines.
const MAX_TASKS: usize = 4 << 20;
/// List elements that are followed in all: every task is on two lists. Damaged pointers can make many lists share one
/// tail, which would be walked again for each.
const MAX_STEPS: usize = 2 * MAX_TASKS;

pub(crate) fn read_all(kernel: &Kernel<'_>, layout: &TaskLayout, gaps: &mut Vec<Gap>) -> Vec<Task> {
    let mut addresses = Addresses { seen: HashSet::new(), tasks: Vec::new(), steps_left: MAX_STEPS };
    for cpu in kernel.percpu().cpus() {
        match kernel.idle_task(cpu) {
            Ok(task) => addresses.add(task),
            Err(error) => gaps.push(Gap::new(format!("idle task of CPU {cpu}"), error)),
        }
    }
    let idle = addresses.tasks.len();
    match kernel.symbol("init_task") {
        Some(init) => addresses.add_leaders(kernel, layout, init, gaps),
        None => gaps.push(Gap::new("task list", "vmlinux has no symbol init_task")),
    }
    let mut read = |addresses: &[VirtAddr]| -> Vec<Task> {
        let read: Vec<_> =
            addresses.par_iter().map(|&address| (address, layout.read(kernel.memory(), address))).collect();
        let mut tasks = Vec::with_capacity(addresses.len());
        for (address, task) in read {
            match task {
                Ok(task) => tasks.push(task),
                Err(error) => gaps.push(Gap::new(format!("task_struct at {address}"), error)),
            }
        }
        tasks
    };
    let (idle, others) = addresses.tasks.split_at(idle);
    let mut tasks = read(idle);
    let mut others = read(others);
    others.sort_by_key(|task| (task.pid, task.address));
    tasks.append(&mut others);
    tasks
}

/// Task addresses, each once, in the order found.
struct Addresses {
    seen: HashSet<VirtAddr>,
    tasks: Vec<VirtAddr>,
    steps_left: usize,
}

impl Addresses {
    fn add(&mut self, task: VirtAddr) {
        if self.seen.insert(task) {
            self.tasks.push(task);
        }
    }

    fn add_leaders(&mut self, kernel: &Kernel<'_>, layout: &TaskLayout, init: VirtAddr, gaps: &mut Vec<Gap>) {
        // `init_task` itself, the boot CPU's idle task, is the head of the list.
        let leaders = list(kernel.memory(), layout.tasks.address(init), MAX_TASKS, "task list");
        gaps.extend(leaders.gap);
        for node in leaders.nodes {
            let leader = layout.tasks.container(node);
            self.add(leader);
            self.add_threads(kernel, layout, leader, gaps);
        }
    }

    fn add_threads(&mut self, kernel: &Kernel<'_>, layout: &TaskLayout, leader: VirtAddr, gaps: &mut Vec<Gap>) {
        let memory = kernel.memory();
        let what = || format!("threads of the task at {leader}");
        match layout.threads(memory, leader) {
            Ok((head, member)) => {
                let threads = list(memory, head, self.steps_left.min(MAX_TASKS), &what());
                self.steps_left = self.steps_left.saturating_sub(threads.nodes.len());
                gaps.extend(threads.gap);
                threads.nodes.into_iter().for_each(|node| self.add(member.container(node)));
            }
            Err(error) => gaps.push(Gap::new(what(), error)),
        }
    }
}
