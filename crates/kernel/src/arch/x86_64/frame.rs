//! Where the walk of a task that is not running begins.
//!
//! `__switch_to_asm` pushes the callee-saved registers on the stack of the task that is scheduled out and saves RSP in
//! `thread.sp`: a `struct inactive_task_frame`, whose last word is the return address into `__schedule`. A new task has
//! `ret_from_fork` there, which will be executed from its first instruction.
//!
//! Source: `arch/x86/entry/entry_64.S`, `arch/x86/include/asm/switch_to.h`.

use vmcore_debuginfo::SymbolTable;
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr, arch::x86_64::Registers, le_uint};
use vmcore_unwind::Start;

use crate::LayoutError;
use crate::layout::{Field, Resolver};

/// Offsets in `struct inactive_task_frame`.
pub(crate) struct SwitchFrame {
    size: u64,
    ret_addr: Field,
    bp: Field,
    bx: Option<Field>,
    r12: Option<Field>,
    r13: Option<Field>,
    r14: Option<Field>,
    r15: Option<Field>,
    /// Link-time addresses that a task runs from, not returns to.
    fresh: Vec<VirtAddr>,
}

impl SwitchFrame {
    pub(crate) fn resolve(types: Resolver<'_>, symbols: &SymbolTable) -> Result<Self, LayoutError> {
        let optional = |path| types.optional("inactive_task_frame", path);
        // `ret_from_fork` became a C function behind `ret_from_fork_asm` in 6.6 (kernel commit 3aec4ecb3d1f).
        let fresh = ["ret_from_fork_asm", "ret_from_fork"].into_iter().filter_map(|name| symbols.address(name));
        Ok(Self {
            size: types.size_of("inactive_task_frame")?,
            ret_addr: types.field("inactive_task_frame", "ret_addr")?,
            bp: types.field("inactive_task_frame", "bp")?,
            bx: optional("bx"),
            r12: optional("r12"),
            r13: optional("r13"),
            r14: optional("r14"),
            r15: optional("r15"),
            fresh: fresh.collect(),
        })
    }

    /// Reads the frame at `sp`.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        sp: VirtAddr,
        kaslr_offset: u64,
    ) -> Result<Start, ReadError> {
        let bytes = memory.read_bytes(sp, self.size)?;
        let word = |field: Field| {
            let offset = usize::try_from(field.offset).ok()?;
            le_uint(&bytes, offset, 8)
        };
        let optional = |field: Option<Field>| field.and_then(word).unwrap_or_default();
        let pc = VirtAddr::new(word(self.ret_addr).unwrap_or_default());
        let registers = Registers {
            rip: pc.get(),
            rsp: sp.wrapping_add(self.size).get(),
            rbp: word(self.bp).unwrap_or_default(),
            rbx: optional(self.bx),
            r12: optional(self.r12),
            r13: optional(self.r13),
            r14: optional(self.r14),
            r15: optional(self.r15),
            ..Registers::default()
        };
        let exact = self.fresh.contains(&pc.wrapping_sub(kaslr_offset));
        Ok(Start { registers: registers.into(), exact, complete: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const SP: u64 = 0xffff_c900_0000_3f80;
    const KASLR: u64 = 0x1a00_0000;
    const RET_FROM_FORK: u64 = 0xffff_ffff_8100_1000;

    /// `struct inactive_task_frame` of 4.9 and later: `r15` to `r12`, `bx`, `bp`, `ret_addr`.
    fn layout() -> SwitchFrame {
        let word = |index: u64| Field { offset: index * 8, size: 8 };
        SwitchFrame {
            size: 56,
            r15: Some(word(0)),
            r14: Some(word(1)),
            r13: Some(word(2)),
            r12: Some(word(3)),
            bx: Some(word(4)),
            bp: word(5),
            ret_addr: word(6),
            fresh: vec![VirtAddr::new(RET_FROM_FORK)],
        }
    }

    fn frame(return_address: u64) -> TestMemory {
        let mut memory = TestMemory::default();
        (0..6).for_each(|index| memory.put_u64(SP + index * 8, 0x10 + index));
        memory.put_u64(SP + 48, return_address);
        memory
    }

    #[test]
    fn saved_registers_of_a_task_that_was_scheduled_out() {
        let memory = frame(0xffff_ffff_9b8c_9000);
        let start = layout().read(&memory, VirtAddr::new(SP), KASLR).unwrap();
        let registers = *start.registers.x86_64().unwrap();
        assert_eq!((registers.r15, registers.r12, registers.rbx, registers.rbp), (0x10, 0x13, 0x14, 0x15));
        assert_eq!((registers.rip, registers.rsp), (0xffff_ffff_9b8c_9000, SP + 56));
        assert!(!start.exact && !start.complete);
    }

    #[test]
    fn a_new_task_begins_at_the_function_itself() {
        let start = layout().read(&frame(RET_FROM_FORK + KASLR), VirtAddr::new(SP), KASLR).unwrap();
        assert!(start.exact);
    }

    #[test]
    fn a_stack_outside_the_dump_is_an_error() {
        assert!(layout().read(&TestMemory::default(), VirtAddr::new(SP), KASLR).is_err());
    }
}
