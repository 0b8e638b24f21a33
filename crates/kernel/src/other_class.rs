//! A scheduling class besides Linux's own.

use vmcore_memory::VirtAddr;

use crate::Kernel;
use crate::layout::{Field, Resolver};

/// A class that some kernel has besides Linux's own, and that charges its tasks elsewhere than in `struct sched_entity`: the one for
/// offline work of `TencentOS` and `OpenCloudOS` (`CONFIG_BT_SCHED`, `kernel/sched/batch.c`). What `se` says of them is old, or 0.
pub(crate) struct OtherClass {
    member: Field,
    class: VirtAddr,
}

impl OtherClass {
    pub(crate) fn of(kernel: &Kernel<'_>) -> Option<Self> {
        let class = kernel.symbol("bt_sched_class")?;
        let member = Resolver::new(kernel.vmlinux().types()).optional("task_struct", "sched_class")?;
        Some(Self { member, class })
    }

    /// Whether a task is of it; also one of which that cannot be read.
    pub(crate) fn has(&self, kernel: &Kernel<'_>, task: VirtAddr) -> bool {
        self.member.read_pointer(kernel.memory(), task).map_or(true, |class| class == self.class)
    }
}
