//! The flags of the code that a CPU ran before whatever stopped it, by its stack and its registers.

use vmcore_kernel::{CpuRegisters, Stack};
use vmcore_memory::{Registers, VirtAddr};

use crate::arch::{InterruptFlag, interrupt_flag};
use crate::{Evidence, Place, Value};

/// The flags of the code that a CPU's task ran before whatever stopped the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    value: u64,
    /// Where they were saved, if in memory.
    at: Option<VirtAddr>,
    of: &'static InterruptFlag,
}

impl Flags {
    /// Those of the code that a CPU's task ran before whatever stopped the CPU, of whose registers the dump has `own`.
    pub(crate) fn of_stopped(stack: &Stack, own: Option<CpuRegisters>) -> Option<Self> {
        let interrupted = stack.interrupts.iter().rev().find(|interrupt| !interrupt.registers.user_mode());
        let saved = interrupted.map(|interrupt| (interrupt.registers, Some(interrupt.address)));
        let own = || own.map(|known| known.registers).filter(|known| !known.user_mode());
        let (registers, saved_at) = saved.or_else(|| Some((own()?, None)))?;
        Some(Self::of(&registers, saved_at))
    }

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
