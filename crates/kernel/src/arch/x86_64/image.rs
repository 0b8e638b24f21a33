//! The kernel's virtual addresses on x86-64, and its image among them.
//!
//! ```text
//! page_offset_base ..    the direct map: all physical memory, linear (randomized base)
//! vmalloc_base ..        vmalloc, vmapped stacks
//! vmemmap_base ..        the array of struct page
//! 0xffffffff80000000 ..  the kernel image: physical = virtual - this + phys_base
//! 0xffffffffc0000000 ..  modules
//! ```
//!
//! Source: `Documentation/arch/x86/x86_64/mm.rst`.

use vmcore_memory::{PhysAddr, ReadPhysical, VirtAddr};

use crate::address_space::{AddressSpace, Image};

/// `__START_KERNEL_map`.
pub(crate) const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;
/// `KERNEL_IMAGE_SIZE` with KASLR, the larger of its two values: no image is longer.
pub(crate) const MAX_IMAGE_SIZE: u64 = 1 << 30;

/// Where the byte at the link-time address `link` is, if the image is at `delta`.
pub(crate) const fn physical_address(link: VirtAddr, delta: u64) -> PhysAddr {
    PhysAddr::new(link.get().wrapping_sub(IMAGE_BASE).wrapping_add(delta))
}

impl<'a> AddressSpace<'a> {
    /// An address space that can translate only the kernel image: enough to read the variables that say where the rest
    /// is. `phys_base` is the kernel variable of that name.
    #[must_use]
    pub fn image_only(physical: &'a dyn ReadPhysical, phys_base: u64) -> Self {
        let range = IMAGE_BASE..IMAGE_BASE + MAX_IMAGE_SIZE;
        Self::new(physical, Image { range, to_physical: phys_base.wrapping_sub(IMAGE_BASE) })
    }

    /// The kernel variable of that name.
    pub(crate) fn phys_base(&self) -> u64 {
        self.image.to_physical.wrapping_add(IMAGE_BASE)
    }
}
