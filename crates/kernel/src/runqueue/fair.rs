//! Fair tasks that wait: in a tree by their virtual time, those of a task group in a tree of its own.
//!
//! Some kernels of Alibaba Cloud and Anolis OS (`CONFIG_GROUP_IDENTITY`) have more places for entities that may run: a second tree for
//! those of low rank, and a list of those that may not share a core with what runs beside them now.
//!
//! Source: `kernel/sched/sched.h`, `struct cfs_rq`; `kernel/sched/fair.c`.

use std::collections::HashSet;

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::{Class, MAX_GROUPS, MAX_QUEUED, Queued, RunQueueReader};
use crate::layout::{Field, Resolver};
use crate::list::list;
use crate::{Gap, LayoutError};

/// Offsets in `struct cfs_rq`, and that of the CPU's own.
pub(super) struct FairLayout {
    /// `rq.cfs`.
    pub(super) queue: Field,
    pub(super) root: Field,
    /// The entity that runs, which is in no tree.
    pub(super) current: Option<Field>,
    /// `under_timeline`.
    pub(super) low_root: Option<Field>,
    /// `expel_list`, and the member of `struct sched_entity` that is in it.
    pub(super) expelled: Option<(Field, Field)>,
}

impl FairLayout {
    pub(super) fn resolve(types: Resolver<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            queue: types.field("rq", "cfs")?,
            // An `rb_root_cached` since 4.14.
            root: types.first(&[("cfs_rq", "tasks_timeline.rb_root.rb_node"), ("cfs_rq", "tasks_timeline.rb_node")])?,
            current: types.optional("cfs_rq", "curr"),
            low_root: types.optional("cfs_rq", "under_timeline.rb_root.rb_node"),
            expelled: types.optional("cfs_rq", "expel_list").zip(types.optional("sched_entity", "expel_node")),
        })
    }
}

/// Bounds the walk through the task groups of one run queue.
pub(super) struct Groups {
    /// The queues that were entered: groups that own each other would be walked for ever.
    seen: HashSet<VirtAddr>,
    /// How many more nodes are followed in all trees together: damaged ones may share theirs.
    nodes_left: usize,
}

impl Default for Groups {
    fn default() -> Self {
        Self { seen: HashSet::new(), nodes_left: MAX_QUEUED }
    }
}

impl<M: ReadVirtual + ?Sized> RunQueueReader<'_, M> {
    /// Who waits in the `struct cfs_rq` at `queue` and in those of its groups.
    pub(super) fn fair(
        &self,
        queue: VirtAddr,
        cpu: u32,
        groups: &mut Groups,
        queued: &mut Vec<Queued>,
        gaps: &mut Vec<Gap>,
    ) {
        if groups.seen.len() > MAX_GROUPS || !groups.seen.insert(queue) {
            gaps.push(Gap::new(format!("run queue of CPU {cpu}"), "task groups lead back to one another"));
            return;
        }
        for node in self.entities(queue, cpu, groups, gaps) {
            let member = self.task_layout.fair_node;
            if let Some(task) = self.task(member, node) {
                queued.push(Queued { task, class: Class::Fair });
            } else if let Some(group) = self.group(node) {
                self.fair(group, cpu, groups, queued, gaps);
            } else if let Some(task) = self.exiting(member, node, cpu) {
                queued.push(Queued { task, class: Class::Fair });
            }
        }
        if let Some(group) = self.current_group(queue) {
            self.fair(group, cpu, groups, queued, gaps);
        }
    }

    /// The tree nodes (`sched_entity.run_node`) of all entities that wait in this queue itself.
    fn entities(&self, queue: VirtAddr, cpu: u32, groups: &mut Groups, gaps: &mut Vec<Gap>) -> Vec<VirtAddr> {
        let layout = &self.layout.fair;
        let mut nodes = Vec::new();
        for root in std::iter::once(layout.root).chain(layout.low_root) {
            let found = self.tree(root.address(queue), cpu, groups.nodes_left, gaps);
            groups.nodes_left = groups.nodes_left.saturating_sub(found.len());
            nodes.extend(found);
        }
        let known: HashSet<_> = nodes.iter().copied().collect();
        // One that is in the list may still be in the tree.
        nodes.extend(self.expelled(queue, cpu, groups, gaps).into_iter().filter(|node| !known.contains(node)));
        nodes
    }

    /// The tree nodes of those in the list.
    fn expelled(&self, queue: VirtAddr, cpu: u32, groups: &mut Groups, gaps: &mut Vec<Gap>) -> Vec<VirtAddr> {
        let Some(((head, member), (_, run_node))) = self.layout.fair.expelled.zip(self.task_layout.fair_group) else {
            return Vec::new();
        };
        let head = head.address(queue);
        // Never set up where nobody may be expelled.
        if self.memory.read_pointer(head).is_ok_and(VirtAddr::is_null) {
            return Vec::new();
        }
        let what = format!("run queue of CPU {cpu}");
        let listed = self.nodes.bound(groups.nodes_left, |limit| list(self.memory, head, limit, &what));
        groups.nodes_left = groups.nodes_left.saturating_sub(listed.nodes.len());
        gaps.extend(listed.gap);
        listed.nodes.into_iter().map(|node| run_node.address(member.container(node))).collect()
    }

    /// The queue of the group that the current task is in: its entity is taken out of the tree for as long as one of its
    /// tasks runs, and the others wait in that queue (`set_next_entity()` in `kernel/sched/fair.c`).
    fn current_group(&self, queue: VirtAddr) -> Option<VirtAddr> {
        let (_, run_node) = self.task_layout.fair_group?;
        let entity = self.layout.fair.current?.read_pointer(self.memory, queue).ok()?;
        (!entity.is_null()).then(|| self.group(run_node.address(entity)))?
    }

    /// The `struct cfs_rq` that the group entity with its tree node here owns.
    fn group(&self, node: VirtAddr) -> Option<VirtAddr> {
        let (my_q, run_node) = self.task_layout.fair_group?;
        let group = my_q.read_pointer(self.memory, run_node.container(node)).ok()?;
        (!group.is_null()).then_some(group)
    }
}
