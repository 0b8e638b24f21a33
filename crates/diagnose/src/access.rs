//! An instruction's bytes, and an address that it touches: what the decoders of all machines have in common.

use vmcore_memory::VirtAddr;

use crate::Reader;

/// The longest instruction, in bytes: of x86-64.
pub(crate) const MAX_INSTRUCTION: usize = 15;

/// As many bytes of an instruction as can be read: the next page may be missing.
pub(crate) fn read_code(reader: &dyn Reader, pc: VirtAddr) -> Vec<u8> {
    code(pc, |code| reader.read(pc, code).is_ok())
}

/// The same of user code of the process with this `mm_struct`.
pub(crate) fn read_user_code(reader: &dyn Reader, mm: VirtAddr, pc: VirtAddr) -> Vec<u8> {
    code(pc, |code| reader.read_user(mm, pc, code).is_ok())
}

/// As much as `read` can fill of what lies at `pc`.
fn code(pc: VirtAddr, read: impl Fn(&mut [u8]) -> bool) -> Vec<u8> {
    let to_page_end = usize::try_from(4096 - pc.page_offset()).unwrap_or(MAX_INSTRUCTION);
    for length in [MAX_INSTRUCTION, to_page_end.min(MAX_INSTRUCTION)] {
        let mut code = vec![0; length];
        if read(&mut code) {
            return code;
        }
    }
    Vec::new()
}

/// An address that an instruction touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) address: VirtAddr,
    pub(crate) write: bool,
}
