//! Whether the code that a CPU ran had interrupts off.

use vmcore_memory::VirtAddr;

use crate::Facts;

/// `X86_EFLAGS_IF`.
const INTERRUPTS_ON: u64 = 1 << 9;

/// The flags of the code that a CPU's task ran before whatever stopped the CPU; where they were saved, if in memory.
pub(crate) fn flags(facts: &Facts<'_>, cpu: u32) -> Option<(u64, Option<VirtAddr>)> {
    /// `offsetof(struct pt_regs, flags)`.
    const PT_REGS_FLAGS: u64 = 18 * 8;
    let stack = facts.running_on(cpu)?;
    let interrupted = stack.interrupts.iter().rev().find(|interrupt| !interrupt.registers.user_mode());
    let saved = interrupted.and_then(|interrupt| {
        Some((interrupt.registers.x86_64()?.eflags, Some(interrupt.address.wrapping_add(PT_REGS_FLAGS))))
    });
    let own = || facts.snapshot.cpu(cpu)?.registers.map(|known| known.registers).filter(|known| !known.user_mode());
    saved.or_else(|| Some((own()?.x86_64()?.eflags, None)))
}

/// Whether the code that a CPU's task ran had interrupts off.
pub(crate) fn interrupts_off(facts: &Facts<'_>, cpu: u32) -> bool {
    flags(facts, cpu).is_some_and(|(flags, _)| flags & INTERRUPTS_ON == 0)
}
