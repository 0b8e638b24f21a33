//! Relocations of the machines whose debug files are read.

use object::elf;
use vmcore_memory::Architecture;

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
