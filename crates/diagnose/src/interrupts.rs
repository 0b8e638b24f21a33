//! What code keeps a CPU, and whether it has interrupts off.

use crate::Facts;
use crate::derived::stood_still_ns;
pub(crate) use crate::interrupt_flags::Flags;
use crate::interrupt_flags::interrupted_at;
use crate::names::own_frame;

/// A CPU that has had no tick for so long, in nanoseconds, is in no handler that is about to end.
const NO_TICKS_NS: u64 = 5_000_000_000;

/// The flags of the code of this frame of a CPU's stack, where it was interrupted or where the CPU was stopped; `None` where they are
/// not known, or do not tell because the kernel masks interrupts by their priority.
pub(crate) fn flags_at(facts: &Facts<'_>, cpu: u32, frame: usize) -> Option<Flags> {
    let own = facts.snapshot.cpu(cpu).and_then(|known| known.registers);
    Flags::at_frame(facts.running_on(cpu)?, frame, own)?.telling(facts.state.masks_by_priority)
}

/// The frame of the code that keeps a CPU, but for how the CPU was stopped. Of one that has no ticks any more it is what the CPU did
/// last, which may be a handler of an interrupt. One that has them only passes through a handler: it is the outermost kernel code.
pub(crate) fn kept_at(facts: &Facts<'_>, cpu: u32) -> Option<usize> {
    let stack = facts.running_on(cpu)?;
    let stood_still = stood_still_ns(facts, facts.snapshot.cpu(cpu)?);
    let ticks = stood_still.is_none_or(|ns| ns <= NO_TICKS_NS);
    Some(interrupted_at(stack).filter(|_| ticks).unwrap_or_else(|| own_frame(stack)))
}

/// The flags of the code that keeps a CPU ([`kept_at`]); `None` as of [`flags_at`].
pub(crate) fn flags(facts: &Facts<'_>, cpu: u32) -> Option<Flags> {
    let at = |frame| flags_at(facts, cpu, frame);
    // The CPU's own registers may not be in the dump.
    at(kept_at(facts, cpu)?).or_else(|| at(interrupted_at(facts.running_on(cpu)?)?))
}

/// Whether the code that keeps a CPU has interrupts off.
pub(crate) fn interrupts_off(facts: &Facts<'_>, cpu: u32) -> bool {
    flags(facts, cpu).is_some_and(Flags::off)
}
