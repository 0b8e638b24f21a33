//! Groups of tasks that are taken off their CPU's queue, and why.
//!
//! The count of a group that may not run is in its `cfs_rq` and in those of all groups below it (`tg_throttle_down()`). Whose limit it
//! is stands in the one whose own `throttled` is set. `openEuler`'s kernels (`CONFIG_QOS_SCHED`, `throttle_qos_cfs_rq()`) do the same to
//! groups that have no limit, for as long as a CPU has work of a higher rank.
//!
//! Source: `kernel/sched/fair.c`, `kernel/sched/sched.h`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::layout::{Field, Number, Resolver};

/// More task groups than nest in any machine.
const MAX_DEPTH: usize = 64;

/// Offsets in `struct task_struct`, `struct sched_entity` and `struct cfs_rq`.
pub(super) struct ThrottleLayout {
    entity: Option<Field>,
    queue: Option<Field>,
    parent: Option<Field>,
    count: Option<Field>,
    /// A bit-field since 6.18.
    own: Option<Number>,
    limited: Option<Field>,
    by_rank: Option<Field>,
    task: Option<Number>,
}

/// A task that may not run with its group: the `cfs_rq` that it is queued in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Throttled {
    /// Its bandwidth is used up.
    Bandwidth(VirtAddr),
    /// What has a higher rank runs.
    Rank(VirtAddr),
}

impl Throttled {
    pub(super) const fn by_bandwidth(self) -> Option<VirtAddr> {
        if let Self::Bandwidth(queue) = self { Some(queue) } else { None }
    }

    pub(super) const fn by_rank(self) -> Option<VirtAddr> {
        if let Self::Rank(queue) = self { Some(queue) } else { None }
    }
}

impl ThrottleLayout {
    pub(super) fn resolve(types: Resolver<'_>) -> Self {
        let queue = |path| types.optional("cfs_rq", path);
        Self {
            entity: types.optional("task_struct", "se"),
            queue: types.optional("sched_entity", "cfs_rq"),
            parent: types.optional("sched_entity", "parent"),
            count: queue("throttle_count"),
            own: types.number("cfs_rq", "throttled"),
            limited: queue("runtime_enabled"),
            by_rank: queue("qos_throttled_list"),
            task: types.number("task_struct", "throttled"),
        }
    }

    /// Whether, and why, the task may not run with its group.
    pub(super) fn of<M: ReadVirtual + ?Sized>(&self, memory: &M, task: VirtAddr) -> Option<Throttled> {
        let entity = self.entity?.address(task);
        let queue = self.queue?.read_pointer(memory, entity).ok().filter(|queue| !queue.is_null())?;
        let count = self.count.and_then(|count| count.read_i32(memory, queue).ok());
        // Since 6.18 a task of such a group runs on until it is back in user mode: then it is
        // taken off the queue by itself.
        let is_throttled = match self.task {
            Some(throttled) => throttled.read(memory, task).ok()? != 0,
            None => count? > 0,
        };
        let reason = if self.is_by_rank(memory, entity) { Throttled::Rank } else { Throttled::Bandwidth };
        is_throttled.then(|| reason(queue))
    }

    /// Whether the first group upwards that is throttled itself has no limit, or is on the list of those with a low rank.
    fn is_by_rank<M: ReadVirtual + ?Sized>(&self, memory: &M, mut entity: VirtAddr) -> bool {
        let (Some(queue), Some(parent), Some(own)) = (self.queue, self.parent, self.own) else { return false };
        let Some(by_rank) = self.by_rank else { return false };
        for _ in 0..MAX_DEPTH {
            let Ok(queue) = queue.read_pointer(memory, entity) else { return false };
            if own.read(memory, queue).is_ok_and(|throttled| throttled != 0) {
                let list = by_rank.address(queue);
                let is_listed = memory.read_pointer(list).is_ok_and(|next| !next.is_null() && next != list);
                let limited = self.limited.and_then(|limited| limited.read(memory, queue).ok());
                return is_listed || limited == Some(0);
            }
            match parent.read_pointer(memory, entity) {
                Ok(next) if !next.is_null() => entity = next,
                _ => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const TASK: VirtAddr = VirtAddr::new(0xffff_8880_0001_0000);
    const ENTITY: u64 = TASK.get() + 0x80;
    const GROUP: u64 = 0xffff_8880_0002_0000;
    const QUEUES: [u64; 2] = [0xffff_8880_0003_0000, 0xffff_8880_0004_0000];

    fn layout() -> ThrottleLayout {
        let at = |offset, size| Some(Field { offset, size });
        ThrottleLayout {
            entity: at(0x80, 0x40),
            queue: at(0, 8),
            parent: at(8, 8),
            count: at(0, 4),
            own: at(4, 4).map(|unit| Number::for_tests(unit, None)),
            limited: at(8, 4),
            by_rank: at(0x10, 16),
            task: None,
        }
    }

    /// A task in a group whose parent is throttled.
    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        memory.put_u64(ENTITY, QUEUES[0]);
        memory.put_u64(ENTITY + 8, GROUP);
        memory.put_u64(GROUP, QUEUES[1]);
        memory.put_u64(GROUP + 8, 0);
        for queue in QUEUES {
            memory.put_u32(queue, 1);
            memory.put_u32(queue + 4, 0);
            memory.put_u32(queue + 8, 1);
            memory.put_u64(queue + 0x10, queue + 0x10);
        }
        memory.put_u32(QUEUES[1] + 4, 1);
        memory
    }

    #[test]
    fn a_limit_that_is_used_up() {
        let queue = VirtAddr::new(QUEUES[0]);
        assert_eq!(layout().of(&memory(), TASK), Some(Throttled::Bandwidth(queue)));
        // Kernels without ranks have no such list.
        let mut unlimited = memory();
        unlimited.put_u32(QUEUES[1] + 8, 0);
        let plain = ThrottleLayout { by_rank: None, ..layout() };
        assert_eq!(plain.of(&unlimited, TASK), Some(Throttled::Bandwidth(queue)));
        let mut runs = memory();
        runs.put_u32(QUEUES[0], 0);
        assert_eq!(layout().of(&runs, TASK), None);
    }

    #[test]
    fn a_group_of_low_rank_has_no_limit_or_is_on_its_list() {
        let by_rank = Some(Throttled::Rank(VirtAddr::new(QUEUES[0])));
        let mut unlimited = memory();
        unlimited.put_u32(QUEUES[1] + 8, 0);
        assert_eq!(layout().of(&unlimited, TASK), by_rank);
        let mut listed = memory();
        listed.put_u64(QUEUES[1] + 0x10, 0xffff_8880_0005_0000);
        assert_eq!(layout().of(&listed, TASK), by_rank);
    }

    /// Since 6.18 it is one bit, and its neighbour, whether the group's clock stands still, another.
    #[test]
    fn a_group_whose_clock_stands_still_is_not_throttled_itself() {
        let own = Some(Number::for_tests(Field { offset: 4, size: 4 }, Some((0, 1))));
        let layout = ThrottleLayout { own, ..layout() };
        let mut memory = memory();
        memory.put_u32(QUEUES[0] + 4, 0b10);
        // It has no limit, but the group above it, which is throttled, has one.
        memory.put_u32(QUEUES[0] + 8, 0);
        assert_eq!(layout.of(&memory, TASK), Some(Throttled::Bandwidth(VirtAddr::new(QUEUES[0]))));
        memory.put_u32(QUEUES[0] + 4, 0b11);
        assert_eq!(layout.of(&memory, TASK), Some(Throttled::Rank(VirtAddr::new(QUEUES[0]))));
    }

    #[test]
    fn groups_that_lead_back_to_one_another_end() {
        let mut memory = memory();
        memory.put_u32(QUEUES[1] + 4, 0);
        memory.put_u64(GROUP + 8, GROUP);
        assert_eq!(layout().of(&memory, TASK), Some(Throttled::Bandwidth(VirtAddr::new(QUEUES[0]))));
    }
}
