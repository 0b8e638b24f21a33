//! What differs from one machine architecture to another and every crate has to name: the machine and its registers.

pub mod arm64;
mod machine;
pub mod x86_64;

use std::fmt;

pub use machine::Machine;

use crate::VirtAddr;

/// The architectures whose dumps are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// x86-64.
    #[default]
    X86_64,
    /// 64-bit ARM, little-endian.
    Arm64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// All of them, for a sentence.
    pub const LIST: &str = "x86-64 and arm64";

    /// The name used in output: `x86-64` or `arm64`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// General registers of one CPU at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// Those of x86-64.
    X86_64(x86_64::Registers),
    /// Those of arm64.
    Arm64(arm64::Registers),
}

impl Registers {
    /// The interrupted instruction's address.
    #[must_use]
    pub const fn pc(&self) -> VirtAddr {
        match self {
            Self::X86_64(registers) => registers.pc(),
            Self::Arm64(registers) => registers.pc(),
        }
    }

    /// The stack pointer.
    #[must_use]
    pub const fn sp(&self) -> VirtAddr {
        match self {
            Self::X86_64(registers) => registers.sp(),
            Self::Arm64(registers) => registers.sp(),
        }
    }

    /// Whether the CPU ran user code.
    #[must_use]
    pub const fn user_mode(&self) -> bool {
        match self {
            Self::X86_64(registers) => registers.user_mode(),
            Self::Arm64(registers) => registers.user_mode(),
        }
    }

    /// Whether a CPU saved them: one that saved nothing leaves zeroes, and no CPU has been where they say.
    #[must_use]
    pub const fn are_saved(&self) -> bool {
        match self {
            Self::X86_64(registers) => registers.are_saved(),
            Self::Arm64(registers) => registers.are_saved(),
        }
    }

    /// The arguments of a system call whose caller's registers these are.
    #[must_use]
    pub const fn system_call_arguments(&self) -> [u64; 6] {
        match self {
            Self::X86_64(registers) => registers.system_call_arguments(),
            Self::Arm64(registers) => registers.system_call_arguments(),
        }
    }

    /// The number of that system call, where it stays in a register: on x86-64 only `orig_rax` has it.
    #[must_use]
    pub const fn system_call_number(&self) -> Option<u64> {
        match self {
            Self::X86_64(_) => None,
            Self::Arm64(registers) => Some(registers.x[8]),
        }
    }

    /// The registers of an x86-64 machine.
    #[must_use]
    pub const fn x86_64(&self) -> Option<&x86_64::Registers> {
        match self {
            Self::X86_64(registers) => Some(registers),
            Self::Arm64(_) => None,
        }
    }
}

impl From<x86_64::Registers> for Registers {
    fn from(registers: x86_64::Registers) -> Self {
        Self::X86_64(registers)
    }
}

impl From<arm64::Registers> for Registers {
    fn from(registers: arm64::Registers) -> Self {
        Self::Arm64(registers)
    }
}
