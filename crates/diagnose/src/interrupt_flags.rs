//! The flags of code that a CPU ran before whatever stopped it, by its stack and its registers.

use vmcore_kernel::{CpuRegisters, Stack};
use vmcore_memory::{Registers, VirtAddr};

use crate::arch::{InterruptFlag, interrupt_flag};
use crate::{Evidence, Place, Value};

/// The flags of code that a CPU ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    value: u64,
    /// Where they were saved, if in memory.
    at: Option<VirtAddr>,
    of: &'static InterruptFlag,
}

impl Flags {
    /// Those of the code of this frame, where it was interrupted or where the CPU was stopped.
    pub(crate) fn at_frame(stack: &Stack, frame: usize, own: Option<CpuRegisters>) -> Option<Self> {
        let interrupted = stack.interrupts.iter().find(|interrupt| interrupt.frame == frame);
        let saved = interrupted.map(|interrupt| (interrupt.registers, Some(interrupt.address)));
        let own = || own.filter(|_| frame == 0).map(|known| (known.registers, None));
        let (registers, saved_at) = saved.or_else(own).filter(|(registers, _)| !registers.user_mode())?;
        Some(Self::of(&registers, saved_at))
    }

    fn of(registers: &Registers, saved_at: Option<VirtAddr>) -> Self {
        let (value, of) = interrupt_flag(registers);
        Self { value, at: saved_at.map(|at| at.wrapping_add(of.offset)), of }
    }

    /// Where they tell whether interrupts are off: not where the kernel leaves them on and masks by their priority.
    pub(crate) fn telling(self, masks_by_priority: bool) -> Option<Self> {
        (!masks_by_priority || self.off()).then_some(self)
    }

    /// Whether interrupts are off.
    pub(crate) fn off(self) -> bool {
        (self.value & self.of.bit != 0) == self.of.off_where_set
    }

    /// That interrupts are off, as evidence.
    pub(crate) fn off_evidence(self) -> Evidence {
        let fact = Evidence::new(self.of.member, self.of.off).value(Value::Hex(self.value));
        Evidence { place: self.at.map(Place::Kernel), ..fact }
    }
}

/// The outermost frame at which kernel code was interrupted.
pub(crate) fn interrupted_at(stack: &Stack) -> Option<usize> {
    stack.interrupts.iter().rev().find(|interrupt| !interrupt.registers.user_mode()).map(|interrupt| interrupt.frame)
}
