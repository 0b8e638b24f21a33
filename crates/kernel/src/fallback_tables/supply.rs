//! What a debug file leaves to the program, from the program's memory.
//!
//! A debug file that was split from its vmlinux (`objcopy --only-keep-debug`, `eu-strip -f`) has symbols and DWARF, but
//! of the sections that are part of the kernel's memory only the headers: no BTF, no unwind tables. The crashed
//! kernel had them in its image, which is linear in physical memory. The version banner is not among them: it tells
//! whether a debug file belongs to a dump, and taken from the dump it would always say so.

use vmcore_debuginfo::{PartSection, Vmlinux};
use vmcore_dump::Dump;
use vmcore_memory::{MAX_READ, ReadVirtual, VirtAddr};

use super::{BTF_SECTION, ORC_SECTIONS};
use crate::address_space::AddressSpace;
use crate::location;

/// The contents of sections that `vmlinux` declares without holding them, as far as `dump` has them.
///
/// Give them to [`Vmlinux::with_supplied`]. That the two belong together is for [`Kernel::open`](crate::Kernel::open)
/// to check: nothing here is interpreted.
#[must_use]
pub fn sections_from_dump(dump: &Dump, vmlinux: &Vmlinux) -> Vec<PartSection> {
    let tables = [&[BTF_SECTION][..], &ORC_SECTIONS].concat();
    let missing: Vec<_> = tables.into_iter().filter(|(name, ..)| vmlinux.lacks_contents(name)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let Ok((location, _)) = location::locate(dump, vmlinux, dump, &mut Vec::new()) else { return Vec::new() };
    let image = Image {
        memory: AddressSpace::image_only(dump, location.phys_base),
        vmlinux,
        kaslr_offset: location.kaslr_offset,
    };
    missing.into_iter().filter_map(|(name, start, end)| image.section(name, start, end)).collect()
}

/// The kernel image in memory, with the symbols of its debug file.
struct Image<'a> {
    memory: AddressSpace<'a>,
    vmlinux: &'a Vmlinux,
    kaslr_offset: u64,
}

impl Image<'_> {
    fn section(&self, name: &'static str, start: &str, end: &str) -> Option<PartSection> {
        let symbol = |name| self.vmlinux.symbols().address(name);
        let address = symbol(start)?;
        let len = symbol(end)?.get().checked_sub(address.get()).filter(|&len| len <= MAX_READ)?;
        let data = self.memory.read_bytes(self.runtime(address), len).ok()?;
        Some(PartSection { name, address, data })
    }

    fn runtime(&self, address: VirtAddr) -> VirtAddr {
        address.wrapping_add(self.kaslr_offset)
    }
}
