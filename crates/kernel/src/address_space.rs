//! The kernel's own virtual address space.
//!
//! ```text
//! page_offset_base ..    the direct map: all physical memory, linear (randomized base)
//! vmalloc_base ..        vmalloc, vmapped stacks
//! vmemmap_base ..        the array of struct page
//! 0xffffffff80000000 ..  the kernel image: physical = virtual - this + phys_base
//! 0xffffffffc0000000 ..  modules
//! ```
//!
//! The image and the direct map are translated by arithmetic, everything else through the page tables. Source:
//! `Documentation/arch/x86/x86_64/mm.rst`.

use std::ops::Range;

use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr};

use crate::paging::PageTables;

/// `__START_KERNEL_map`.
pub(crate) const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;
/// `KERNEL_IMAGE_SIZE` with KASLR: modules begin after it.
const IMAGE_SIZE: u64 = 1 << 30;

/// Reads kernel virtual memory.
pub struct AddressSpace<'a> {
    physical: &'a dyn ReadPhysical,
    phys_base: u64,
    tables: Option<PageTables>,
    direct_map: Option<Range<u64>>,
}

impl<'a> AddressSpace<'a> {
    /// An address space that can translate only the kernel image: enough to read the variables that say where the rest
    /// is. `phys_base` is the kernel variable of that name.
    #[must_use]
    pub fn image_only(physical: &'a dyn ReadPhysical, phys_base: u64) -> Self {
        Self { physical, phys_base, tables: None, direct_map: None }
    }

    /// Adds the page tables and, where its bounds are known, the direct map.
    #[must_use]
    pub fn with_tables(self, tables: PageTables, direct_map: Option<Range<u64>>) -> Self {
        Self { tables: Some(tables), direct_map, ..self }
    }

    /// The physical memory underneath.
    #[must_use]
    pub fn physical(&self) -> &'a dyn ReadPhysical {
        self.physical
    }

    /// The kernel's page tables; `None` only while the address space is being set up.
    #[must_use]
    pub fn tables(&self) -> Option<PageTables> {
        self.tables
    }

    /// The physical address behind a kernel virtual address.
    ///
    /// # Errors
    ///
    /// As [`PageTables::translate`].
    pub fn translate(&self, address: VirtAddr) -> Result<PhysAddr, ReadError> {
        let raw = address.get();
        if let Some(offset) = raw.checked_sub(IMAGE_BASE).filter(|&offset| offset < IMAGE_SIZE) {
            return Ok(PhysAddr::new(offset.wrapping_add(self.phys_base)));
        }
        if let Some(range) = self.direct_map.as_ref().filter(|range| range.contains(&raw)) {
            return Ok(PhysAddr::new(raw - range.start));
        }
        match self.tables {
            Some(tables) => tables.translate(self.physical, address),
            None => Err(ReadError::NonCanonical { address }),
        }
    }
}

impl ReadVirtual for AddressSpace<'_> {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let bad_range = ReadError::BadRange { address: address.get(), len: buf.len() as u64 };
        let mut at = address;
        let mut rest = buf;
        while !rest.is_empty() {
            let in_page = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let (now, later) = rest.split_at_mut(in_page.min(rest.len()));
            self.physical.read_physical(self.translate(at)?, now)?;
            rest = later;
            if !rest.is_empty() {
                at = at.checked_add(now.len() as u64).ok_or_else(|| bad_range.clone())?;
            }
        }
        Ok(())
    }
}
