//! 64-bit ARM.

mod instruction;
mod memory_copy;
mod names;
mod operand;
mod return_address;
mod scheduler;

use super::InterruptFlag;

pub(crate) use names::{
    is_exception_entry, is_exception_of_user_code, is_interrupt_of_user_code, is_page_fault, is_page_fault_of_user_code,
};
pub(crate) use operand::{disassemble, general_registers, memory_accesses, polled_address, user_access};
pub(crate) use return_address::return_address;
pub(crate) use scheduler::asked_for_cpu;

/// `arch/arm64/include/uapi/asm/ptrace.h`.
pub(crate) const INTERRUPTS: InterruptFlag = InterruptFlag {
    member: "pt_regs.pstate",
    offset: 33 * 8,
    bit: 1 << 7,
    off_where_set: true,
    off: "PSR_I_BIT is set: interrupts are off",
};
