//! Machine code of each architecture as text.

mod arm64;
mod x86_64;

use vmcore_memory::{Architecture, VirtAddr};

/// An instruction without the names of what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded<'code> {
    pub(crate) address: VirtAddr,
    pub(crate) bytes: &'code [u8],
    pub(crate) text: String,
    /// The address that it names: of a branch, or of memory relative to itself.
    pub(crate) target: Option<VirtAddr>,
}

/// The most bytes that one instruction has.
pub(crate) const fn longest_instruction(architecture: Architecture) -> u64 {
    match architecture {
        Architecture::X86_64 => x86_64::LONGEST,
        Architecture::Arm64 => arm64::LENGTH as u64,
    }
}

/// The instructions of `code`, the first of which is at `from`, as far as there are whole ones.
pub(crate) fn instructions<'code>(
    architecture: Architecture,
    code: &'code [u8],
    from: VirtAddr,
) -> Box<dyn Iterator<Item = Decoded<'code>> + 'code> {
    match architecture {
        Architecture::X86_64 => Box::new(x86_64::Instructions::new(code, from)),
        Architecture::Arm64 => Box::new(arm64::instructions(code, from)),
    }
}
