//! The kernel's virtual address space, and where memory for it comes from. Where its parts begin is the machine's
//! ([`Regions`]).

use std::collections::HashMap;
use std::ops::Range;

use vmcore_memory::{PhysAddr, VirtAddr};

use super::physical::Physical;
use super::tables::Tables;
use crate::SynthError;
use crate::arch::{Access, Level, Regions};

const GIB: u64 = 1 << 30;
/// The array of `struct page` is mapped in pieces of this size.
const PIECE: u64 = 2 << 20;
/// Objects and user pages begin so far into memory; the image is below.
const FIRST_FREE: u64 = GIB;

/// The kernel's memory.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) physical: Physical,
    pub(crate) regions: Regions,
    tables: Tables,
    /// How much physical memory there is, in bytes.
    memory: u64,
    next: u64,
    /// Behind the last that is free.
    end: u64,
    next_vmalloc: u64,
    /// The run-time addresses of the image.
    image: Range<VirtAddr>,
    /// Pages outside the direct map and the image, by number.
    mapped: HashMap<u64, PhysAddr>,
    /// Pieces of the array of `struct page`.
    page_structs: HashMap<u64, PhysAddr>,
}

impl Space {
    /// Maps the image (run-time addresses), whose variables begin at `data`, and the direct map of `memory` bytes. The
    /// top-level table is part of the image, at `root`.
    pub(crate) fn new(
        regions: Regions,
        memory: u64,
        (image, data): (Range<VirtAddr>, VirtAddr),
        root: VirtAddr,
    ) -> Self {
        let tables = Tables { root: regions.of_image(root), paging: regions.paging };
        let next_vmalloc = regions.vmalloc.get();
        let first = regions.memory.get();
        let page_size = regions.paging.page_size();
        let mut space = Self {
            physical: Physical::of_pages(page_size),
            regions,
            tables,
            memory,
            next: first + FIRST_FREE,
            end: first + memory,
            next_vmalloc,
            image: image.clone(),
            mapped: HashMap::new(),
            page_structs: HashMap::new(),
        };
        let empty = vec![0; usize::try_from(page_size).unwrap_or_default()];
        space.physical.write(tables.root, &empty);
        for (part, access) in [(image.start..data, Access::Code), (data..image.end, regions.image_data)] {
            let size = part.end.get() - part.start.get();
            space.map_linear((part.start, regions.of_image(part.start)), size, (regions.image_level, access));
        }
        space.map_linear((regions.direct_map, regions.memory), memory, (regions.direct_level, Access::Data));
        space
    }

    /// Maps `size` bytes of memory in entries of one level.
    fn map_linear(&mut self, (at, physical): (VirtAddr, PhysAddr), size: u64, (level, access): (Level, Access)) {
        let paging = self.regions.paging;
        let each = 1u64 << paging.shift(level);
        for offset in (0..size.next_multiple_of(each)).step_by(usize::try_from(each).unwrap_or(usize::MAX)) {
            let raw = paging.kernel_page(physical.wrapping_add(offset), level, access);
            self.set((at.wrapping_add(offset), level), raw);
        }
    }

    fn set(&mut self, place: (VirtAddr, Level), raw: u64) {
        let Self { physical, tables, next, .. } = self;
        let page = tables.paging.page_size();
        tables.set(physical, place, raw, || allocate(next, page, page));
    }

    /// The kernel's own page tables.
    pub(crate) const fn page_tables(&self) -> Tables {
        self.tables
    }

    /// Physical memory that nobody has.
    pub(crate) fn allocate(&mut self, size: u64, align: u64) -> PhysAddr {
        allocate(&mut self.next, size, align)
    }

    /// A huge page at the end of what is free.
    pub(crate) fn allocate_huge_at_end(&mut self) -> PhysAddr {
        let size = self.regions.paging.huge_size();
        self.end = (self.end - size) & !(size - 1);
        PhysAddr::new(self.end)
    }

    /// The same as [`Space::allocate`], by its address in the direct map.
    pub(crate) fn allocate_object(&mut self, size: u64) -> VirtAddr {
        let physical = self.allocate(size, 64);
        self.direct(physical)
    }

    pub(crate) fn direct(&self, physical: PhysAddr) -> VirtAddr {
        self.regions.direct_map.wrapping_add(physical.get() - self.regions.memory.get())
    }

    /// Maps fresh memory of `size` bytes in the vmalloc area, with a guard page behind it. Nothing is written to it.
    pub(crate) fn allocate_mapped(&mut self, size: u64, align: u64) -> VirtAddr {
        let at = VirtAddr::new(self.next_vmalloc.next_multiple_of(align));
        self.next_vmalloc = at.get() + size + self.regions.paging.page_size();
        self.map_fresh(at, size);
        at
    }

    /// Maps fresh memory at `at`, the start of a page.
    pub(crate) fn map_fresh(&mut self, at: VirtAddr, size: u64) {
        let paging = self.regions.paging;
        for offset in (0..size).step_by(usize::try_from(paging.page_size()).unwrap_or(usize::MAX)) {
            let physical = self.allocate(paging.page_size(), paging.page_size());
            let page = at.wrapping_add(offset);
            self.mapped.insert(page.get() >> paging.page_shift, physical);
            self.set((page, Level::Pte), paging.kernel_page(physical, Level::Pte, Access::Data));
        }
    }

    /// The `struct page` of a frame; its memory is made where it does not exist yet.
    pub(crate) fn page_struct(&mut self, frame: u64, size: u64) -> VirtAddr {
        let address = self.regions.vmemmap.wrapping_add(frame * size);
        let piece = address.get() / PIECE;
        if !self.page_structs.contains_key(&piece) {
            let physical = self.allocate(PIECE, PIECE);
            self.page_structs.insert(piece, physical);
            let level = if self.regions.paging.huge_size() == PIECE { Level::Pmd } else { Level::Pte };
            self.map_linear((VirtAddr::new(piece * PIECE), physical), PIECE, (level, Access::Data));
        }
        address
    }

    /// The physical address behind a virtual one.
    pub(crate) fn translate(&self, address: VirtAddr) -> Result<PhysAddr, SynthError> {
        let raw = address.get();
        let paging = self.regions.paging;
        if let Some(physical) = self.mapped.get(&(raw >> paging.page_shift)) {
            return Ok(physical.wrapping_add(raw & (paging.page_size() - 1)));
        }
        if let Some(physical) = self.page_structs.get(&(raw / PIECE)) {
            return Ok(physical.wrapping_add(raw % PIECE));
        }
        if self.image.contains(&address) {
            return Ok(self.regions.of_image(address));
        }
        let offset = raw.checked_sub(self.regions.direct_map.get()).filter(|offset| *offset < self.memory);
        offset.map(|offset| self.regions.memory.wrapping_add(offset)).ok_or(SynthError::Unmapped(address))
    }

    /// Writes kernel memory.
    pub(crate) fn write(&mut self, address: VirtAddr, bytes: &[u8]) -> Result<(), SynthError> {
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_page = usize::try_from(vmcore_memory::PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let (now, later) = rest.split_at(rest.len().min(in_page));
            let physical = self.translate(at)?;
            self.physical.write(physical, now);
            at = at.wrapping_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    pub(crate) fn write_u64(&mut self, address: VirtAddr, value: u64) -> Result<(), SynthError> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn read_u64(&self, address: VirtAddr) -> Result<u64, SynthError> {
        Ok(self.physical.read_u64(self.translate(address)?))
    }

    /// An empty set of page tables for a process, with its address in the direct map.
    pub(crate) fn new_tables(&mut self) -> (Tables, VirtAddr) {
        let paging = self.regions.paging;
        let root = self.allocate(paging.page_size(), paging.page_size());
        self.physical.write(root, &vec![0; usize::try_from(paging.page_size()).unwrap_or_default()]);
        (Tables { root, paging }, self.direct(root))
    }

    /// Sets an entry of a process's page tables.
    pub(crate) fn set_user(&mut self, tables: Tables, place: (VirtAddr, Level), raw: u64) {
        let Self { physical, next, .. } = self;
        let page = tables.paging.page_size();
        tables.set(physical, place, raw, || allocate(next, page, page));
    }
}

const fn allocate(next: &mut u64, size: u64, align: u64) -> PhysAddr {
    let at = next.next_multiple_of(align);
    *next = at + size;
    PhysAddr::new(at)
}
