//! Variables that nothing names, found through code that uses them and proven by what is in them.
//!
//! | variable | proof |
//! |---|---|
//! | `runqueues` | on each CPU, `rq.cpu` is its number and `rq.idle` a task called `swapper/` |
//! | `irq_stack_ptr` | on each CPU, a stack of its own: of one size, aligned to it, all of it mapped |
//! | `modules` | a list whose entries are modules: `mkobj.mod` of each points back to it |
//!
//! What has no proof is not believed: the function may mention anything. The number of CPUs counts: of one CPU many
//! things could be true by chance, so what is proven there is so by a name or a pointer, not by a number.
//!
//! Source: `kernel/sched/sched.h` (`cpu_rq`), `arch/arm64/kernel/entry.S` (`irq_stack_entry`), `kernel/module/main.c`.

use vmcore_debuginfo::Types;
use vmcore_memory::{PAGE_SHIFT, PAGE_SIZE, ReadVirtual, VirtAddr};

use crate::address_space::AddressSpace;
use crate::layout::Resolver;
use crate::list::list;
use crate::stacks::usual_thread_size;

/// A variable that is looked for so.
pub(super) struct Wanted {
    pub(super) name: &'static str,
    /// Functions that use it, by the names that kernels have had for them.
    pub(super) functions: &'static [&'static str],
    proof: Proof,
}

/// What has to hold of a variable.
#[derive(Clone, Copy)]
enum Proof {
    RunQueues,
    InterruptStacks,
    ListOfModules,
}

pub(super) const WANTED: [Wanted; 3] = [
    Wanted {
        name: "runqueues",
        functions: &["idle_cpu", "idle_task", "resched_cpu", "wake_up_if_idle", "nr_iowait_cpu"],
        proof: Proof::RunQueues,
    },
    // Since 5.11 BTF names it, and C code uses it.
    Wanted { name: "irq_stack_ptr", functions: &["el1_irq", "el0_irq"], proof: Proof::InterruptStacks },
    Wanted {
        name: "modules",
        functions: &["find_module_all", "print_modules", "find_module"],
        proof: Proof::ListOfModules,
    },
];

/// More modules than any machine loads.
const MAX_MODULES: usize = 10_000;
/// `TASK_COMM_LEN`, and what idle tasks are called.
const COMM_LEN: usize = 16;
const IDLE: &[u8] = b"swapper/";

/// What proofs are made of.
pub(super) struct Evidence<'a> {
    memory: &'a AddressSpace<'a>,
    types: Resolver<'a>,
    /// The CPUs, with what is added to the address of a per-CPU variable.
    cpus: &'a [(u32, u64)],
}

impl<'a> Evidence<'a> {
    pub(super) const fn new(memory: &'a AddressSpace<'a>, types: &'a Types, cpus: &'a [(u32, u64)]) -> Self {
        Self { memory, types: Resolver::new(types), cpus }
    }

    /// The first of `candidates`, run-time addresses, that is proven to be the variable.
    pub(super) fn find(&self, wanted: &Wanted, candidates: impl IntoIterator<Item = VirtAddr>) -> Option<VirtAddr> {
        let holds = |candidate: &VirtAddr| match wanted.proof {
            Proof::RunQueues => self.are_run_queues(*candidate),
            Proof::InterruptStacks => self.are_interrupt_stacks(*candidate),
            Proof::ListOfModules => self.is_list_of_modules(*candidate),
        };
        candidates.into_iter().find(|candidate| holds(candidate) == Some(true))
    }

    fn on_each_cpu(&self, variable: VirtAddr, holds: impl Fn(u32, VirtAddr) -> Option<bool>) -> bool {
        let holds = |&(cpu, offset): &(u32, u64)| holds(cpu, variable.wrapping_add(offset)) == Some(true);
        !self.cpus.is_empty() && self.cpus.iter().all(holds)
    }

    fn are_run_queues(&self, candidate: VirtAddr) -> Option<bool> {
        let of_queue = |path| self.types.optional("rq", path);
        let (number, idle) = (of_queue("cpu")?, of_queue("idle")?);
        let name = self.types.optional("task_struct", "comm")?;
        let holds = |cpu: u32, queue: VirtAddr| {
            let task = idle.read_pointer(self.memory, queue).ok()?;
            let comm = self.memory.read_c_string(name.address(task), COMM_LEN).ok()?;
            Some(comm.starts_with(IDLE) && number.read(self.memory, queue).ok()? == u64::from(cpu))
        };
        Some(self.on_each_cpu(candidate, holds))
    }

    fn are_interrupt_stacks(&self, candidate: VirtAddr) -> Option<bool> {
        let page_shift = self.memory.tables().map_or(PAGE_SHIFT, |tables| tables.format.page_shift());
        let size = usual_thread_size(1 << page_shift);
        let stack = |offset: u64| self.memory.read_pointer(candidate.wrapping_add(offset)).ok();
        let mut stacks: Vec<_> = self.cpus.iter().map(|&(_, offset)| stack(offset)).collect::<Option<_>>()?;
        let is_stack = |low: &VirtAddr| {
            let mut pages = (0..size).step_by(usize::try_from(PAGE_SIZE).unwrap_or(1));
            low.is_kernel_half()
                && low.get().is_multiple_of(size)
                && pages.all(|offset| self.memory.translate(low.wrapping_add(offset)).is_ok())
        };
        let each_is_one = stacks.iter().all(is_stack);
        stacks.sort_unstable();
        stacks.dedup();
        Some(each_is_one && !stacks.is_empty() && stacks.len() == self.cpus.len())
    }

    fn is_list_of_modules(&self, candidate: VirtAddr) -> Option<bool> {
        let of_module = |path| self.types.optional("module", path);
        let (link, back) = (of_module("list")?, of_module("mkobj.mod")?);
        let listed = list(self.memory, candidate, MAX_MODULES, "module list");
        let is_module = |entry: VirtAddr| {
            let module = link.container(entry);
            back.read_pointer(self.memory, module) == Ok(module)
        };
        // An empty list could be any.
        Some(listed.gap.is_none() && !listed.nodes.is_empty() && listed.nodes.into_iter().all(is_module))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_space::Image;
    use crate::test_memory::TestMemory;

    const BASE: u64 = 0xffff_8000_0100_0000;
    /// What is added to the address of a per-CPU variable.
    const CPUS: [(u32, u64); 2] = [(0, 0x10_0000), (1, 0x20_0000)];
    const QUEUES: u64 = BASE + 0x1000;
    const STACKS: u64 = BASE + 0x2000;
    const MODULES: u64 = BASE + 0x3000;

    /// `rq` with `cpu` and `idle`, `task_struct` with `comm`, `module` with `list` and `mkobj.mod`, all in this order.
    fn types() -> Types {
        let mut strings = vec![0];
        let mut name = |text: &str| {
            let at = u32::try_from(strings.len()).unwrap();
            strings.extend(text.bytes().chain([0]));
            at
        };
        let (int, pointer, kobject, head) = (1, 2, 3, 4);
        let mut types = vec![name("int"), 1 << 24, 4, 32, 0, 2 << 24, 0];
        let mut structure = |tag: &str, size: u32, members: &[(&str, u32, u32)]| {
            types.extend([name(tag), 4 << 24 | u32::try_from(members.len()).unwrap(), size]);
            members.iter().for_each(|(member, of, offset)| types.extend([name(member), *of, offset * 8]));
        };
        structure("module_kobject", 16, &[("mod", pointer, 8)]);
        structure("list_head", 16, &[("next", pointer, 0), ("prev", pointer, 8)]);
        structure("rq", 32, &[("cpu", int, 4), ("idle", pointer, 16)]);
        structure("task_struct", 64, &[("comm", int, 32)]);
        structure("module", 64, &[("list", head, 8), ("mkobj", kobject, 32)]);
        let lengths = (u32::try_from(types.len() * 4).unwrap(), u32::try_from(strings.len()).unwrap());
        let words = [0x0001_eb9f, 24, 0, lengths.0, lengths.0, lengths.1].into_iter().chain(types);
        Types::from_btf(words.flat_map(u32::to_le_bytes).chain(strings).collect()).unwrap()
    }

    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        for (cpu, offset) in CPUS {
            let task = BASE + 0x40_0000 + u64::from(cpu) * 0x100;
            memory.put_u32(QUEUES + offset + 4, cpu);
            memory.put_u64(QUEUES + offset + 16, task);
            memory.put(task + 32, format!("swapper/{cpu}").as_bytes());
            let stack = BASE + 0x50_0000 + u64::from(cpu) * 0x8000;
            memory.put_u64(STACKS + offset, stack);
            (0..4).for_each(|page| memory.put_u64(stack + page * PAGE_SIZE, 1));
        }
        let modules = [BASE + 0x60_0000, BASE + 0x60_0100];
        let links = [MODULES, modules[0] + 8, modules[1] + 8];
        for (link, next) in links.into_iter().zip(links.into_iter().cycle().skip(1)) {
            memory.put_u64(link, next);
            memory.put_u64(next + 8, link);
        }
        modules.into_iter().for_each(|module| memory.put_u64(module + 32 + 8, module));
        memory
    }

    fn found(memory: &TestMemory, index: usize, candidate: u64) -> bool {
        let range = BASE..BASE + 0x100_0000;
        let space = AddressSpace::new(memory, Image { range, to_physical: 0 });
        let types = types();
        let evidence = Evidence::new(&space, &types, &CPUS);
        evidence.find(&WANTED[index], [VirtAddr::new(BASE + 0x70_0000), VirtAddr::new(candidate)]).is_some()
    }

    #[test]
    fn what_is_in_them_proves_them() {
        let names = WANTED.map(|wanted| wanted.name);
        assert_eq!(names, ["runqueues", "irq_stack_ptr", "modules"]);
        for (index, place) in [QUEUES, STACKS, MODULES].into_iter().enumerate() {
            assert!(found(&memory(), index, place), "{}", names[index]);
            assert!(!found(&memory(), index, place + 8), "{}", names[index]);
        }
    }

    #[test]
    fn each_part_of_a_proof_counts() {
        let change = |index, place, address, value| {
            let mut memory = memory();
            memory.put_u64(address, value);
            found(&memory, index, place)
        };
        let second = CPUS[1].1;
        // Another CPU's number, another name, one stack for two CPUs, a stack that begins anywhere.
        assert!(!change(0, QUEUES, QUEUES + second, 5 << 32));
        assert!(!change(0, QUEUES, BASE + 0x40_0120, u64::from_le_bytes(*b"kthreadd")));
        assert!(!change(1, STACKS, STACKS + second, BASE + 0x50_0000));
        assert!(!change(1, STACKS, STACKS + second, BASE + 0x50_8010));
        // A module that points elsewhere, a list that is broken, or empty.
        assert!(!change(2, MODULES, BASE + 0x60_0128, BASE));
        assert!(!change(2, MODULES, BASE + 0x60_0108, BASE));
        assert!(!change(2, MODULES, MODULES, MODULES));
    }
}
