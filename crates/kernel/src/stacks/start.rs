//! Where the walk of a task that is not running begins.
//!
//! `__switch_to_asm` pushes the callee-saved registers on the stack of the task that is scheduled out and saves RSP in
//! `thread.sp`: a `struct inactive_task_frame`, whose last word is the return address into `__schedule`. A new task has
//! `ret_from_fork` there, which will be executed from its first instruction.
//!
//! Source: `arch/x86/entry/entry_64.S`, `arch/x86/include/asm/switch_to.h`.

use vmcore_debuginfo::SymbolTable;
use vmcore_memory::{ReadError, ReadVirtual, Registers, VirtAddr, le_uint};
use vmcore_unwind::Start;

use crate::LayoutError;
use crate::layout::{Field, Resolver};

/// Offsets in `struct inactive_task_frame`.
pub(crate) struct StartLayout {
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

impl StartLayout {
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
        Ok(Start { registers, exact, complete: false })
    }
}
