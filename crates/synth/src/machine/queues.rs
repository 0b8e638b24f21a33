//! Run queues: the fair tree, the real-time lists, the deadline tree.

use vmcore_memory::VirtAddr;

use super::{Cpu, Machine};
use crate::SynthError;
use crate::arch::Target;

/// `MAX_RT_PRIO`, and one list more that ends the search.
const RT_LISTS: u64 = 100;
/// `RB_BLACK` in a node's parent word.
const BLACK: u64 = 1;

/// Who runs on a CPU and who waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pub(crate) current: VirtAddr,
    pub(crate) idle: VirtAddr,
    /// In the order of the tree.
    pub(crate) fair: Vec<VirtAddr>,
    /// With their priorities, 0 to 99.
    pub(crate) real_time: Vec<(VirtAddr, u64)>,
    pub(crate) deadline: Vec<VirtAddr>,
    /// The priority (`task_struct.prio`) of the current task, where that is a real one.
    pub(crate) busy: Option<i32>,
}

impl Queue {
    /// Whether the scheduler would have the current task give way: to one that outranks it, or to any of its own where all
    /// get their turn.
    pub(crate) fn asks_for_cpu(&self) -> bool {
        const FAIR: i32 = 120;
        let Some(current) = self.busy else { return false };
        let real_time = self.real_time.iter().filter_map(|(_, prio)| i32::try_from(*prio).ok());
        let deadline = self.deadline.iter().map(|_| -1);
        real_time.chain(deadline).any(|prio| prio < current) || (current == FAIR && !self.fair.is_empty())
    }
}

impl Machine<'_> {
    /// Writes a CPU's `struct rq`.
    pub(crate) fn write_queue(&mut self, cpu: &Cpu, clock_ns: u64, queue: &Queue) -> Result<(), SynthError> {
        let rq = self.percpu_variable("runqueues", cpu.offset)?;
        let waiting = (queue.fair.len() + queue.real_time.len() + queue.deadline.len()) as u64;
        for (path, value) in [
            ("curr", queue.current.get()),
            ("idle", queue.idle.get()),
            ("clock", clock_ns),
            ("clock_task", clock_ns),
            ("nr_running", waiting + u64::from(queue.busy.is_some())),
            ("cpu", cpu.number.into()),
        ] {
            self.put(rq, "rq", path, value)?;
        }
        self.write_tree(rq, "cfs.tasks_timeline", &queue.fair, "se.run_node")?;
        self.write_tree(rq, "dl.root", &queue.deadline, "dl.rb_node")?;
        self.write_lists(rq, &queue.real_time)?;
        if let (Target::Arm64(_), true) = (self.generation.target(), queue.asks_for_cpu()) {
            // `set_preempt_need_resched`: the word is inverted.
            self.put(queue.current, "task_struct", "thread_info.preempt.need_resched", 0)?;
        }
        self.set_current(cpu, queue.current)
    }

    fn write_lists(&mut self, rq: VirtAddr, tasks: &[(VirtAddr, u64)]) -> Result<(), SynthError> {
        let lists = self.member(rq, "rq", "rt.active.queue")?;
        for priority in 0..RT_LISTS {
            let mut nodes = vec![lists.wrapping_add(priority * 16)];
            for (task, _) in tasks.iter().filter(|(_, own)| *own == priority) {
                nodes.push(self.member(*task, "task_struct", "rt.run_list")?);
            }
            self.link(&nodes)?;
        }
        Ok(())
    }

    /// Makes a red-black tree of the tasks' members `path`, in their order.
    fn write_tree(&mut self, rq: VirtAddr, tree: &str, tasks: &[VirtAddr], path: &str) -> Result<(), SynthError> {
        let member = |task: &VirtAddr| self.member(*task, "task_struct", path);
        let nodes: Vec<_> = tasks.iter().map(member).collect::<Result<_, _>>()?;
        // All levels are full but the last: its nodes are red where there are any above.
        let black_levels = (nodes.len() + 1).ilog2();
        let root = self.write_subtree(&nodes, 0, black_levels)?;
        self.put(rq, "rq", &format!("{tree}.rb_root.rb_node"), root.get())?;
        self.put(rq, "rq", &format!("{tree}.rb_leftmost"), nodes.first().copied().unwrap_or_default().get())
    }

    /// Writes the middle node and what is on either side; `black` levels from here on are black.
    fn write_subtree(&mut self, nodes: &[VirtAddr], parent: u64, black: u32) -> Result<VirtAddr, SynthError> {
        let (left, rest) = nodes.split_at(nodes.len() / 2);
        let Some((node, right)) = rest.split_first() else { return Ok(VirtAddr::default()) };
        let is_black = black > 0 || parent == 0;
        let below = black.saturating_sub(1);
        let left = self.write_subtree(left, node.get(), below)?;
        let right = self.write_subtree(right, node.get(), below)?;
        self.space.write_u64(*node, parent | if is_black { BLACK } else { 0 })?;
        self.space.write_u64(node.wrapping_add(8), right.get())?;
        self.space.write_u64(node.wrapping_add(16), left.get())?;
        Ok(*node)
    }
}
