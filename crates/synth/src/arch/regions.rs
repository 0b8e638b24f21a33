//! Where a running kernel has its memory.

use vmcore_memory::{PhysAddr, VirtAddr};

use super::{Access, Level, Paging};

/// Where the regions begin, and how far the image moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    pub(crate) paging: Paging,
    /// Run-time minus link-time address of the image.
    pub(crate) kaslr: u64,
    /// Virtual minus physical address of the image.
    pub(crate) image_offset: u64,
    /// Where the machine's memory begins.
    pub(crate) memory: PhysAddr,
    /// The address of the first byte of memory in the direct map.
    pub(crate) direct_map: VirtAddr,
    pub(crate) vmalloc: VirtAddr,
    /// Where the `struct page` of frame 0 would be.
    pub(crate) vmemmap: VirtAddr,
    /// The pages that the image and the direct map are mapped with.
    pub(crate) image_level: Level,
    /// How the image's variables are mapped.
    pub(crate) image_data: Access,
    pub(crate) direct_level: Level,
}

impl Regions {
    /// The physical address of a run-time address of the image.
    pub(crate) const fn of_image(&self, address: VirtAddr) -> PhysAddr {
        PhysAddr::new(address.get().wrapping_sub(self.image_offset))
    }
}
