//! Pages of the machine's memory: how large they are, what page tables say of them, and each page's `struct page`.

use vmcore_memory::{Pfn, PhysAddr, ReadError, VirtAddr};

use super::Kernel;
use crate::frames;
use crate::page::Page;
use crate::paging::{PageFormat, PageTables, PhysicalMask, SwapLayout, Walk};

impl Kernel<'_> {
    /// log2 of the size of the kernel's base pages: 12, on arm64 also 14 or 16.
    #[must_use]
    pub const fn page_shift(&self) -> u32 {
        self.format.page_shift()
    }

    /// Bytes that so many base pages have.
    #[must_use]
    pub const fn bytes_of_pages(&self, pages: u64) -> u64 {
        pages.saturating_mul(1 << self.page_shift())
    }

    /// How many levels the page tables have.
    #[must_use]
    pub fn page_levels(&self) -> u8 {
        self.format.levels()
    }

    /// Which bits of page-table entries are addresses.
    #[must_use]
    pub fn physical_mask(&self) -> PhysicalMask {
        match self.format {
            PageFormat::X86_64 { mask, .. } => mask,
            PageFormat::Arm64(_) => PhysicalMask::ALL,
        }
    }

    /// The page tables of a process.
    ///
    /// # Errors
    ///
    /// As [`AddressSpace::translate`](crate::AddressSpace::translate), where the `mm_struct` cannot be read.
    pub fn user_tables(&self, mm: VirtAddr) -> Result<PageTables, ReadError> {
        let pgd = self.pgd.read_pointer(&self.memory, mm)?;
        let root: PhysAddr = self.memory.translate(pgd)?;
        Ok(PageTables { root, format: self.format.of_user() })
    }

    /// Walks a process's page tables to a user address.
    ///
    /// # Errors
    ///
    /// As [`Kernel::user_tables`].
    pub fn walk_user(&self, mm: VirtAddr, address: VirtAddr) -> Result<Walk, ReadError> {
        Ok(self.user_tables(mm)?.walk(self.memory.physical(), address, &self.swap))
    }

    /// Walks the kernel's page tables.
    #[must_use]
    pub fn walk_kernel(&self, address: VirtAddr) -> Option<Walk> {
        Some(self.memory.tables()?.walk(self.memory.physical(), address, &self.swap))
    }

    /// How this kernel numbers swap types.
    #[must_use]
    pub fn swap_layout(&self) -> &SwapLayout {
        &self.swap
    }

    /// The address of the `struct page` of a frame, by the kernel's own number.
    #[must_use]
    pub fn page_address(&self, pfn: Pfn) -> Option<VirtAddr> {
        self.page_layout.address(self.regions.vmemmap?, pfn)
    }

    /// Reads the `struct page` at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`](vmcore_memory::ReadVirtual::read_virtual).
    pub fn page(&self, address: VirtAddr) -> Result<Page, ReadError> {
        self.page_layout.read(&self.memory, self.regions.vmemmap, address)
    }

    /// Visits pages of memory in parallel and collects what `visit` finds in each, by physical address, until there is
    /// more than `limit`; with the number of pages that were looked at.
    #[must_use]
    pub fn scan_pages<T: Send>(&self, limit: usize, visit: impl Fn(PhysAddr, &[u8]) -> Vec<T> + Sync) -> (Vec<T>, u64) {
        frames::scan(self.dump, limit, visit)
    }
}
