//! The kernel image alone, by arithmetic: enough to read the variables that say where the rest is.

use vmcore_memory::ReadPhysical;

use crate::address_space::{AddressSpace, Image};
use crate::arch::x86_64::image::{IMAGE_BASE, MAX_IMAGE_SIZE};

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
