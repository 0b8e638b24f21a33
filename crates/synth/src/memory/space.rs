//! The kernel's virtual address space, and where memory for it comes from.
//!
//! ```text
//! page_offset_base ..    the direct map: all physical memory, in pages of 1 GiB
//! vmalloc_base ..        stacks, in pages of 4 KiB with a guard page between them
//! vmemmap_base ..        the array of struct page, in pages of 2 MiB
//! cpu_entry_area ..      exception stacks of each CPU
//! __START_KERNEL_map ..  the image, in pages of 2 MiB
//! ```
//!
//! Source: `Documentation/arch/x86/x86_64/mm.rst`.

use std::collections::HashMap;

use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr, VirtAddr};

use super::physical::Physical;
use super::tables::{ACCESSED, DIRTY, HUGE, Level, NO_EXECUTE, PRESENT, Tables, WRITABLE};
use crate::SynthError;
use crate::random::Random;

const GIB: u64 = 1 << 30;
const HUGE_PAGE: u64 = 2 << 20;
/// `__START_KERNEL_map`.
const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;
/// `CPU_ENTRY_AREA_BASE`.
const CPU_ENTRY_AREAS: u64 = 0xffff_fe00_0000_0000;
/// Objects and user pages begin here; the image is below.
const FIRST_FREE: u64 = GIB;
const KERNEL_PAGE: u64 = PRESENT | WRITABLE | ACCESSED | DIRTY;

/// Where the regions begin, and how far the image moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    /// Run-time minus link-time address.
    pub(crate) kaslr: u64,
    pub(crate) phys_base: u64,
    pub(crate) direct_map: VirtAddr,
    pub(crate) vmalloc: VirtAddr,
    pub(crate) vmemmap: VirtAddr,
    pub(crate) levels: u8,
}

impl Regions {
    /// Regions as KASLR chooses them.
    pub(crate) fn choose(random: &mut Random, levels: u8) -> Self {
        let (direct_map, vmalloc, vmemmap) = if levels >= 5 {
            (0xff11_0000_0000_0000, 0xffa0_0000_0000_0000, 0xffd4_0000_0000_0000)
        } else {
            (0xffff_8880_0000_0000, 0xffff_c900_0000_0000, 0xffff_ea00_0000_0000)
        };
        let mut moved = |base: u64| VirtAddr::new(base + random.below(256) * GIB);
        let (direct_map, vmalloc, vmemmap) = (moved(direct_map), moved(vmalloc), moved(vmemmap));
        let kaslr = random.below(240) * HUGE_PAGE;
        // The image may lie anywhere below FIRST_FREE, whatever its virtual address.
        let physical = 16 * HUGE_PAGE + random.below(256) * HUGE_PAGE;
        let phys_base = physical.wrapping_sub(kaslr + 0x100_0000);
        Self { kaslr, phys_base, direct_map, vmalloc, vmemmap, levels }
    }
}

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
    /// 4-KiB pages outside the direct map and the image.
    mapped: HashMap<u64, PhysAddr>,
    /// Pieces of 2 MiB of the array of `struct page`.
    page_structs: HashMap<u64, PhysAddr>,
}

impl Space {
    /// Maps the image from `start` to `end` (run-time addresses) and the direct map of `memory` bytes. The top-level
    /// table is part of the image, at `root`.
    pub(crate) fn new(regions: Regions, memory: u64, image: std::ops::Range<VirtAddr>, root: VirtAddr) -> Self {
        let to_physical = |address: VirtAddr| PhysAddr::new(address.get() - IMAGE_BASE).wrapping_add(regions.phys_base);
        let tables = Tables { root: to_physical(root), levels: regions.levels };
        let next_vmalloc = regions.vmalloc.get();
        let mut space = Self {
            physical: Physical::default(),
            regions,
            tables,
            memory,
            next: FIRST_FREE,
            end: memory,
            next_vmalloc,
            mapped: HashMap::new(),
            page_structs: HashMap::new(),
        };
        space.physical.write(tables.root, &[0; PAGE_SIZE as usize]);
        for page in (image.start.get()..image.end.get()).step_by(HUGE_PAGE as usize) {
            let physical = to_physical(VirtAddr::new(page)).get();
            space.set((VirtAddr::new(page), Level::Pmd), physical | KERNEL_PAGE | HUGE);
        }
        for page in (0..memory).step_by(GIB as usize) {
            let address = regions.direct_map.wrapping_add(page);
            space.set((address, Level::Pud), page | KERNEL_PAGE | HUGE | NO_EXECUTE);
        }
        space
    }

    fn set(&mut self, place: (VirtAddr, Level), raw: u64) {
        let Self { physical, tables, next, .. } = self;
        tables.set(physical, place, raw, || allocate(next, PAGE_SIZE, PAGE_SIZE));
    }

    /// The kernel's own top-level table, and how many levels there are.
    pub(crate) const fn page_tables(&self) -> (PhysAddr, u8) {
        (self.tables.root, self.tables.levels)
    }

    /// Physical memory that nobody has.
    pub(crate) fn allocate(&mut self, size: u64, align: u64) -> PhysAddr {
        allocate(&mut self.next, size, align)
    }

    /// A huge page at the end of what is free.
    pub(crate) fn allocate_huge_at_end(&mut self) -> PhysAddr {
        self.end -= HUGE_PAGE;
        PhysAddr::new(self.end)
    }

    /// The same as [`Space::allocate`], by its address in the direct map.
    pub(crate) fn allocate_object(&mut self, size: u64) -> VirtAddr {
        let physical = self.allocate(size, 64);
        self.direct(physical)
    }

    pub(crate) fn direct(&self, physical: PhysAddr) -> VirtAddr {
        self.regions.direct_map.wrapping_add(physical.get())
    }

    /// Maps fresh memory of `size` bytes in the vmalloc area, with a guard page behind it. Nothing is written to it.
    pub(crate) fn allocate_mapped(&mut self, size: u64, align: u64) -> VirtAddr {
        let at = VirtAddr::new(self.next_vmalloc.next_multiple_of(align));
        self.next_vmalloc = at.get() + size + PAGE_SIZE;
        self.map_fresh(at, size);
        at
    }

    /// The `cpu_entry_area` of a CPU, all of it mapped.
    pub(crate) fn map_entry_area(&mut self, cpu: u32, size: u64) -> VirtAddr {
        // The first page is the read-only IDT.
        let at = VirtAddr::new(CPU_ENTRY_AREAS + PAGE_SIZE + u64::from(cpu) * size);
        self.map_fresh(at, size);
        at
    }

    /// Maps fresh memory at `at`, a multiple of 4 KiB.
    pub(crate) fn map_fresh(&mut self, at: VirtAddr, size: u64) {
        for offset in (0..size).step_by(PAGE_SIZE as usize) {
            let physical = self.allocate(PAGE_SIZE, PAGE_SIZE);
            let page = at.wrapping_add(offset);
            self.mapped.insert(page.get() / PAGE_SIZE, physical);
            self.set((page, Level::Pte), physical.get() | KERNEL_PAGE | NO_EXECUTE);
        }
    }

    /// The `struct page` of a frame; its memory is made where it does not exist yet.
    pub(crate) fn page_struct(&mut self, pfn: Pfn, size: u64) -> VirtAddr {
        let address = self.regions.vmemmap.wrapping_add(pfn.get() * size);
        let piece = address.get() / HUGE_PAGE;
        if !self.page_structs.contains_key(&piece) {
            let physical = self.allocate(HUGE_PAGE, HUGE_PAGE);
            self.page_structs.insert(piece, physical);
            let place = (VirtAddr::new(piece * HUGE_PAGE), Level::Pmd);
            self.set(place, physical.get() | KERNEL_PAGE | HUGE | NO_EXECUTE);
        }
        address
    }

    /// The physical address behind a virtual one.
    pub(crate) fn translate(&self, address: VirtAddr) -> Result<PhysAddr, SynthError> {
        let raw = address.get();
        if let Some(physical) = self.mapped.get(&(raw / PAGE_SIZE)) {
            return Ok(physical.wrapping_add(raw % PAGE_SIZE));
        }
        if let Some(physical) = self.page_structs.get(&(raw / HUGE_PAGE)) {
            return Ok(physical.wrapping_add(raw % HUGE_PAGE));
        }
        if raw >= IMAGE_BASE {
            return Ok(PhysAddr::new(raw - IMAGE_BASE).wrapping_add(self.regions.phys_base));
        }
        let offset = raw.checked_sub(self.regions.direct_map.get()).filter(|offset| *offset < self.memory);
        offset.map(PhysAddr::new).ok_or(SynthError::Unmapped(address))
    }

    /// Writes kernel memory.
    pub(crate) fn write(&mut self, address: VirtAddr, bytes: &[u8]) -> Result<(), SynthError> {
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_page = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1);
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
        let root = self.allocate(PAGE_SIZE, PAGE_SIZE);
        self.physical.write(root, &[0; PAGE_SIZE as usize]);
        (Tables { root, levels: self.regions.levels }, self.direct(root))
    }

    /// Sets an entry of a process's page tables.
    pub(crate) fn set_user(&mut self, tables: Tables, place: (VirtAddr, Level), raw: u64) {
        let Self { physical, next, .. } = self;
        tables.set(physical, place, raw, || allocate(next, PAGE_SIZE, PAGE_SIZE));
    }
}

const fn allocate(next: &mut u64, size: u64, align: u64) -> PhysAddr {
    let at = next.next_multiple_of(align);
    *next = at + size;
    PhysAddr::new(at)
}
