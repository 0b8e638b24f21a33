//! CPUs and their per-CPU areas.
//!
//! `__per_cpu_offset[cpu]` is added to a per-CPU symbol's address. Up to 6.14 such symbols are linked at 0; since then
//! (kernel commit 9d7de2aa8b41) they are ordinary image addresses that move with KASLR.

use vmcore_debuginfo::SymbolTable;
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use crate::{Gap, KernelError};

/// More CPUs than any kernel is built for (`CONFIG_NR_CPUS` with `MAXSMP`).
const MAX_CPUS: u32 = 8192;

/// The CPUs that may have run something, and where their per-CPU areas are.
#[derive(Clone, Debug, Default)]
pub struct PerCpu {
    /// Offsets by CPU number; `None` where it could not be read.
    offsets: Vec<(u32, Option<u64>)>,
    link_offset: u64,
    online: Vec<u32>,
}

impl PerCpu {
    /// Reads the CPU masks and offsets. After a panic the stopped CPUs are not online any more, so all *possible* CPUs
    /// that have a per-CPU area count.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        memory: &M,
        symbols: &SymbolTable,
        kaslr_offset: u64,
        gaps: &mut Vec<Gap>,
    ) -> Result<Self, KernelError> {
        let runtime = |name| symbols.address(name).map(|address| address.wrapping_add(kaslr_offset));
        // `cpu_present_mask` leaves out the CPUs that could have been plugged in but were not.
        let present = ["__cpu_present_mask", "__cpu_possible_mask", "__cpu_online_mask"]
            .into_iter()
            .find_map(|name| read_mask(memory, runtime(name)?, symbols.size(name)).ok().filter(|cpus| !cpus.is_empty()))
            .unwrap_or_else(|| {
                gaps.push(Gap::new("CPU masks", "none of the kernel's CPU masks can be read; assuming one CPU"));
                vec![0]
            });
        let online = runtime("__cpu_online_mask")
            .and_then(|address| read_mask(memory, address, symbols.size("__cpu_online_mask")).ok())
            .unwrap_or_default();
        let table = runtime("__per_cpu_offset").ok_or(KernelError::MissingSymbol("__per_cpu_offset"))?;
        let offsets = present.into_iter().map(|cpu| {
            let offset = memory.read_u64(table.wrapping_add(u64::from(cpu) * 8));
            if let Err(error) = &offset {
                gaps.push(Gap::new(format!("per-CPU area of CPU {cpu}"), error));
            }
            (cpu, offset.ok())
        });
        let offsets = offsets.collect();
        let linked_high = symbols.address("__per_cpu_start").is_some_and(VirtAddr::is_kernel_half);
        Ok(Self { offsets, link_offset: if linked_high { kaslr_offset } else { 0 }, online })
    }

    /// The CPU numbers, ascending.
    pub fn cpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.offsets.iter().map(|(cpu, _)| *cpu)
    }

    /// Whether the CPU was online when the dump was taken. After a panic, stopped CPUs are not.
    #[must_use]
    pub fn is_online(&self, cpu: u32) -> bool {
        self.online.contains(&cpu)
    }

    /// `__per_cpu_offset[cpu]`.
    #[must_use]
    pub fn offset(&self, cpu: u32) -> Option<u64> {
        self.offsets.iter().find(|(known, _)| *known == cpu).and_then(|(_, offset)| *offset)
    }

    /// The CPU whose area has this offset: the value that GS holds while the CPU runs kernel code.
    #[must_use]
    pub fn cpu_of_offset(&self, offset: u64) -> Option<u32> {
        self.offsets.iter().find(|(_, known)| *known == Some(offset)).map(|(cpu, _)| *cpu)
    }

    /// The run-time address of a per-CPU variable from its link-time address.
    #[must_use]
    pub fn address(&self, link_address: VirtAddr, cpu: u32) -> Option<VirtAddr> {
        Some(link_address.wrapping_add(self.link_offset).wrapping_add(self.offset(cpu)?))
    }

    /// The address on one CPU of what a `__percpu` pointer (from `alloc_percpu`) points to.
    #[must_use]
    pub fn dereference(&self, percpu_pointer: VirtAddr, cpu: u32) -> Option<VirtAddr> {
        Some(percpu_pointer.wrapping_add(self.offset(cpu)?))
    }
}

/// The set bits of a `struct cpumask` of `size` bytes.
fn read_mask<M: ReadVirtual + ?Sized>(memory: &M, address: VirtAddr, size: Option<u64>) -> Result<Vec<u32>, ReadError> {
    let size = size.unwrap_or(8).clamp(1, u64::from(MAX_CPUS) / 8);
    let bytes = memory.read_bytes(address, size)?;
    let is_set = |cpu: &u32| bytes.get(*cpu as usize / 8).is_some_and(|byte| byte >> (cpu % 8) & 1 != 0);
    Ok((0..MAX_CPUS).filter(is_set).collect())
}
