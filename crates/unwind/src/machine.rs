//! What the unwinder asks of the machine whose stacks it walks.

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::{Segment, orc::OrcEntry};

/// A stack's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackRange {
    /// What the stack is for.
    pub segment: Segment,
    /// Its lowest address.
    pub low: VirtAddr,
    /// The address just past its highest byte.
    pub high: VirtAddr,
}

impl StackRange {
    /// Whether a stack pointer may have this value while it is on this stack. The top itself counts: an empty stack.
    #[must_use]
    pub fn contains(&self, sp: VirtAddr) -> bool {
        self.low <= sp && sp <= self.high
    }
}

/// One row of DWARF call-frame information, of the simple form that compilers write for C. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CfiRow {
    /// Whether `cfa_offset` is added to the frame pointer (RBP, `x29`); else to the stack pointer.
    pub cfa_from_bp: bool,
    /// Gives the caller's stack pointer after it is returned to (the CFA).
    pub cfa_offset: i64,
    /// Where the return address is saved, from the CFA; `None` where it is still in the link register.
    pub return_address: Option<i64>,
    /// Where the caller's frame pointer is saved, from the CFA; `None` where the register still holds it.
    pub saved_bp: Option<i64>,
}

/// A return address as it is on a stack, for the machine to say whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedReturn {
    /// The address, without an authentication code.
    pub pc: VirtAddr,
    /// What a tracer may remember the place by. On x86-64 that is where the address is saved; on arm64 the caller's frame
    /// pointer, and its stack pointer when it called, where that is known.
    pub places: [Option<VirtAddr>; 2],
    /// How many return addresses further in are replaced by the same one; `None` where that is not sure.
    pub before: Option<usize>,
}

/// Whose a saved return address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnAddress {
    /// That of the call.
    OfCall,
    /// A tracer's, which put it in the place of this one.
    Replaced(VirtAddr),
    /// A tracer's, which has no record of the one that it replaced.
    Lost,
}

/// Code, tables and stacks of one CPU or task.
pub trait Machine: ReadVirtual {
    /// The ORC entry that covers the instruction at `pc` (for a return address: give the address minus one).
    fn orc(&self, pc: VirtAddr) -> Option<OrcEntry>;

    /// The DWARF call-frame information for the instruction at `pc`. Asked only where ORC does not lead to a caller.
    fn cfi(&self, pc: VirtAddr) -> Option<CfiRow>;

    /// Whether `pc` lies in the text of the kernel or of a module.
    fn is_text(&self, pc: VirtAddr) -> bool;

    /// Whether `pc` lies in the code that saves registers on the way into the kernel (`.entry.text`). Asked only where no
    /// table leads to a caller.
    fn is_entry(&self, _pc: VirtAddr) -> bool {
        false
    }

    /// Whether both addresses are code of one function.
    fn is_same_function(&self, _one: VirtAddr, _other: VirtAddr) -> bool {
        false
    }

    /// The bits of a code address that may hold an authentication code. Asked of arm64 alone, as what follows.
    fn pac_mask(&self) -> u64 {
        0
    }

    /// Where in a `struct pt_regs` the frame record is that entry code makes.
    fn frame_record_offset(&self) -> Option<u64> {
        None
    }

    /// Whether `pc` lies in code that nothing called, because a task or a CPU began with it.
    fn is_first(&self, _pc: VirtAddr) -> bool {
        false
    }

    /// Whose a return address is that was found on a stack: tracers replace them.
    fn return_address(&self, _saved: SavedReturn) -> ReturnAddress {
        ReturnAddress::OfCall
    }

    /// The stack that holds `sp`, where it is a known one.
    fn stack(&self, sp: VirtAddr) -> Option<StackRange>;
}
