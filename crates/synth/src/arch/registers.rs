//! Registers of code that the writer of stacks does not know by itself.

use vmcore_memory::{Architecture, Registers};

use super::{arm64, x86_64};

/// None that matter.
pub(crate) fn none(architecture: Architecture) -> Registers {
    match architecture {
        Architecture::X86_64 => vmcore_memory::arch::x86_64::Registers::default().into(),
        Architecture::Arm64 => vmcore_memory::arch::arm64::Registers::default().into(),
    }
}

/// Those of user code.
pub(crate) fn user(architecture: Architecture) -> Registers {
    match architecture {
        Architecture::X86_64 => x86_64::user().into(),
        Architecture::Arm64 => arm64::user().into(),
    }
}

/// In the middle of a copy to the user address `to`.
pub(crate) fn copy(architecture: Architecture, to: u64) -> Registers {
    match architecture {
        Architecture::X86_64 => x86_64::copy(to).into(),
        Architecture::Arm64 => arm64::copy(to).into(),
    }
}

/// The same with this as the first argument of a function.
pub(crate) const fn with_argument(registers: Registers, value: u64) -> Registers {
    match registers {
        Registers::X86_64(mut registers) => {
            registers.rdi = value;
            Registers::X86_64(registers)
        }
        Registers::Arm64(mut registers) => {
            registers.x[0] = value;
            Registers::Arm64(registers)
        }
    }
}

/// With this as the second argument of a function.
pub(crate) const fn with_second_argument(registers: Registers, value: u64) -> Registers {
    match registers {
        Registers::X86_64(mut registers) => {
            registers.rsi = value;
            Registers::X86_64(registers)
        }
        Registers::Arm64(mut registers) => {
            registers.x[1] = value;
            Registers::Arm64(registers)
        }
    }
}

/// As they are in memory and in an `NT_PRSTATUS` note.
pub(crate) fn bytes(registers: &Registers) -> Vec<u8> {
    match registers {
        Registers::X86_64(registers) => x86_64::pt_regs(registers),
        Registers::Arm64(registers) => arm64::user_pt_regs(registers),
    }
}
