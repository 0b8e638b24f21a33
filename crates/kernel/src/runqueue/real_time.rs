//! Real-time tasks that wait: one list a priority, and the same again in each task group.
//!
//! With `CONFIG_RT_GROUP_SCHED` a group's entity is in the list of the highest priority that waits in it, and owns a
//! `struct rt_rq` with lists of its own. Other than in the fair class, who runs stays in its list, and so do its groups.
//!
//! Source: `kernel/sched/rt.c`, `__enqueue_rt_entity()`; `kernel/sched/sched.h`, `struct rt_prio_array`.

use std::collections::HashSet;

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::{Class, MAX_GROUPS, MAX_QUEUED, Queued, RunQueueReader};
use crate::Gap;
use crate::layout::{Field, Resolver};
use crate::list::list;

/// `MAX_RT_PRIO`.
pub(super) const PRIORITIES: u64 = 100;

/// Where real-time tasks can be grouped.
#[derive(Clone, Copy)]
pub(super) struct RealTimeGroup {
    /// `sched_rt_entity.run_list`.
    pub(super) node: Field,
    /// `sched_rt_entity.my_q`: the queue that a group's entity owns.
    pub(super) queue: Field,
    /// `rt_rq.active.queue`.
    pub(super) lists: Field,
}

impl RealTimeGroup {
    pub(super) fn resolve(types: Resolver<'_>) -> Option<Self> {
        Some(Self {
            node: types.optional("sched_rt_entity", "run_list")?,
            queue: types.optional("sched_rt_entity", "my_q")?,
            lists: types.optional("rt_rq", "active.queue")?,
        })
    }
}

impl<M: ReadVirtual + ?Sized> RunQueueReader<'_, M> {
    /// Who waits in the lists at `lists`, by priority, those in groups where their group stands.
    pub(super) fn real_time(
        &self,
        lists: VirtAddr,
        cpu: u32,
        seen: &mut HashSet<VirtAddr>,
        queued: &mut Vec<Queued>,
        gaps: &mut Vec<Gap>,
    ) {
        let Some(member) = self.task_layout.rt_node else { return };
        let what = format!("real-time queue of CPU {cpu}");
        if seen.len() > MAX_GROUPS || !seen.insert(lists) {
            gaps.push(Gap::new(what, "task groups lead back to one another"));
            return;
        }
        let mut damaged = Vec::new();
        for priority in 0..PRIORITIES {
            let head = lists.wrapping_add(priority * 16);
            let listed = self.nodes.bound(MAX_QUEUED, |limit| list(self.memory, head, limit, &what));
            for node in listed.nodes {
                if let Some(task) = self.task(member, node) {
                    queued.push(Queued { task, class: Class::RealTime });
                } else if let Some(lists) = self.real_time_group(node) {
                    self.real_time(lists, cpu, seen, queued, gaps);
                } else if let Some(task) = self.exiting(member, node, cpu) {
                    queued.push(Queued { task, class: Class::RealTime });
                }
            }
            damaged.extend(listed.gap);
        }
        // One priority that cannot be read hides no other; a whole page of them is one line.
        let more = damaged.len().saturating_sub(1);
        gaps.extend(damaged.into_iter().next().map(|first| match more {
            0 => first,
            _ => Gap::new(first.what, format!("{}; so are {more} more of {PRIORITIES} priorities", first.why)),
        }));
    }

    /// The lists of the group whose entity is at this node, if it is a group's.
    fn real_time_group(&self, node: VirtAddr) -> Option<VirtAddr> {
        let group = self.layout.rt_group?;
        let queue = group.queue.read_pointer(self.memory, group.node.container(node)).ok()?;
        queue.is_kernel_half().then(|| group.lists.address(queue))
    }
}
