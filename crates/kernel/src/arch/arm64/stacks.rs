//! The stacks of a CPU besides those of its tasks.
//!
//! Interrupts run on a stack of `THREAD_SIZE` whose lowest address is in the per-CPU `irq_stack_ptr`. Where a stack has
//! overflowed, the CPU goes on on the per-CPU `overflow_stack`. Firmware events (SDEI) have two stacks of their own, where
//! the machine has such events.
//!
//! Source: `arch/arm64/kernel/irq.c`, `traps.c`, `sdei.c`.

use vmcore_debuginfo::SymbolTable;
use vmcore_memory::{ReadVirtual, VirtAddr};
use vmcore_unwind::{Segment, StackRange};

use crate::PerCpu;

/// `OVERFLOW_STACK_SIZE`.
const OVERFLOW_STACK_SIZE: u64 = 4 << 10;

/// Link-time addresses of the per-CPU variables that say where the stacks are.
pub(crate) struct StackLayout {
    thread_size: u64,
    pointers: Vec<(Segment, VirtAddr)>,
    overflow: Option<VirtAddr>,
}

impl StackLayout {
    pub(crate) fn resolve(symbols: &SymbolTable, thread_size: u64) -> Self {
        let pointers = [
            (Segment::Irq, "irq_stack_ptr"),
            (Segment::Nmi, "sdei_stack_normal_ptr"),
            (Segment::Nmi, "sdei_stack_critical_ptr"),
        ];
        let pointers = pointers.into_iter().filter_map(|(segment, name)| Some((segment, symbols.address(name)?)));
        Self { thread_size, pointers: pointers.collect(), overflow: symbols.address("overflow_stack") }
    }

    /// The stacks of a CPU, as far as they can be found.
    pub(crate) fn cpu_stacks<M: ReadVirtual + ?Sized>(&self, memory: &M, percpu: &PerCpu, cpu: u32) -> Vec<StackRange> {
        let range = |segment, low: VirtAddr, size| {
            let high = low.checked_add(size)?;
            low.is_kernel_half().then_some(StackRange { segment, low, high })
        };
        let pointed = self.pointers.iter().filter_map(|(segment, variable)| {
            let low = memory.read_pointer(percpu.address(*variable, cpu)?).ok()?;
            range(*segment, low, self.thread_size)
        });
        let overflow = self.overflow.and_then(|array| percpu.address(array, cpu));
        let overflow = overflow.and_then(|low| range(Segment::Exception, low, OVERFLOW_STACK_SIZE));
        pointed.chain(overflow).collect()
    }
}

#[cfg(test)]
impl StackLayout {
    /// Of a kernel that has none of the variables.
    pub(crate) const fn without_variables(thread_size: u64) -> Self {
        Self { thread_size, pointers: Vec::new(), overflow: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    #[test]
    fn the_stacks_of_a_cpu() {
        const AREA: u64 = 0xffff_0000_3fd0_0000;
        let layout = StackLayout {
            thread_size: 16 << 10,
            pointers: vec![(Segment::Irq, VirtAddr::new(0x100)), (Segment::Nmi, VirtAddr::new(0x108))],
            overflow: Some(VirtAddr::new(0x1000)),
        };
        let percpu = PerCpu::for_tests(&[0, AREA]);
        let stacks = |memory: &TestMemory| -> Vec<_> {
            let stacks = layout.cpu_stacks(memory, &percpu, 1).into_iter();
            stacks.map(|stack| (stack.segment, stack.low.get(), stack.high.get())).collect()
        };
        let overflow = (Segment::Exception, AREA + 0x1000, AREA + 0x2000);
        assert_eq!(stacks(&TestMemory::default()), [overflow], "what cannot be read is no stack");
        let mut memory = TestMemory::default();
        memory.put_u64(AREA + 0x100, 0xffff_8000_0800_0000);
        // No firmware events on this machine.
        memory.put_u64(AREA + 0x108, 0);
        assert_eq!(stacks(&memory), [(Segment::Irq, 0xffff_8000_0800_0000, 0xffff_8000_0800_4000), overflow]);
    }
}
