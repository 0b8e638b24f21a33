//! Registers as mere words, whose names do not matter.

use vmcore_memory::Registers;

/// The general registers.
pub(crate) fn general_registers(registers: &Registers) -> Vec<u64> {
    match registers {
        Registers::X86_64(r) => {
            vec![r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]
        }
        Registers::Arm64(registers) => registers.x.to_vec(),
    }
}
