//! The preemption counts of x86-64's CPUs.
//!
//! Source: `arch/x86/include/asm/preempt.h`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::{Kernel, Source};

/// A CPU's preemption count: as wide as its kernel's, which has its flag in the highest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreemptCount {
    /// An `int`.
    Bits32(u32),
    /// An `unsigned long`: kernels with `CONFIG_HAS_SEPARATE_PREEMPT_RESCHED_BITS`, whose counts fill the lower half.
    Bits64(u64),
}

impl Kernel<'_> {
    /// The preemption count of a CPU and where it lies; `None` where it cannot be read, nothing tells how wide it is, or the
    /// architecture keeps it elsewhere.
    #[must_use]
    pub fn preempt_count(&self, cpu: u32) -> Option<(Source, PreemptCount)> {
        let (source, bytes) = self.hot_preempt_count(cpu).or_else(|| self.own_preempt_count(cpu))?;
        let count = match bytes {
            4 => PreemptCount::Bits32(self.memory().read_u32(source.address).ok()?),
            8 => PreemptCount::Bits64(self.memory().read_u64(source.address).ok()?),
            _ => return None,
        };
        Some((source, count))
    }

    /// In `struct pcpu_hot`, from kernel commit 64701838bf05 (6.2) to 46e8fff6d45f (6.15).
    fn hot_preempt_count(&self, cpu: u32) -> Option<(Source, u64)> {
        let (type_name, path) = ("pcpu_hot", "preempt_count");
        let member = self.vmlinux().types().member(type_name, path)?;
        let address: VirtAddr = self.percpu_symbol("pcpu_hot", cpu)?.checked_add(member.offset)?;
        Some((Source { type_name: Some(type_name), path, address }, member.size))
    }

    fn own_preempt_count(&self, cpu: u32) -> Option<(Source, u64)> {
        let path = "__preempt_count";
        let types = self.vmlinux().types();
        // BTF without any variable is that of a kernel up to 5.x, whose build left them all out (`--skip_encoding_btf_vars`): an `int`.
        let without_variables = || types.section_variables(".data..percpu").is_none().then_some(4);
        let bytes = types.variable_type_size(path).or_else(without_variables)?;
        Some((Source { type_name: None, path, address: self.percpu_symbol(path, cpu)? }, bytes))
    }
}
