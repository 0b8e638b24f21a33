//! The x86-64 general registers, in the order of the kernel's `struct pt_regs`.
//!
//! Source: `arch/x86/include/asm/ptrace.h`. The first 21 words of `user_regs_struct` in an `NT_PRSTATUS` note have the
//! same order, so both are read by the same function.

use crate::{VirtAddr, le_u64};

/// `sizeof(struct pt_regs)` on x86-64, in bytes.
pub const PT_REGS_SIZE: usize = 21 * 8;

/// General registers of one CPU at one moment.
#[allow(missing_docs)] // The architecture's own names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl Registers {
    /// Reads a `struct pt_regs`; `None` where `bytes` is shorter than [`PT_REGS_SIZE`].
    #[must_use]
    pub fn from_pt_regs(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| le_u64(bytes, index * 8);
        Some(Self {
            r15: word(0)?,
            r14: word(1)?,
            r13: word(2)?,
            r12: word(3)?,
            rbp: word(4)?,
            rbx: word(5)?,
            r11: word(6)?,
            r10: word(7)?,
            r9: word(8)?,
            r8: word(9)?,
            rax: word(10)?,
            rcx: word(11)?,
            rdx: word(12)?,
            rsi: word(13)?,
            rdi: word(14)?,
            orig_rax: word(15)?,
            rip: word(16)?,
            cs: word(17)?,
            eflags: word(18)?,
            rsp: word(19)?,
            ss: word(20)?,
        })
    }

    /// These general registers with the part of `other` that the CPU itself saves on an exception: RIP, CS, RFLAGS, RSP
    /// and SS.
    #[must_use]
    pub const fn with_return_frame(self, other: &Self) -> Self {
        Self { rip: other.rip, cs: other.cs, eflags: other.eflags, rsp: other.rsp, ss: other.ss, ..self }
    }

    /// The arguments of a system call. The fourth is not where functions have it: `syscall` overwrites RCX.
    #[must_use]
    pub const fn system_call_arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// The interrupted instruction's address.
    #[must_use]
    pub const fn pc(&self) -> VirtAddr {
        VirtAddr::new(self.rip)
    }

    /// The stack pointer.
    #[must_use]
    pub const fn sp(&self) -> VirtAddr {
        VirtAddr::new(self.rsp)
    }

    /// Whether a CPU saved them: one that saved nothing leaves zeroes.
    #[must_use]
    pub const fn are_saved(&self) -> bool {
        self.rip != 0 || self.rsp != 0 || self.cs != 0
    }

    /// Whether the CPU ran user code: the requested privilege level in CS is not 0.
    #[must_use]
    pub const fn user_mode(&self) -> bool {
        self.cs & 3 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_pt_regs_order() {
        let bytes: Vec<u8> = (0..21u64).flat_map(u64::to_le_bytes).collect();
        let registers = Registers::from_pt_regs(&bytes).unwrap();
        assert_eq!((registers.r15, registers.rdi, registers.orig_rax), (0, 14, 15));
        assert_eq!((registers.rip, registers.cs, registers.rsp, registers.ss), (16, 17, 19, 20));
        assert!(registers.user_mode());
        assert_eq!(Registers::from_pt_regs(&bytes[..167]), None);
    }
}
