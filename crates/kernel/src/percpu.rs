//! CPUs and their per-CPU areas.
//!
//! `__per_cpu_offset[cpu]` is added to a per-CPU symbol's address. Up to 6.14 such symbols are linked at 0; since then
//! (kernel commit 9d7de2aa8b41) they are ordinary image addresses that move with KASLR. A kernel for one CPU (without `CONFIG_SMP`)
//! has no such array: its per-CPU variables are ordinary ones in `.data`, and what it allocates per CPU is where the pointer says.
//!
//! Source: `include/asm-generic/percpu.h`, `mm/percpu.c`.

use std::collections::HashMap;

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::{Architecture, ReadError, ReadVirtual, VirtAddr};

use crate::cpumask::MAX_CPUS;
use crate::{CpuMask, Gap, KernelError};

/// The CPUs that may have run something, and where their per-CPU areas are.
#[derive(Clone, Debug, Default)]
pub struct PerCpu {
    /// Offsets by CPU number; `None` where it could not be read.
    offsets: Vec<(u32, Option<u64>)>,
    link_offset: u64,
    online: Vec<u32>,
    complete: bool,
}

impl PerCpu {
    /// Reads the CPU masks and offsets.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        memory: &M,
        vmlinux: &Vmlinux,
        kaslr_offset: u64,
        gaps: &mut Vec<Gap>,
    ) -> Result<Self, KernelError> {
        Ok(Self::read_from(memory, &Variables::resolve(vmlinux, kaslr_offset)?, gaps))
    }

    /// Whether the vmlinux says where CPUs have their variables.
    pub(crate) fn check(vmlinux: &Vmlinux) -> Result<(), KernelError> {
        Variables::resolve(vmlinux, 0).map(drop)
    }

    /// After a panic the stopped CPUs are not online any more, so all CPUs that were *present* count.
    fn read_from<M: ReadVirtual + ?Sized>(memory: &M, variables: &Variables, gaps: &mut Vec<Gap>) -> Self {
        let Some(array) = variables.offsets else {
            let (offsets, link_offset) = (vec![(0, Some(0))], variables.link_offset);
            return Self { offsets, link_offset, online: vec![0], complete: true };
        };
        let readable = variables.masks.iter().filter_map(|mask| mask.read(memory).ok());
        let masked = readable.into_iter().find(|cpus| !cpus.is_empty());
        let complete = masked.is_some();
        let present = masked.unwrap_or_else(|| {
            let cpus = cpus_with_areas(memory, array);
            let why = format!("none can be read; {} CPUs have a per-CPU area", cpus.len());
            gaps.push(Gap::new("CPU masks", why));
            cpus
        });
        let online = variables.online.and_then(|mask| mask.read(memory).ok()).unwrap_or_default();
        let offsets = present.into_iter().map(|cpu| {
            let offset = memory.read_u64(array.wrapping_add(u64::from(cpu) * 8));
            if let Err(error) = &offset {
                gaps.push(Gap::new(format!("per-CPU area of CPU {cpu}"), error));
            }
            (cpu, offset.ok())
        });
        Self { offsets: offsets.collect(), link_offset: variables.link_offset, online, complete }
    }

    /// The CPU numbers, ascending.
    pub fn cpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.offsets.iter().map(|(cpu, _)| *cpu)
    }

    /// Whether the kernel's own masks say which CPUs there are; otherwise some may be missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
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

/// The CPUs in the `struct cpumask` at `address`, each with its entry of `__per_cpu_offset`, where that can be read.
pub(crate) fn areas_in_mask<M: ReadVirtual + ?Sized>(
    memory: &M,
    address: VirtAddr,
    size: u64,
    offsets: VirtAddr,
) -> Vec<(u32, u64)> {
    let cpus = Mask { address, size }.read(memory).unwrap_or_default();
    let offset = |cpu: u32| memory.read_u64(offsets.wrapping_add(u64::from(cpu) * 8)).ok();
    cpus.into_iter().filter_map(|cpu| Some((cpu, offset(cpu)?))).collect()
}

/// Without masks: the CPUs whose entry of `__per_cpu_offset` no other CPU shares. The entries of CPUs that do not exist
/// all keep the value they were compiled with.
fn cpus_with_areas<M: ReadVirtual + ?Sized>(memory: &M, offsets: VirtAddr) -> Vec<u32> {
    let entry = |cpu: u32| memory.read_u64(offsets.wrapping_add(u64::from(cpu) * 8)).ok();
    let entries: Vec<(u32, u64)> = (0..MAX_CPUS).map_while(|cpu| Some((cpu, entry(cpu)?))).collect();
    let mut uses: HashMap<u64, u32> = HashMap::new();
    entries.iter().for_each(|(_, offset)| *uses.entry(*offset).or_default() += 1);
    let own = entries.iter().filter(|(_, offset)| offset >> 63 == 1 && uses.get(offset) == Some(&1));
    let own: Vec<u32> = own.map(|(cpu, _)| *cpu).collect();
    // Every machine has a first CPU; that it cannot be read is then said of it by its number.
    if own.is_empty() { vec![0] } else { own }
}

/// Functions by which CPUs call each other, which a kernel for one CPU has no use for (`kernel/smp.c`, `arch/x86/kernel/smp.c`).
const OF_MANY: [&str; 3] =
    ["generic_smp_call_function_single_interrupt", "native_smp_send_reschedule", "native_send_call_func_ipi"];

/// Where the kernel keeps its CPUs, by run-time addresses.
struct Variables {
    /// The mask to believe first comes first.
    masks: Vec<Mask>,
    online: Option<Mask>,
    /// `__per_cpu_offset`; `None` in a kernel for one CPU.
    offsets: Option<VirtAddr>,
    /// What to add to the address of a per-CPU symbol besides the CPU's offset.
    link_offset: u64,
}

impl Variables {
    fn resolve(vmlinux: &Vmlinux, kaslr_offset: u64) -> Result<Self, KernelError> {
        let symbols = vmlinux.symbols();
        let runtime = |name| symbols.address(name).map(|address| address.wrapping_add(kaslr_offset));
        // Kernels' own symbol tables have no sizes.
        let size = |name| symbols.size(name).or_else(|| vmlinux.types().size_of("cpumask"));
        let mask = |name| Some(Mask { address: runtime(name)?, size: size(name).unwrap_or(8) });
        // A kernel's own tables may not have the first.
        let linked = ["__per_cpu_start", "runqueues"].into_iter().find_map(|name| symbols.address(name));
        let linked_high = linked.is_some_and(VirtAddr::is_kernel_half);
        let offsets = runtime("__per_cpu_offset");
        // Modules may use that array, so it has a name, but in tables that leave out what no module uses. Where it is not, the variables
        // are in the image, as they are on arm64 in any kernel, and on x86-64 since 6.15: calls between CPUs tell.
        let is_for_many =
            vmlinux.architecture() == Architecture::Arm64 || OF_MANY.iter().any(|name| symbols.address(name).is_some());
        if offsets.is_none() && (!linked_high || is_for_many) {
            return Err(KernelError::MissingSymbol("__per_cpu_offset"));
        }
        Ok(Self {
            // Unlike the possible CPUs, the present ones leave out those that could have been plugged in but were not.
            masks: ["__cpu_present_mask", "__cpu_possible_mask", "__cpu_online_mask"]
                .into_iter()
                .filter_map(mask)
                .collect(),
            online: mask("__cpu_online_mask"),
            offsets,
            link_offset: if linked_high { kaslr_offset } else { 0 },
        })
    }
}

/// A `struct cpumask` of `size` bytes.
#[derive(Clone, Copy)]
struct Mask {
    address: VirtAddr,
    size: u64,
}

impl Mask {
    /// The CPUs whose bits are set.
    fn read<M: ReadVirtual + ?Sized>(self, memory: &M) -> Result<Vec<u32>, ReadError> {
        Ok(CpuMask::read(memory, self.address, self.size)?.cpus().collect())
    }
}

#[cfg(test)]
impl PerCpu {
    /// CPUs 0, 1, ... with these offsets.
    pub(crate) fn for_tests(offsets: &[u64]) -> Self {
        let offsets = (0..).zip(offsets).map(|(cpu, offset)| (cpu, Some(*offset))).collect();
        Self { offsets, link_offset: 0, online: Vec::new(), complete: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const PRESENT: Mask = Mask { address: VirtAddr::new(0x1000), size: 16 };
    const ONLINE: Mask = Mask { address: VirtAddr::new(0x2000), size: 16 };

    fn variables() -> Variables {
        Variables {
            masks: vec![PRESENT, ONLINE],
            online: Some(ONLINE),
            offsets: Some(VirtAddr::new(0x3000)),
            link_offset: 0x100,
        }
    }

    /// CPUs 0, 1 and 65, of which only CPU 1 is online.
    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        memory.put_u64(0x1000, 0b11);
        memory.put_u64(0x1008, 0b10);
        memory.put_u64(0x2000, 0b10);
        for cpu in 0..66 {
            memory.put_u64(0x3000 + cpu * 8, 0x10_0000 * (cpu + 1));
        }
        memory
    }

    fn read(memory: &TestMemory) -> (PerCpu, Vec<Gap>) {
        let mut gaps = Vec::new();
        (PerCpu::read_from(memory, &variables(), &mut gaps), gaps)
    }

    #[test]
    fn stopped_cpus_count() {
        let (percpu, gaps) = read(&memory());
        assert_eq!(gaps, []);
        assert_eq!(percpu.cpus().collect::<Vec<_>>(), [0, 1, 65]);
        assert_eq!([0, 1, 65].map(|cpu| percpu.is_online(cpu)), [false, true, false]);
    }

    /// The masks may say more: a kernel for one CPU has no more than the first.
    #[test]
    fn a_kernel_for_one_cpu_has_its_variables_where_they_are_linked() {
        let variables = Variables { offsets: None, ..variables() };
        let mut gaps = Vec::new();
        let percpu = PerCpu::read_from(&memory(), &variables, &mut gaps);
        assert_eq!(gaps, []);
        assert_eq!(percpu.cpus().collect::<Vec<_>>(), [0]);
        assert!(percpu.is_online(0) && percpu.is_complete());
        assert_eq!(percpu.address(VirtAddr::new(0x20), 0), Some(VirtAddr::new(0x120)), "moved with the image");
        assert_eq!(percpu.dereference(VirtAddr::new(0x20), 0), Some(VirtAddr::new(0x20)));
        assert_eq!(percpu.address(VirtAddr::new(0x20), 1), None);
    }

    /// One that only lacks the name of the array would be read at wrong addresses.
    #[test]
    fn a_kernel_for_many_cpus_is_not_taken_for_one_for_one() {
        let of = |symbols: &[(&'static str, u64)]| {
            let symbol = |&(name, address): &(&'static str, u64)| vmcore_debuginfo::PartSymbol {
                name: name.as_bytes(),
                letter: b'D',
                address: VirtAddr::new(address),
            };
            let symbols = symbols.iter().map(symbol).collect();
            let parts = vmcore_debuginfo::ImageParts { symbols, ..Default::default() };
            PerCpu::check(&Vmlinux::from_parts(&parts).unwrap())
        };
        let (low, high, array) = (0x2_0000, 0xffff_ffff_8200_0000, 0xffff_ffff_8210_0000);
        assert!(of(&[("runqueues", low)]).is_err());
        assert!(of(&[]).is_err());
        assert!(of(&[("runqueues", low), ("__per_cpu_offset", array)]).is_ok());
        assert!(of(&[("runqueues", high)]).is_ok());
        assert!(of(&[("runqueues", high), ("generic_smp_call_function_single_interrupt", high)]).is_err());
    }

    #[test]
    fn addresses_on_a_cpu() {
        let (percpu, _) = read(&memory());
        assert_eq!(percpu.offset(65), Some(0x10_0000 * 66));
        assert_eq!(percpu.cpu_of_offset(0x20_0000), Some(1));
        assert_eq!(percpu.cpu_of_offset(0x30_0000), None, "CPU 2 is not there");
        assert_eq!(percpu.address(VirtAddr::new(0x20), 1), Some(VirtAddr::new(0x20_0120)));
        assert_eq!(percpu.dereference(VirtAddr::new(0x20), 1), Some(VirtAddr::new(0x20_0020)));
        assert_eq!(percpu.address(VirtAddr::new(0x20), 2), None);
    }

    #[test]
    fn an_empty_or_unreadable_mask_is_passed_over() {
        let mut memory = memory();
        memory.put(0x1000, &[0; 16]);
        assert_eq!(read(&memory).0.cpus().collect::<Vec<_>>(), [1]);
        memory.remove_page(0x1000);
        assert_eq!(read(&memory).0.cpus().collect::<Vec<_>>(), [1]);
        memory.remove_page(0x2000);
        let (percpu, gaps) = read(&memory);
        assert_eq!(percpu.cpus().collect::<Vec<_>>(), [0]);
        assert_eq!(gaps.len(), 1);
    }

    #[test]
    fn a_cpu_without_an_area_is_a_gap() {
        let mut memory = memory();
        memory.remove_page(0x3000);
        let (percpu, gaps) = read(&memory);
        assert_eq!(percpu.offset(0), None);
        assert_eq!(gaps.len(), 3);
        assert_eq!(gaps[2].what, "per-CPU area of CPU 65");
    }
}
