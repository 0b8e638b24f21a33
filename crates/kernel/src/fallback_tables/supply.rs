//! What a debug file leaves to the program, from the program's memory.
//!
//! A debug file that was split from its vmlinux (`objcopy --only-keep-debug`, `eu-strip -f`) has symbols and DWARF, but
//! of the sections that are part of the kernel's memory only the headers: no BTF, no unwind tables. The crashed
//! kernel had them in its image, which is linear in physical memory. The version banner is not among them: it tells
//! whether a debug file belongs to a dump, and taken from the dump it would always say so.

use std::cell::OnceCell;

use vmcore_debuginfo::{PartSection, TypesOrigin, Vmlinux};
use vmcore_dump::Dump;
use vmcore_memory::{Architecture, MAX_READ, ReadVirtual, VirtAddr};

use super::kallsyms::Kallsyms;
use super::{BTF_SECTION, ORC_SECTIONS, symbols_of};
use crate::address_space::AddressSpace;
use crate::ground::arm64::Ground;
use crate::ground::x86_64::location::{self, KernelChoice, Located};

/// The contents of sections that `vmlinux` declares without holding them, as far as `dump` has them. So are unwind tables
/// of which it has nothing at all, and types where it has neither BTF nor DWARF: a kernel that was built with them has
/// them in memory, whatever was made of its vmlinux since.
///
/// Give them to [`Vmlinux::with_supplied`]. That the two belong together is for [`Kernel::open`](crate::Kernel::open)
/// to check: nothing here is interpreted.
#[must_use]
pub fn sections_from_dump(dump: &Dump, vmlinux: &Vmlinux) -> Vec<PartSection> {
    let no_orc = ORC_SECTIONS.iter().take(2).any(|(name, ..)| vmlinux.section(name).is_none());
    let mut missing: Vec<_> =
        ORC_SECTIONS.into_iter().filter(|(name, ..)| no_orc || vmlinux.lacks_contents(name)).collect();
    if vmlinux.lacks_contents(BTF_SECTION.0) || vmlinux.types().origin() == TypesOrigin::Missing {
        missing.push(BTF_SECTION);
    }
    if missing.is_empty() {
        return Vec::new();
    }
    // These sections are the same in all kernels of one build.
    let Some((memory, kaslr_offset)) = image_memory(dump, vmlinux) else { return Vec::new() };
    let image = Image { memory, vmlinux, own: OnceCell::new(), dump, kaslr_offset };
    missing.into_iter().filter_map(|(name, start, end)| image.section(name, start, end)).collect()
}

/// The memory of the kernel's image, and how far it was moved.
fn image_memory<'a>(dump: &'a Dump, vmlinux: &Vmlinux) -> Option<(AddressSpace<'a>, u64)> {
    match dump.architecture() {
        Architecture::X86_64 => {
            let located = location::locate(dump, vmlinux, dump, KernelChoice::Best, &mut Vec::new());
            let Located { location, .. } = located.ok()?;
            Some((AddressSpace::image_only(dump, location.phys_base), location.kaslr_offset))
        }
        Architecture::Arm64 => {
            let ground = Ground::read(dump.vmcoreinfo()?).ok()?;
            Some((ground.memory(dump, None), ground.kaslr_offset))
        }
    }
}

/// The kernel image in memory, with the symbols of its debug file and, where that lacks some, its own.
struct Image<'a> {
    memory: AddressSpace<'a>,
    vmlinux: &'a Vmlinux,
    own: OnceCell<Option<Kallsyms>>,
    dump: &'a Dump,
    kaslr_offset: u64,
}

impl Image<'_> {
    fn section(&self, name: &'static str, start: &str, end: &str) -> Option<PartSection> {
        let own = |name| self.own.get_or_init(|| symbols_of(self.dump)).as_ref()?.address(name);
        let symbol = |name| self.vmlinux.symbols().address(name).or_else(|| own(name));
        let address = symbol(start)?;
        let len = symbol(end)?.get().checked_sub(address.get()).filter(|&len| len <= MAX_READ)?;
        let data = self.memory.read_bytes(self.runtime(address), len).ok()?;
        Some(PartSection { name, address, data })
    }

    fn runtime(&self, address: VirtAddr) -> VirtAddr {
        address.wrapping_add(self.kaslr_offset)
    }
}
