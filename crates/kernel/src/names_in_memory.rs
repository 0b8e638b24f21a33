//! Where the names of tasks and of the machine stand in memory, for whoever wants to blot them out.

use std::ops::Range;

use vmcore_memory::{PhysAddr, VirtAddr};

use crate::layout::{Field, Resolver};
use crate::{Kernel, Snapshot};

impl Kernel<'_> {
    /// The bytes of every task's `task_struct.comm`. What cannot be translated is left out: then it is in no dump either.
    #[must_use]
    pub fn task_names(&self, snapshot: &Snapshot) -> Vec<Range<PhysAddr>> {
        let Some(comm) = Resolver::new(self.vmlinux().types()).optional("task_struct", "comm") else {
            return Vec::new();
        };
        snapshot.tasks.iter().flat_map(|task| self.bytes_of(comm, task.address)).collect()
    }

    /// The bytes of `init_uts_ns.name.nodename`, what `uname -n` prints, and of `domainname`.
    #[must_use]
    pub fn host_names(&self) -> Vec<Range<PhysAddr>> {
        let Some(namespace) = self.symbol("init_uts_ns") else { return Vec::new() };
        let types = Resolver::new(self.vmlinux().types());
        let fields = ["name.nodename", "name.domainname"].map(|path| types.optional("uts_namespace", path));
        fields.into_iter().flatten().flat_map(|field| self.bytes_of(field, namespace)).collect()
    }

    /// A member may cross from one page to another that is elsewhere in physical memory.
    fn bytes_of(&self, field: Field, object: VirtAddr) -> Vec<Range<PhysAddr>> {
        let start = field.address(object);
        let byte = |index| {
            let at = self.memory().translate(start.checked_add(index)?).ok()?;
            Some(at..at.checked_add(1)?)
        };
        (0..field.size.min(MAX_NAME)).filter_map(byte).collect()
    }
}

/// `__NEW_UTS_LEN + 1`.
const MAX_NAME: u64 = 65;
