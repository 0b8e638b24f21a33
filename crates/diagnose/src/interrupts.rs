//! Whether the code that a CPU ran had interrupts off.

use crate::Facts;
pub(crate) use crate::facts::derived::flags;
pub(crate) use crate::interrupt_flags::Flags;

/// The flags of the code of this frame of a CPU's stack, where it was interrupted or where the CPU was stopped; `None` as of
/// [`flags`].
pub(crate) fn flags_at(facts: &Facts<'_>, cpu: u32, frame: usize) -> Option<Flags> {
    let own = facts.snapshot.cpu(cpu).and_then(|known| known.registers);
    Flags::at_frame(facts.running_on(cpu)?, frame, own).filter(|flags| !facts.state.masks_by_priority || flags.off())
}

/// Whether the code that a CPU's task ran had interrupts off.
pub(crate) fn interrupts_off(facts: &Facts<'_>, cpu: u32) -> bool {
    flags(facts, cpu).is_some_and(Flags::off)
}
