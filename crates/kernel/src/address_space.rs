//! The kernel's own virtual address space: its image and the direct map are translated by arithmetic, everything else through the
//! page tables. Where the regions lie: `arch/x86_64/image.rs`, `ground/arm64/mod.rs`.

use std::ops::Range;

use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr};

use crate::paging::PageTables;

/// Reads kernel virtual memory.
pub struct AddressSpace<'a> {
    physical: &'a dyn ReadPhysical,
    pub(crate) image: Image,
    tables: Option<PageTables>,
    direct_map: Option<DirectMap>,
}

/// The kernel image, which is linear in physical memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its virtual addresses.
    pub(crate) range: Range<u64>,
    /// What to add to one of them, modulo 2^64, for the physical address.
    pub(crate) to_physical: u64,
}

/// All physical memory, linear in virtual memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectMap {
    /// Its virtual addresses.
    pub(crate) range: Range<u64>,
    /// The physical address that it begins with; below 0 modulo 2^64.
    pub(crate) physical: u64,
}

impl DirectMap {
    /// The direct map that begins with physical address 0.
    pub(crate) const fn from_zero(range: Range<u64>) -> Self {
        Self { range, physical: 0 }
    }
}

impl<'a> AddressSpace<'a> {
    /// An address space that can translate only this image.
    pub(crate) const fn new(physical: &'a dyn ReadPhysical, image: Image) -> Self {
        Self { physical, image, tables: None, direct_map: None }
    }

    /// Says where the image ends: the run-time address of `_end`. Modules may begin right above it.
    #[must_use]
    pub fn with_image_end(self, end: VirtAddr) -> Self {
        let Range { start, end: last } = self.image.range;
        let end = Some(end.get()).filter(|end| (start..=last).contains(end)).unwrap_or(last);
        Self { image: Image { range: start..end, ..self.image }, ..self }
    }

    /// Adds the page tables.
    #[must_use]
    pub fn with_tables(self, tables: PageTables) -> Self {
        Self { tables: Some(tables), ..self }
    }

    /// Adds the direct map, where its bounds are known.
    pub(crate) fn with_direct_map(self, direct_map: Option<DirectMap>) -> Self {
        Self { direct_map, ..self }
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

    /// Where the direct map has a physical address; `None` where its bounds are not known, or do not reach it.
    #[must_use]
    pub fn direct_map_address(&self, physical: PhysAddr) -> Option<VirtAddr> {
        let DirectMap { range, physical: first } = self.direct_map.as_ref()?;
        let address = range.start.checked_add(physical.get().wrapping_sub(*first));
        Some(VirtAddr::new(address.filter(|address| range.contains(address))?))
    }

    /// The physical address behind a kernel virtual address.
    ///
    /// # Errors
    ///
    /// As [`PageTables::translate`].
    pub fn translate(&self, address: VirtAddr) -> Result<PhysAddr, ReadError> {
        let raw = address.get();
        if self.image.range.contains(&raw) {
            return Ok(PhysAddr::new(raw.wrapping_add(self.image.to_physical)));
        }
        if let Some(map) = self.direct_map.as_ref().filter(|map| map.range.contains(&raw)) {
            return Ok(PhysAddr::new((raw - map.range.start).wrapping_add(map.physical)));
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

    fn reads_around(&self) -> bool {
        self.physical.reads_around()
    }
}

#[cfg(test)]
mod tests {
    use vmcore_memory::PageLevel;

    use super::*;
    use crate::arch::x86_64::image::IMAGE_BASE;
    use crate::paging::PhysicalMask;
    use crate::test_memory::TestMemory;

    const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
    const VMALLOC: u64 = 0xffff_c900_0000_0000;
    const ROOT: u64 = 0x1000;

    /// Tables at 0x1000 to 0x4000 that map two pages of vmalloc space, to 0x9000 and 0x7000. The last page of all is
    /// mapped by one table that is its own parent.
    fn physical() -> TestMemory {
        let mut memory = TestMemory::default();
        let mut entry = |table: u64, index: u64, value: u64| memory.put_u64(table + index * 8, value | 0x67);
        entry(ROOT, 402, 0x2000);
        entry(0x2000, 0, 0x3000);
        entry(0x3000, 0, 0x4000);
        entry(0x4000, 0, 0x9000);
        entry(0x4000, 1, 0x7000);
        entry(ROOT, 511, 0x5000);
        entry(0x5000, 511, 0x5000);
        for page in [0x6000u64, 0x7000, 0x9000] {
            memory.put(page, format!("page at {page:#x}").as_bytes());
            memory.put(page + 0xff8, b"the end ");
        }
        memory
    }

    fn space(physical: &TestMemory) -> AddressSpace<'_> {
        let tables = PageTables::x86_64(PhysAddr::new(ROOT), 4, PhysicalMask::ALL);
        AddressSpace::image_only(physical, 0xffff_ffff_ff00_0000)
            .with_tables(tables)
            .with_direct_map(Some(DirectMap::from_zero(DIRECT_MAP..DIRECT_MAP + 0x1_0000)))
    }

    fn text(space: &AddressSpace<'_>, address: u64) -> String {
        String::from_utf8(space.read_bytes(VirtAddr::new(address), 14).unwrap()).unwrap()
    }

    #[test]
    fn the_image_moves_by_a_base_that_may_be_negative() {
        let memory = physical();
        assert_eq!(text(&space(&memory), IMAGE_BASE + 0x100_6000), "page at 0x6000");
        let early = AddressSpace::image_only(&memory, 0xffff_ffff_ff00_0000);
        assert_eq!(text(&early, IMAGE_BASE + 0x100_6000), "page at 0x6000");
        assert!(early.translate(VirtAddr::new(VMALLOC)).is_err());
    }

    #[test]
    fn the_direct_map_is_linear_and_ends() {
        let memory = physical();
        let space = space(&memory);
        assert_eq!(text(&space, DIRECT_MAP + 0x7000), "page at 0x7000");
        let behind = space.translate(VirtAddr::new(DIRECT_MAP + 0x1_0000));
        assert!(matches!(behind, Err(ReadError::NotMapped { level: PageLevel::Pgd, .. })), "{behind:?}");
    }

    #[test]
    fn pages_that_are_neighbours_only_by_their_virtual_addresses() {
        let memory = physical();
        let space = space(&memory);
        assert_eq!(text(&space, VMALLOC), "page at 0x9000");
        let mut bytes = [0; 22];
        space.read_virtual(VirtAddr::new(VMALLOC + 0xff8), &mut bytes).unwrap();
        assert_eq!(&bytes, b"the end page at 0x7000");
    }

    #[test]
    fn a_read_stops_where_mapping_or_memory_does() {
        let mut memory = physical();
        let address = VirtAddr::new(VMALLOC + 0x1ffc);
        let error = space(&memory).read_u64(address).unwrap_err();
        assert!(matches!(error, ReadError::NotMapped { address, .. } if address.get() == VMALLOC + 0x2000), "{error}");
        memory.remove_page(0x7000);
        let error = space(&memory).read_u64(VirtAddr::new(VMALLOC + 0xffc)).unwrap_err();
        assert_eq!(error, ReadError::NotInDump { address: PhysAddr::new(0x7000) });
    }

    #[test]
    fn nothing_is_behind_the_last_address() {
        let memory = physical();
        let last = u64::MAX - 3;
        assert!(space(&memory).read_u32(VirtAddr::new(last)).is_ok());
        let error = space(&memory).read_u64(VirtAddr::new(last)).unwrap_err();
        assert_eq!(error, ReadError::BadRange { address: last, len: 8 });
    }
}
