//! Which address an interrupted instruction was touching.
//!
//! The address of a fault is not saved with the registers of an exception. The instruction at the program counter and the
//! saved registers give it instead.

use vmcore_memory::{Registers, VirtAddr};

use crate::Reader;
use crate::access::Access;
use crate::arch::{arm64, x86_64};

/// The user addresses that the instruction at the start of `code` touches with these registers, writes first. Empty
/// where it touches none or cannot be decoded.
pub(crate) fn user_accesses(code: &[u8], registers: &Registers) -> Vec<Access> {
    let mut accesses = memory_accesses(code, registers);
    match registers {
        Registers::X86_64(_) => accesses.retain(|access| x86_64::is_user(access.address)),
        Registers::Arm64(_) => accesses = accesses.into_iter().filter_map(arm64::user_access).collect(),
    }
    accesses.sort_by_key(|access| !access.write);
    accesses
}

/// All addresses that the instruction at the start of `code` touches with these registers, the stack among them.
pub(crate) fn memory_accesses(code: &[u8], registers: &Registers) -> Vec<Access> {
    match registers {
        Registers::X86_64(registers) => x86_64::memory_accesses(code, registers),
        Registers::Arm64(registers) => arm64::memory_accesses(code, registers),
    }
}

/// The word that a loop reads until it changes: what the first instruction from the program counter on that reads memory
/// reads, with these registers. Jumps that are always taken are followed, others are not.
pub(crate) fn polled_address(reader: &dyn Reader, registers: &Registers) -> Option<VirtAddr> {
    match registers {
        Registers::X86_64(registers) => x86_64::polled_address(reader, registers),
        Registers::Arm64(registers) => arm64::polled_address(reader, registers),
    }
}

/// The general registers but the stack pointer, by name.
pub(crate) fn general_registers(registers: &Registers) -> Vec<(&'static str, u64)> {
    match registers {
        Registers::X86_64(registers) => x86_64::general_registers(registers).to_vec(),
        Registers::Arm64(registers) => arm64::general_registers(registers),
    }
}

/// The instruction at the start of `code`, for the report: as objdump shows it.
pub(crate) fn disassemble(code: &[u8], registers: &Registers) -> Option<String> {
    match registers {
        Registers::X86_64(registers) => x86_64::disassemble(code, registers.pc()),
        Registers::Arm64(_) => arm64::disassemble(code),
    }
}
