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

/// Code, tables and stacks of one CPU or task.
pub trait Machine: ReadVirtual {
    /// The ORC entry that covers the instruction at `pc` (for a return address: give the address minus one).
    fn orc(&self, pc: VirtAddr) -> Option<OrcEntry>;

    /// Whether `pc` lies in the text of the kernel or of a module.
    fn is_text(&self, pc: VirtAddr) -> bool;

    /// The stack that holds `sp`, where it is a known one.
    fn stack(&self, sp: VirtAddr) -> Option<StackRange>;
}
