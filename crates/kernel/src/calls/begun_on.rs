//! On which CPU a task began a call to many, where it may have been moved to another one since.
//!
//! Since 7.3, on kernels that preempt kernel code, `smp_call_function_many_cond()` waits with preemption on: the calls stay in the
//! `cfd_data` of the CPU on which it began, and other tasks may begin calls there. The CPUs that a task waits for are in a mask of its
//! own, `task_struct.ipi_mask`: a pointer to one, or, where all CPUs fit into a word, the mask itself. Where its calls are, only its
//! registers and stack say.
//!
//! Source: `kernel/smp.c`, `include/linux/sched.h` (`struct task_ipi_mask`).

use std::collections::HashSet;

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::Layout;
use crate::arch::general_registers;
use crate::cpumask::CpuMask;
use crate::{Cpu, Kernel, Snapshot, Task, words_between};

/// Calls of so many CPUs to so many others are looked for by their own addresses, too.
const MAX_ADDRESSES: usize = 1 << 16;

/// Where a task's calls to many are.
pub(super) enum BegunOn {
    /// In the data of this CPU; those of other targets than these, where that is known, are not the task's.
    Cpu(u32, Option<CpuMask>),
    /// Nothing says which CPU's.
    Unknown,
}

impl BegunOn {
    /// The CPU with the data of the call to `to`, if the task may wait for it.
    pub(super) fn with_call_to(&self, to: u32) -> Option<u32> {
        match self {
            Self::Cpu(cpu, targets) => targets.as_ref().is_none_or(|targets| targets.contains(to)).then_some(*cpu),
            Self::Unknown => None,
        }
    }
}

impl Kernel<'_> {
    /// Where the calls to many are of the task that runs on a CPU.
    pub(super) fn calls_begun_on(&self, layout: &Layout, snapshot: &Snapshot, from: u32) -> BegunOn {
        let Some(cpu) = snapshot.cpu(from) else { return BegunOn::Cpu(from, None) };
        let Some((field, task)) = layout.ipi_mask.zip(snapshot.current(cpu)) else { return BegunOn::Cpu(from, None) };
        let largest = snapshot.cpus.iter().map(|cpu| cpu.cpu).max().unwrap_or_default();
        let Some(targets) = self.own_mask(field.address(task.address), largest) else { return BegunOn::Unknown };
        let words = self.words_at_hand(cpu, task);
        let few = snapshot.cpus.len().saturating_mul(targets.cpus().count()) <= MAX_ADDRESSES;
        let addresses = |cpu: u32| {
            let calls = targets.cpus().filter(|_| few).filter_map(move |to| self.call_to_many(layout, cpu, to));
            self.percpu_symbol("cfd_data", cpu).into_iter().chain(calls)
        };
        match the_one_named(&words, snapshot.cpus.iter().map(|cpu| (cpu.cpu, addresses(cpu.cpu)))) {
            Some(cpu) => BegunOn::Cpu(cpu, Some(targets)),
            None => BegunOn::Unknown,
        }
    }

    /// The CPUs that a task waits for, by its own mask, whose word is at `at`.
    fn own_mask(&self, at: VirtAddr, largest: u32) -> Option<CpuMask> {
        // `struct static_key` begins with how often it was switched on.
        let is_word = self.memory().read_u32(self.symbol("ipi_mask_inlined")?).ok()? != 0;
        read_mask(self.memory(), at, is_word, largest)
    }

    /// The words in a CPU's registers and on the stack of the task that it runs.
    fn words_at_hand(&self, cpu: &Cpu, task: &Task) -> HashSet<VirtAddr> {
        let registers = cpu.registers.map(|known| known.registers);
        let stack = self.stack_layout.task_stack(task.stack);
        let words = stack.into_iter().flat_map(|stack| {
            // What is below the stack pointer is of calls before; and on another stack than the task's, all of this may be.
            let start = match registers.map(|registers| registers.sp()) {
                Some(sp) if stack.contains(sp) => sp,
                Some(_) => stack.high,
                None => stack.low,
            };
            let read = |at, chunk: &mut [u8]| self.memory().read_virtual(at, chunk).is_ok();
            words_between(start, stack.high, read)
        });
        let words = words.map(|(_, word)| word);
        words.chain(registers.iter().flat_map(general_registers)).map(VirtAddr::new).collect()
    }
}

/// The only CPU one of whose addresses is among these words: where several are, words of calls before are among them.
fn the_one_named<A: Iterator<Item = VirtAddr>>(
    words: &HashSet<VirtAddr>,
    cpus: impl Iterator<Item = (u32, A)>,
) -> Option<u32> {
    let is_named = |(cpu, mut addresses): (u32, A)| addresses.any(|at| words.contains(&at)).then_some(cpu);
    let mut named = cpus.filter_map(is_named);
    let first = named.next()?;
    named.next().is_none().then_some(first)
}

/// The mask whose word is at `at`: the mask itself, or a pointer to one with a bit for the CPU `largest`.
fn read_mask<M: ReadVirtual + ?Sized>(memory: &M, at: VirtAddr, is_word: bool, largest: u32) -> Option<CpuMask> {
    let mask = if is_word { at } else { memory.read_pointer(at).ok().filter(|mask| mask.is_kernel_half())? };
    let size = if is_word { 8 } else { (u64::from(largest) / 64 + 1) * 8 };
    CpuMask::read(memory, mask, size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const TASK_MASK: u64 = 0xffff_8880_0001_0900;
    const MASK: u64 = 0xffff_8880_0002_0000;
    /// `cfd_data` of CPU 0; that of others lies 0x1000 further, with the calls to others behind it.
    const DATA: u64 = 0xffff_8880_7f00_0000;

    fn cpu_named_by(words: &[u64]) -> Option<u32> {
        let words = words.iter().copied().map(VirtAddr::new).collect();
        let addresses = |cpu: u32| {
            let data = DATA + u64::from(cpu) * 0x1000;
            [data, data + 0x40, data + 0x80].into_iter().map(VirtAddr::new)
        };
        the_one_named(&words, (0..4).map(|cpu| (cpu, addresses(cpu))))
    }

    #[test]
    fn calls_are_where_registers_and_stack_say() {
        assert_eq!(cpu_named_by(&[1, DATA + 0x2000, 0x246]), Some(2), "its data");
        assert_eq!(cpu_named_by(&[1, DATA + 0x3080]), Some(3), "one of its calls");
        assert_eq!(cpu_named_by(&[DATA + 0x3080, DATA + 0x3000]), Some(3));
        assert_eq!(cpu_named_by(&[1, 0x246, DATA + 0x41]), None);
        assert_eq!(cpu_named_by(&[DATA, DATA + 0x1040]), None, "one of them is of a call before");
    }

    #[test]
    fn only_calls_to_cpus_that_the_task_waits_for_are_its_own() {
        let begun_on = BegunOn::Cpu(2, Some(CpuMask::of(&[1, 70])));
        assert_eq!([1, 3, 70].map(|to| begun_on.with_call_to(to)), [Some(2), None, Some(2)]);
        assert_eq!(BegunOn::Cpu(2, None).with_call_to(3), Some(2), "up to 7.2");
        assert_eq!(BegunOn::Unknown.with_call_to(3), None);
    }

    #[test]
    fn a_mask_is_a_word_or_elsewhere() {
        let mut memory = TestMemory::default();
        memory.put_u64(TASK_MASK, 0b1010);
        let cpus = |memory: &TestMemory, is_word| {
            let mask = read_mask(memory, VirtAddr::new(TASK_MASK), is_word, 70)?;
            Some(mask.cpus().collect::<Vec<_>>())
        };
        assert_eq!(cpus(&memory, true), Some(vec![1, 3]));
        assert_eq!(cpus(&memory, false), None, "no pointer");
        memory.put_u64(TASK_MASK, MASK);
        memory.put_u64(MASK, 1 << 5);
        memory.put_u64(MASK + 8, 1 << 6);
        assert_eq!(cpus(&memory, false), Some(vec![5, 70]));
    }
}
