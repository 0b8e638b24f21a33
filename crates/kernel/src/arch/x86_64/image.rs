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

use vmcore_memory::{PhysAddr, VirtAddr};

/// `__START_KERNEL_map`.
pub(crate) const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;
/// `KERNEL_IMAGE_SIZE` with KASLR, the larger of its two values: no image is longer.
pub(crate) const MAX_IMAGE_SIZE: u64 = 1 << 30;

/// Where the byte at the link-time address `link` is, if the image is at `delta`.
pub(crate) const fn physical_address(link: VirtAddr, delta: u64) -> PhysAddr {
    PhysAddr::new(link.get().wrapping_sub(IMAGE_BASE).wrapping_add(delta))
}
