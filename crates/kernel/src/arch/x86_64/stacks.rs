//! The bounds of each CPU's stacks on x86-64, besides those of its tasks.
//!
//! Hard interrupts run on a stack whose top is in the per-CPU variable `hardirq_stack_ptr`. NMI, double fault, debug,
//! machine-check and VMM-communication exceptions have stacks in `struct cea_exception_stacks`, which the per-CPU
//! `cea_exception_stacks` points to, separated by guard pages. The entry code starts on `cpu_entry_area.entry_stack_page`.
//!
//! Source: `arch/x86/include/asm/cpu_entry_area.h`, `arch/x86/kernel/irq_64.c`.

use vmcore_debuginfo::SymbolTable;
use vmcore_memory::{PAGE_SIZE, ReadVirtual, VirtAddr};
use vmcore_unwind::{Segment, StackRange};

use crate::PerCpu;
use crate::layout::{Field, Resolver};

/// Where the pointers to the stacks are.
pub(crate) struct StackLayout {
    /// `IRQ_STACK_SIZE`, which is the size of a task's stack, with KASAN as without (`arch/x86/include/asm/page_64_types.h`).
    irq_stack_size: u64,
    /// Link-time address of the per-CPU variable that holds the top of the interrupt stack.
    irq_stack: Option<VirtAddr>,
    /// The same for `cea_exception_stacks`.
    exception_stacks: Option<VirtAddr>,
    exceptions: Vec<(Segment, Field)>,
    estacks: Option<Field>,
    entry_stack: Option<Field>,
}

impl StackLayout {
    pub(crate) fn resolve(types: Resolver<'_>, symbols: &SymbolTable, thread_size: u64) -> Self {
        let stack = |name, segment| types.optional("cea_exception_stacks", name).map(|field| (segment, field));
        let exceptions = [
            stack("NMI_stack", Segment::Nmi),
            stack("DF_stack", Segment::Exception),
            stack("DB_stack", Segment::Exception),
            stack("MCE_stack", Segment::Exception),
            stack("VC_stack", Segment::Exception),
            stack("VC2_stack", Segment::Exception),
        ];
        Self {
            irq_stack_size: thread_size,
            irq_stack: irq_stack_pointer(types, symbols),
            exception_stacks: symbols.address("cea_exception_stacks"),
            exceptions: exceptions.into_iter().flatten().collect(),
            estacks: types.optional("cpu_entry_area", "estacks"),
            entry_stack: types.optional("cpu_entry_area", "entry_stack_page"),
        }
    }

    /// The other stacks of a CPU, as far as they can be found.
    pub(crate) fn cpu_stacks<M: ReadVirtual + ?Sized>(&self, memory: &M, percpu: &PerCpu, cpu: u32) -> Vec<StackRange> {
        let variable = |link: Option<VirtAddr>| {
            let value = memory.read_pointer(percpu.address(link?, cpu)?).ok()?;
            value.is_kernel_half().then_some(value)
        };
        let mut stacks = Vec::new();
        // The variable holds the top less one word since 5.12 (kernel commit 951c2a51ae75), the top before.
        let irq_top = variable(self.irq_stack).and_then(|top| top.get().checked_next_multiple_of(PAGE_SIZE));
        if let Some(high) = irq_top.map(VirtAddr::new) {
            stacks.push(StackRange { segment: Segment::Irq, low: high.wrapping_sub(self.irq_stack_size), high });
        }
        if let Some(base) = variable(self.exception_stacks) {
            stacks.extend(self.exceptions.iter().map(|(segment, field)| {
                let low = field.address(base);
                StackRange { segment: *segment, low, high: low.wrapping_add(field.size) }
            }));
            if let (Some(estacks), Some(entry)) = (self.estacks, self.entry_stack) {
                let low = entry.address(estacks.container(base));
                stacks.push(StackRange { segment: Segment::Entry, low, high: low.wrapping_add(entry.size) });
            }
        }
        stacks
    }
}

/// In `pcpu_hot` from 6.2 to 6.14 (kernel commits d7b6d709a76a, c6a0918072ea), a variable of its own before and since.
fn irq_stack_pointer(types: Resolver<'_>, symbols: &SymbolTable) -> Option<VirtAddr> {
    let member = types.optional("pcpu_hot", "hardirq_stack_ptr");
    match (member, symbols.address("pcpu_hot")) {
        (Some(member), Some(pcpu_hot)) => Some(member.address(pcpu_hot)),
        _ => symbols.address("hardirq_stack_ptr").or_else(|| symbols.address("irq_stack_ptr")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    /// The per-CPU area of CPU 1, and the two variables in it.
    const AREA: u64 = 0xffff_8880_3e00_0000;
    const IRQ_STACK: u64 = 0x100;
    const EXCEPTION_STACKS: u64 = 0x108;
    /// `cpu_entry_area` of the CPU, and `estacks` in it.
    const ENTRY_AREA: u64 = 0xffff_fe00_0000_0000;
    const ESTACKS: u64 = 0x6000;

    fn layout() -> StackLayout {
        StackLayout {
            irq_stack_size: 16 << 10,
            irq_stack: Some(VirtAddr::new(IRQ_STACK)),
            exception_stacks: Some(VirtAddr::new(EXCEPTION_STACKS)),
            exceptions: vec![(Segment::Nmi, Field { offset: 0x3000, size: 0x2000 })],
            estacks: Some(Field { offset: ESTACKS, size: 0x10000 }),
            entry_stack: Some(Field { offset: 0x1000, size: 0x1000 }),
        }
    }

    fn stacks(memory: &TestMemory) -> Vec<(Segment, u64, u64)> {
        let percpu = PerCpu::for_tests(&[0, AREA]);
        let stacks = layout().cpu_stacks(memory, &percpu, 1);
        stacks.into_iter().map(|stack| (stack.segment, stack.low.get(), stack.high.get())).collect()
    }

    #[test]
    fn every_stack_of_a_cpu() {
        let mut memory = TestMemory::default();
        // The top less one word, as since 5.8.
        memory.put_u64(AREA + IRQ_STACK, 0xffff_c900_0000_fff8);
        memory.put_u64(AREA + EXCEPTION_STACKS, ENTRY_AREA + ESTACKS);
        let irq = (Segment::Irq, 0xffff_c900_0000_c000, 0xffff_c900_0001_0000);
        let nmi = (Segment::Nmi, ENTRY_AREA + ESTACKS + 0x3000, ENTRY_AREA + ESTACKS + 0x5000);
        let entry = (Segment::Entry, ENTRY_AREA + 0x1000, ENTRY_AREA + 0x2000);
        assert_eq!(stacks(&memory), [irq, nmi, entry]);
        // The top itself, as before.
        memory.put_u64(AREA + IRQ_STACK, 0xffff_c900_0001_0000);
        assert_eq!(stacks(&memory)[0], irq);
    }

    #[test]
    fn what_cannot_be_read_or_is_no_kernel_address_is_no_stack() {
        assert_eq!(stacks(&TestMemory::default()), []);
        let mut memory = TestMemory::default();
        for wild in [0x1234, u64::MAX] {
            memory.put_u64(AREA + IRQ_STACK, wild);
            assert_eq!(stacks(&memory), []);
        }
    }
}
