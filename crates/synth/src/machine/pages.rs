//! Processes' page tables, huge pages, and the `struct page`s that describe them.

use vmcore_memory::{PAGE_SIZE, Pfn, VirtAddr};

use super::Machine;
use crate::SynthError;
use crate::memory::tables::{ACCESSED, DIRTY, HUGE, Level, NO_EXECUTE, PRESENT, Tables, USER, WRITABLE};
use crate::scenario::Entry;

/// A transparent huge page.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;
const SMALL_PAGES: u64 = HUGE_PAGE / PAGE_SIZE;
const USER_PAGE: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY | NO_EXECUTE;
/// Inverted in entries that are not present, as a defence against L1TF.
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

impl Machine<'_> {
    /// Memory for a huge page, with its `struct page`s; returns the first frame and the head. It is among all other
    /// memory, or `at_end`: as far up as there is memory.
    pub(crate) fn add_huge_page(&mut self, locked: bool, at_end: bool) -> Result<(Pfn, VirtAddr), SynthError> {
        let space = &mut self.space;
        let memory = if at_end { space.allocate_huge_at_end() } else { space.allocate(HUGE_PAGE, HUGE_PAGE) };
        if at_end {
            // In the dump, so that its last page is where the machine's memory ends.
            space.physical.write(memory.wrapping_add(HUGE_PAGE - PAGE_SIZE), &[1]);
        }
        let first = memory.pfn();
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
        for tail in 1..SMALL_PAGES {
            let page = self.space.page_struct(Pfn::new(first.get() + tail), size);
            self.clear(page, "page")?;
            self.put(page, "page", "compound_head", head.get() | 1)?;
            self.put(page, "page", "_mapcount.counter", u64::from(u32::MAX))?;
        }
        Ok((first, head))
    }

    /// Takes the `struct page`s of a huge page out of the dump: all pages that hold one.
    pub(crate) fn forget_page_structs(&mut self, head: VirtAddr) -> Result<(), SynthError> {
        let size = self.generation.size_of("page")? * SMALL_PAGES;
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

    /// Maps 2 MiB at `at`.
    pub(crate) fn map(
        &mut self,
        tables: Tables,
        at: VirtAddr,
        first: Option<Pfn>,
        entry: Entry,
    ) -> Result<(), SynthError> {
        let frame = || first.ok_or_else(|| SynthError::scenario(format!("the mapping at {at} needs a page")));
        let physical = |pfn: Pfn| pfn.get() * PAGE_SIZE;
        match entry {
            Entry::Huge => self.set_pmd(tables, at, physical(frame()?) | USER_PAGE | HUGE),
            Entry::Invalidated => {
                let inverted = !physical(frame()?) & ADDRESS_MASK;
                self.set_pmd(tables, at, inverted | (USER_PAGE | HUGE) & !PRESENT);
            }
            Entry::PmdMigration => {
                let raw = self.migration(frame()?);
                self.set_pmd(tables, at, raw);
            }
            Entry::PteMigration | Entry::TableMissing => {
                let first = frame()?;
                let raw = |index| self.migration(Pfn::new(first.get() + index));
                let entries: Vec<_> = (0..SMALL_PAGES).map(raw).collect();
                self.set_ptes(tables, at, &entries);
            }
            Entry::Pages => {
                let first = physical(frame()?);
                let entries: Vec<_> = (0..SMALL_PAGES).map(|index| (first + index * PAGE_SIZE) | USER_PAGE).collect();
                self.set_ptes(tables, at, &entries);
            }
            Entry::Unread => self.set_ptes(tables, at, &vec![0; SMALL_PAGES as usize]),
            Entry::SwappedOut => {
                let entries: Vec<_> = (0..SMALL_PAGES).map(|index| swap_entry(0, 0x1000 + index)).collect();
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
        for (index, raw) in (0..).zip(entries) {
            self.space.set_user(tables, (at.wrapping_add(index * PAGE_SIZE), Level::Pte), *raw);
        }
    }

    /// The entry of a writable mapping whose page is being migrated or split.
    fn migration(&self, pfn: Pfn) -> u64 {
        let facts = &self.generation.facts;
        let read = facts.max_swapfiles + u64::from(facts.hwpoison);
        let write = read + 1 + u64::from(facts.read_exclusive);
        swap_entry(write, pfn.get())
    }
}

/// Type in the top five bits, offset inverted below it (kernel commit 2f22b4cd45b6).
const fn swap_entry(kind: u64, offset: u64) -> u64 {
    kind << 59 | (!offset << 14 >> 5)
}
