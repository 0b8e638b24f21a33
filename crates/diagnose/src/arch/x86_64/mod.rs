//! x86-64.

mod fred;
mod names;
mod operand;
mod scheduler;

use super::InterruptFlag;

pub use fred::{fred_handler, is_fred_entry};
pub(crate) use names::{is_exception, is_exception_entry, is_interrupt, is_page_fault};
pub(crate) use operand::{disassemble, general_registers, is_user, memory_accesses, polled_address};
pub(crate) use scheduler::asked_for_cpu;

/// `arch/x86/include/uapi/asm/processor-flags.h`.
pub(crate) const INTERRUPTS: InterruptFlag = InterruptFlag {
    member: "pt_regs.flags",
    offset: 18 * 8,
    bit: 1 << 9,
    off_where_set: false,
    off: "X86_EFLAGS_IF is not set: interrupts are off",
};
