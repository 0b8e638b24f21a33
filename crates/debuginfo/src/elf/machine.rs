//! The machines whose files are read, by their ELF numbers.

use object::elf;
use vmcore_memory::Architecture;

/// The architecture of `e_machine`.
pub(super) fn architecture(machine: u16) -> Option<Architecture> {
    [Architecture::X86_64, Architecture::Arm64].into_iter().find(|&architecture| number(architecture).0 == machine)
}

/// `e_machine` of a file of this architecture.
pub(super) const fn number(architecture: Architecture) -> elf::Machine {
    match architecture {
        Architecture::X86_64 => elf::EM_X86_64,
        Architecture::Arm64 => elf::EM_AARCH64,
    }
}

/// The bytes that a relocation in debug information fills with symbol plus addend: 0 for one that says nothing, `None` for
/// one that says something else.
pub(super) const fn absolute_bytes(architecture: Architecture, kind: u32) -> Option<usize> {
    match (architecture, elf::RelocationType(kind)) {
        (Architecture::X86_64, elf::R_X86_64_NONE) | (Architecture::Arm64, elf::R_AARCH64_NONE) => Some(0),
        (Architecture::X86_64, elf::R_X86_64_64) | (Architecture::Arm64, elf::R_AARCH64_ABS64) => Some(8),
        (Architecture::X86_64, elf::R_X86_64_32 | elf::R_X86_64_32S) | (Architecture::Arm64, elf::R_AARCH64_ABS32) => {
            Some(4)
        }
        _ => None,
    }
}
