//! Where the walk of a task that is not running begins.
//!
//! `cpu_switch_to` keeps the callee-saved registers of the task that is scheduled out in `thread.cpu_context`: `x19` to
//! `x28`, `fp`, `sp`, and as `pc` the address that it will return to in `__switch_to`. A new task has `ret_from_fork` there,
//! which will be executed from its first instruction.
//!
//! Source: `arch/arm64/kernel/entry.S`, `arch/arm64/include/asm/processor.h`.

use vmcore_debuginfo::SymbolTable;
use vmcore_memory::arch::arm64::Registers;
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr, le_u64};
use vmcore_unwind::Start;

use crate::LayoutError;
use crate::layout::{Field, Resolver};

/// `x19` to `x28`, `fp`, `sp`, `pc`.
const WORDS: usize = 13;
/// `PSR_MODE_EL1h`: whoever is scheduled out is in the kernel.
const KERNEL_MODE: u64 = 5;

/// Functions that nothing called: a task begins with the first, a CPU with one of the others, of which those of `head.S` jump
/// to the last two.
pub(crate) const FIRST_CODE: [&str; 5] =
    ["ret_from_fork", "__primary_switched", "__secondary_switched", "start_kernel", "secondary_start_kernel"];

/// Where `struct cpu_context` is in a task.
pub(crate) struct SwitchFrame {
    context: Field,
    /// Link-time address of the code that a new task runs from, and does not return to.
    fresh: Option<VirtAddr>,
}

impl SwitchFrame {
    pub(crate) fn resolve(types: Resolver<'_>, symbols: &SymbolTable) -> Result<Self, LayoutError> {
        let first = types.field("task_struct", "thread.cpu_context.x19")?;
        Ok(Self { context: first, fresh: symbols.address("ret_from_fork") })
    }

    /// Reads what `task` saved.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        task: VirtAddr,
        kaslr_offset: u64,
    ) -> Result<Start, ReadError> {
        let mut bytes = [0; WORDS * 8];
        memory.read_virtual(self.context.address(task), &mut bytes)?;
        let word = |index: usize| le_u64(&bytes, index * 8).unwrap_or_default();
        let mut registers = Registers {
            sp: VirtAddr::new(word(11)),
            pc: VirtAddr::new(word(12)),
            pstate: KERNEL_MODE,
            ..Registers::default()
        };
        for (register, index) in registers.x.iter_mut().skip(19).take(11).zip(0..) {
            *register = word(index);
        }
        let exact = self.fresh == Some(registers.pc.wrapping_sub(kaslr_offset));
        Ok(Start { registers: registers.into(), exact, complete: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const TASK: u64 = 0xffff_0000_0123_4000;
    const KASLR: u64 = 0x21f4_6360_0000;
    const RET_FROM_FORK: u64 = 0xffff_8000_0801_5fb0;

    fn start(pc: u64) -> Start {
        let layout =
            SwitchFrame { context: Field { offset: 0x1000, size: 8 }, fresh: Some(VirtAddr::new(RET_FROM_FORK)) };
        let mut memory = TestMemory::default();
        for (word, value) in (0x100..).take(WORDS - 1).enumerate() {
            memory.put_u64(TASK + 0x1000 + word as u64 * 8, value);
        }
        memory.put_u64(TASK + 0x1000 + 12 * 8, pc);
        layout.read(&memory, VirtAddr::new(TASK), KASLR).unwrap()
    }

    #[test]
    fn a_task_goes_on_where_it_was_switched_out() {
        let start = start(0xffff_a1f4_6c3b_0bc4);
        let vmcore_memory::Registers::Arm64(registers) = start.registers else { panic!("{start:?}") };
        assert_eq!((registers.x[18], registers.x[19], registers.x[28]), (0, 0x100, 0x109));
        assert_eq!((registers.fp().get(), registers.sp.get(), registers.x[30]), (0x10a, 0x10b, 0));
        assert_eq!((registers.pc.get(), start.exact, start.complete), (0xffff_a1f4_6c3b_0bc4, false, false));
        assert!(!start.registers.user_mode());
        assert!(self::start(RET_FROM_FORK + KASLR).exact, "a new task");
    }
}
