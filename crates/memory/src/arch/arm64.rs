//! The arm64 general registers, in the order of the kernel's `struct user_pt_regs`.
//!
//! `struct pt_regs` begins with it, and so does `pr_reg` of an `NT_PRSTATUS` note; all are read by the same function.
//!
//! Source: `arch/arm64/include/uapi/asm/ptrace.h`, `arch/arm64/include/asm/ptrace.h`.

use crate::{VirtAddr, le_u64};

/// `sizeof(struct user_pt_regs)`, in bytes.
pub const USER_PT_REGS_SIZE: usize = 34 * 8;

/// `PSR_MODE_MASK`: the exception level, and which stack pointer it uses.
const MODE: u64 = 0xf;

/// General registers of one CPU at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// `x0` to `x30`; `x29` is the frame pointer, `x30` the link register.
    pub x: [u64; 31],
    /// The stack pointer.
    pub sp: VirtAddr,
    /// The interrupted instruction's address.
    pub pc: VirtAddr,
    /// `SPSR`: condition flags, interrupt masks, and in its low bits the mode that the CPU was in.
    pub pstate: u64,
}

impl Registers {
    /// Reads a `struct user_pt_regs`; `None` where `bytes` is shorter than [`USER_PT_REGS_SIZE`].
    #[must_use]
    pub fn from_user_pt_regs(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| le_u64(bytes, index * 8);
        let mut x = [0; 31];
        for (index, register) in x.iter_mut().enumerate() {
            *register = word(index)?;
        }
        Some(Self { x, sp: VirtAddr::new(word(31)?), pc: VirtAddr::new(word(32)?), pstate: word(33)? })
    }

    /// The arguments of a system call.
    #[must_use]
    pub const fn system_call_arguments(&self) -> [u64; 6] {
        let [a, b, c, d, e, f, ..] = self.x;
        [a, b, c, d, e, f]
    }

    /// The frame pointer, `x29`: where the innermost frame record is, once the function has made it.
    #[must_use]
    pub const fn fp(&self) -> VirtAddr {
        VirtAddr::new(self.x[29])
    }

    /// The link register, `x30`: the return address of a function that has called none yet.
    #[must_use]
    pub const fn lr(&self) -> VirtAddr {
        VirtAddr::new(self.x[30])
    }

    /// The interrupted instruction's address.
    #[must_use]
    pub const fn pc(&self) -> VirtAddr {
        self.pc
    }

    /// The stack pointer.
    #[must_use]
    pub const fn sp(&self) -> VirtAddr {
        self.sp
    }

    /// Whether the CPU ran user code: `PSR_MODE_EL0t`. Kernels run at EL1 or, with virtualization host extensions, EL2.
    #[must_use]
    pub const fn user_mode(&self) -> bool {
        self.pstate & MODE == 0
    }

    /// Whether a CPU saved them: one that saved nothing leaves zeroes.
    #[must_use]
    pub const fn are_saved(&self) -> bool {
        !self.pc.is_null() || !self.sp.is_null()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_user_pt_regs_order() {
        let bytes: Vec<u8> = (0..34u64).flat_map(|word| (0x100 + word).to_le_bytes()).collect();
        let registers = Registers::from_user_pt_regs(&bytes).unwrap();
        assert_eq!((registers.x[0], registers.fp().get(), registers.lr().get()), (0x100, 0x11d, 0x11e));
        assert_eq!((registers.sp.get(), registers.pc.get(), registers.pstate), (0x11f, 0x120, 0x121));
        assert_eq!(Registers::from_user_pt_regs(&bytes[..271]), None);
    }

    #[test]
    fn the_mode_is_in_the_low_bits_of_the_processor_state() {
        // As an interrupted process, a kernel at EL1 and one at EL2 (with virtualization host extensions) leave it.
        let user = |pstate| Registers { pstate, ..Registers::default() }.user_mode();
        assert!(user(0x6000_0000) && user(0x8000_1000));
        assert!(!user(0x6040_00c5) && !user(0x6140_03c9) && !user(0x204_03c4));
    }
}
