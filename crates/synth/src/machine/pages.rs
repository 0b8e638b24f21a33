//! Processes' page tables, huge pages, and the `struct page`s that describe them.

use vmcore_memory::{PAGE_SIZE, PhysAddr, VirtAddr};

use super::Machine;
use crate::SynthError;
use crate::arch::{Level, Paging};
use crate::memory::tables::Tables;
use crate::scenario::Entry;

impl Machine<'_> {
    /// Memory for a huge page, with its `struct page`s; returns its first byte and the head. It is among all other
    /// memory, or `at_end`: as far up as there is memory.
    pub(crate) fn add_huge_page(&mut self, locked: bool, at_end: bool) -> Result<(PhysAddr, VirtAddr), SynthError> {
        let space = &mut self.space;
        let paging = space.regions.paging;
        let huge = paging.huge_size();
        let memory = if at_end { space.allocate_huge_at_end() } else { space.allocate(huge, huge) };
        if at_end {
            // In the dump, so that its last page is where the machine's memory ends.
            space.physical.write(memory.wrapping_add(huge - PAGE_SIZE), &[1]);
        }
        let first = paging.frame(memory);
        let size = self.generation.size_of("page")?;
        let head = self.space.page_struct(first, size);
        let flag = |name: &str| self.generation.types().enumerator(name).map_or(0, |bit| 1u64 << bit);
        let mut flags: u64 =
            ["PG_head", "PG_uptodate", "PG_dirty", "PG_swapbacked", "PG_waiters"].map(flag).iter().sum();
        if locked {
            flags |= flag("PG_locked");
        }
        self.clear(head, "page")?;
        self.put(head, "page", "flags", 1 << 63 | flags)?;
        self.put(head, "page", "_refcount.counter", 4)?;
        self.put(head, "page", "_mapcount.counter", u64::from(u32::MAX))?;
        // An anonymous mapping: bit 0. The rest is an address that nobody reads here.
        self.put(head, "page", "mapping", head.get() | 1)?;
        for tail in 1..small_pages(paging) {
            let page = self.space.page_struct(first + tail, size);
            self.clear(page, "page")?;
            self.put(page, "page", "compound_head", head.get() | 1)?;
            self.put(page, "page", "_mapcount.counter", u64::from(u32::MAX))?;
        }
        Ok((memory, head))
    }

    /// Takes the `struct page`s of a huge page out of the dump: all pages that hold one.
    pub(crate) fn forget_page_structs(&mut self, head: VirtAddr) -> Result<(), SynthError> {
        let size = self.generation.size_of("page")? * small_pages(self.space.regions.paging);
        for at in (head.get()..head.get() + size).step_by(PAGE_SIZE as usize) {
            let physical = self.space.translate(VirtAddr::new(at))?;
            self.space.physical.remove(physical.pfn());
        }
        Ok(())
    }

    /// An empty address space: `struct mm_struct` and its page tables.
    pub(crate) fn add_process(&mut self) -> Result<(VirtAddr, Tables), SynthError> {
        let mm = self.new_object("mm_struct")?;
        let (tables, root) = self.space.new_tables();
        for (path, value) in [("pgd", root.get()), ("mm_users.counter", 1), ("mm_count.counter", 1)] {
            self.put(mm, "mm_struct", path, value)?;
        }
        Ok((mm, tables))
    }

    /// Maps a huge page, or what stands for it, at `at`.
    pub(crate) fn map(
        &mut self,
        tables: Tables,
        at: VirtAddr,
        page: Option<PhysAddr>,
        entry: Entry,
    ) -> Result<(), SynthError> {
        let first = || page.ok_or_else(|| SynthError::scenario(format!("the mapping at {at} needs a page")));
        let paging = self.space.regions.paging;
        if at.get() & (paging.huge_size() - 1) != 0
            || at.get().saturating_add(paging.huge_size()) > 1 << paging.user_bits()
        {
            return Err(SynthError::scenario(format!(
                "{at} is not where this kernel maps a huge page; hint: they have {} MiB, and user addresses {} bits",
                paging.huge_size() >> 20,
                paging.user_bits()
            )));
        }
        let small = 0..small_pages(paging);
        match entry {
            Entry::Huge => self.set_pmd(tables, at, paging.user_page(first()?, Level::Pmd)),
            Entry::Invalidated => self.set_pmd(tables, at, paging.invalidated(first()?)),
            Entry::PmdMigration => self.set_pmd(tables, at, self.migration(paging.frame(first()?))),
            Entry::PteMigration | Entry::TableMissing => {
                let first = paging.frame(first()?);
                let entries: Vec<_> = small.map(|index| self.migration(first + index)).collect();
                self.set_ptes(tables, at, &entries);
            }
            Entry::Pages => {
                let first = first()?;
                let page = |index| first.wrapping_add(index * paging.page_size());
                let entries: Vec<_> = small.map(|index| paging.user_page(page(index), Level::Pte)).collect();
                self.set_ptes(tables, at, &entries);
            }
            Entry::Unread => self.set_ptes(tables, at, &small.map(|_| 0).collect::<Vec<_>>()),
            Entry::SwappedOut => {
                let entries: Vec<_> = small.map(|index| paging.swap(0, 0x1000 + index)).collect();
                self.set_ptes(tables, at, &entries);
            }
        }
        if entry == Entry::TableMissing
            && let Some(table) = tables.table(&self.space.physical, (at, Level::Pte))
        {
            self.space.physical.remove(table.pfn());
        }
        Ok(())
    }

    fn set_pmd(&mut self, tables: Tables, at: VirtAddr, raw: u64) {
        self.space.set_user(tables, (at, Level::Pmd), raw);
    }

    fn set_ptes(&mut self, tables: Tables, at: VirtAddr, entries: &[u64]) {
        let each = tables.paging.page_size();
        for (index, raw) in (0..).zip(entries) {
            self.space.set_user(tables, (at.wrapping_add(index * each), Level::Pte), *raw);
        }
    }

    /// The entry of a writable mapping whose page is being migrated or split.
    fn migration(&self, frame: u64) -> u64 {
        let facts = &self.generation.facts;
        let read = facts.max_swapfiles + u64::from(facts.hwpoison);
        let write = read + 1 + u64::from(facts.read_exclusive);
        self.space.regions.paging.swap(write, frame)
    }
}

/// How many pages a huge page has.
const fn small_pages(paging: Paging) -> u64 {
    paging.huge_size() / paging.page_size()
}
