//! Whether the code that a CPU ran had interrupts off.

use vmcore_memory::{Registers, VirtAddr};

use crate::arch::{InterruptFlag, interrupt_flag};
use crate::{Evidence, Facts, Place, Value};

/// The flags of the code that a CPU's task ran before whatever stopped the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    value: u64,
    /// Where they were saved, if in memory.
    at: Option<VirtAddr>,
    of: &'static InterruptFlag,
}

/// The flags of the code that a CPU's task ran before whatever stopped the CPU; `None` where they are not known, or do not
/// tell because the kernel masks interrupts by their priority.
pub(crate) fn flags(facts: &Facts<'_>, cpu: u32) -> Option<Flags> {
    let stack = facts.running_on(cpu)?;
    let interrupted = stack.interrupts.iter().rev().find(|interrupt| !interrupt.registers.user_mode());
    let saved = interrupted.map(|interrupt| (interrupt.registers, Some(interrupt.address)));
    let own = || facts.snapshot.cpu(cpu)?.registers.map(|known| known.registers).filter(|known| !known.user_mode());
    let (registers, saved_at) = saved.or_else(|| Some((own()?, None)))?;
    known(facts, &registers, saved_at)
}

/// The flags of the code of this frame of a CPU's stack, where it was interrupted or where the CPU was stopped; `None` as of
/// [`flags`].
pub(crate) fn flags_at(facts: &Facts<'_>, cpu: u32, frame: usize) -> Option<Flags> {
    let stack = facts.running_on(cpu)?;
    let interrupted = stack.interrupts.iter().find(|interrupt| interrupt.frame == frame);
    let saved = interrupted.map(|interrupt| (interrupt.registers, Some(interrupt.address)));
    let own = || facts.snapshot.cpu(cpu)?.registers.filter(|_| frame == 0).map(|known| (known.registers, None));
    let (registers, saved_at) = saved.or_else(own).filter(|(registers, _)| !registers.user_mode())?;
    known(facts, &registers, saved_at)
}

fn known(facts: &Facts<'_>, registers: &Registers, saved_at: Option<VirtAddr>) -> Option<Flags> {
    let (value, of) = interrupt_flag(registers);
    let flags = Flags { value, at: saved_at.map(|at| at.wrapping_add(of.offset)), of };
    (!facts.state.masks_by_priority || flags.off()).then_some(flags)
}

impl Flags {
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

/// Whether the code that a CPU's task ran had interrupts off.
pub(crate) fn interrupts_off(facts: &Facts<'_>, cpu: u32) -> bool {
    flags(facts, cpu).is_some_and(Flags::off)
}
