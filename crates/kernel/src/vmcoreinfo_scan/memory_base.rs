//! Where the memory of a raw image of an arm64 machine begins: nothing in the file says it.
//!
//! ```text
//! 0x40000000   QEMU's virt, Cloud Hypervisor          0x80000000   Firecracker
//! ```

use vmcore_dump::{Dump, Format, Vmcoreinfo};
use vmcore_memory::{Architecture, PhysAddr};

use super::is_of_this_memory;

/// Where machines have their memory, the most usual first.
const BASES: [u64; 3] = [0, 0x4000_0000, 0x8000_0000];
/// The direct map of the kernel begins at a multiple of this, at or below all memory.
const ALIGNMENT: u64 = 1 << 30;

/// Gives a raw image of an arm64 machine the address at which the kernel's name is where `info` says; says what it is, if it is not 0.
/// Nothing is changed of a dump that says itself where its memory is.
pub fn fit_memory_base(dump: &mut Dump, info: &Vmcoreinfo) -> Option<PhysAddr> {
    if dump.format() != Format::Raw || dump.architecture() != Architecture::Arm64 {
        return None;
    }
    let direct_map = info.number("PHYS_OFFSET").and_then(|offset| u64::try_from(offset).ok());
    let bases = BASES.into_iter().chain(direct_map.map(|offset| offset & !(ALIGNMENT - 1)));
    for base in bases.map(PhysAddr::new) {
        dump.set_memory_base(base);
        if is_of_this_memory(dump, info) {
            return Some(base).filter(|base| base.get() != 0);
        }
    }
    dump.set_memory_base(PhysAddr::new(0));
    None
}
