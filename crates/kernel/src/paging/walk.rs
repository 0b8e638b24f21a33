//! The walk from a top-level table down to the entry that decides.

use vmcore_memory::{PageLevel, PhysAddr, ReadError, ReadPhysical, VirtAddr};

use super::{Entry, Meaning, PageFormat, PhysicalMask, SwapLayout};
use crate::arch::arm64::paging::Geometry;

/// A set of page tables: the kernel's, or one process's.
#[derive(Clone, Copy, Debug)]
pub struct PageTables {
    /// The physical address of the top-level table.
    pub root: PhysAddr,
    /// How they are built.
    pub format: PageFormat,
}

/// One entry that a walk read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The table level.
    pub level: PageLevel,
    /// Where the entry is.
    pub entry_address: PhysAddr,
    /// The entry.
    pub entry: Entry,
    /// What it means.
    pub meaning: Meaning,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At this physical address.
    Mapped(PhysAddr),
    /// The last step's entry maps nothing that the CPU can access.
    NotMapped,
    /// The entry of this level could not be read.
    Unreadable(PageLevel, ReadError),
    /// The address is not canonical with this number of levels.
    NonCanonical,
}

/// A walk: its steps from the top, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The address that was translated.
    pub address: VirtAddr,
    /// The entries read, outermost first.
    pub steps: Vec<Step>,
    /// The end.
    pub outcome: Outcome,
}

impl PageTables {
    /// Tables of x86-64 with so many levels, where `mask` says which bits of entries are addresses.
    #[must_use]
    pub const fn x86_64(root: PhysAddr, levels: u8, mask: PhysicalMask) -> Self {
        Self { root, format: PageFormat::X86_64 { levels, mask } }
    }

    /// Tables of arm64.
    #[must_use]
    pub const fn arm64(root: PhysAddr, geometry: Geometry) -> Self {
        Self { root, format: PageFormat::Arm64(geometry) }
    }

    /// Walks to `address`, keeping every entry on the way.
    pub fn walk<M: ReadPhysical + ?Sized>(self, memory: &M, address: VirtAddr, swap: &SwapLayout) -> Walk {
        let mut steps = Vec::with_capacity(5);
        let outcome = self.descend(memory, address, swap, |step| steps.push(step));
        Walk { address, steps, outcome }
    }

    /// The physical address that `address` is mapped to.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotMapped`] with the deciding entry, [`ReadError::TableUnreadable`], [`ReadError::NonCanonical`].
    pub fn translate<M: ReadPhysical + ?Sized>(self, memory: &M, address: VirtAddr) -> Result<PhysAddr, ReadError> {
        let mut last = None;
        match self.descend(memory, address, &SwapLayout::UNKNOWN, |step| last = Some(step)) {
            Outcome::Mapped(physical) => Ok(physical),
            Outcome::Unreadable(level, source) => {
                Err(ReadError::TableUnreadable { address, level, source: Box::new(source) })
            }
            Outcome::NotMapped => match last {
                Some(Step { level, entry_address, entry, .. }) => {
                    Err(ReadError::NotMapped { address, level, entry_address, entry: entry.raw() })
                }
                None => Err(ReadError::NonCanonical { address }),
            },
            Outcome::NonCanonical => Err(ReadError::NonCanonical { address }),
        }
    }

    /// Whether `address` is mapped and no entry on the way to it forbids execution.
    pub fn is_executable<M: ReadPhysical + ?Sized>(self, memory: &M, address: VirtAddr) -> bool {
        let mut executable = true;
        let outcome = self.descend(memory, address, &SwapLayout::UNKNOWN, |step| {
            executable &= step.entry.lets_execute(&step.meaning);
        });
        executable && matches!(outcome, Outcome::Mapped(_))
    }

    fn descend<M: ReadPhysical + ?Sized>(
        self,
        memory: &M,
        address: VirtAddr,
        swap: &SwapLayout,
        mut record: impl FnMut(Step),
    ) -> Outcome {
        if !self.format.is_canonical(address) {
            return Outcome::NonCanonical;
        }
        let mut table = self.root;
        for level in (0..).map_while(|depth| self.format.level(depth)) {
            let index = (address.get() >> level.shift) & level.index_mask;
            let entry_address = table.wrapping_add(index * 8);
            let entry = match memory.read_physical_u64(entry_address) {
                Ok(raw) => self.format.entry(raw),
                Err(error) => return Outcome::Unreadable(level.name, error),
            };
            let meaning = self.format.meaning(entry, level, swap);
            record(Step { level: level.name, entry_address, entry, meaning });
            match meaning {
                Meaning::Table(next) => table = next,
                Meaning::Page { address: page, size } => {
                    return Outcome::Mapped(page.wrapping_add(address.get() & (size - 1)));
                }
                _ => return Outcome::NotMapped,
            }
        }
        // Only a damaged entry can mean a table at the last level, and none does: every PTE is a leaf.
        Outcome::NotMapped
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Tables(HashMap<u64, u64>);

    impl ReadPhysical for Tables {
        fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let word = self.0.get(&address.get()).ok_or(ReadError::NotInDump { address })?;
            buf.copy_from_slice(&word.to_le_bytes());
            Ok(())
        }
    }

    const SWAP: SwapLayout = SwapLayout::for_tests(22);
    const USER: VirtAddr = VirtAddr::new(0xc0_0010_0090);

    /// pgd[1] -> pud[256] -> pmd[0] -> pte[256] for `USER` with four levels.
    fn four_levels(pte: u64) -> Tables {
        Tables(HashMap::from([
            (0x1000 + 8, 0x2067),
            (0x2000 + 256 * 8, 0x3067),
            (0x3000, 0x4067),
            (0x4000 + 256 * 8, pte),
        ]))
    }

    const ROOT: PageTables = PageTables::x86_64(PhysAddr::new(0x1000), 4, PhysicalMask::ALL);

    #[test]
    fn a_mapped_address_keeps_its_page_offset() {
        let walk = ROOT.walk(&four_levels(0x1234_5067), USER, &SWAP);
        assert_eq!(walk.outcome, Outcome::Mapped(PhysAddr::new(0x1234_5090)));
        let levels: Vec<_> = walk.steps.iter().map(|step| step.level.name()).collect();
        assert_eq!(levels, ["pgd", "pud", "pmd", "pte"]);
    }

    #[test]
    fn the_deciding_entry_is_kept() {
        let migration = 25 << 59 | (!0x39a36u64 << 14) >> 5;
        let walk = ROOT.walk(&four_levels(migration), USER, &SWAP);
        assert_eq!(walk.outcome, Outcome::NotMapped);
        let last = walk.steps.last().unwrap();
        assert_eq!((last.entry_address.get(), last.meaning.pfn(12).unwrap().get()), (0x4800, 0x39a36));
        let error = ROOT.translate(&four_levels(migration), USER).unwrap_err();
        assert!(matches!(error, ReadError::NotMapped { level: PageLevel::Pte, .. }), "{error}");
    }

    #[test]
    fn a_missing_table_is_named() {
        let walk = ROOT.walk(&Tables(HashMap::from([(0x1008, 0x2067)])), USER, &SWAP);
        assert!(matches!(walk.outcome, Outcome::Unreadable(PageLevel::Pud, _)));
        assert_eq!(walk.steps.len(), 1);
    }

    #[test]
    fn tables_of_a_machine_that_encrypts_memory() {
        const C_BIT: u64 = 1 << 47;
        let mut tables = four_levels(0x1234_5067);
        tables.0.values_mut().for_each(|entry| *entry |= C_BIT);
        let end = PhysAddr::new(0x1_0000_0000);
        let encrypted = PageTables::x86_64(ROOT.root, 4, PhysicalMask::of_memory_up_to(end));
        assert_eq!(encrypted.translate(&tables, USER), Ok(PhysAddr::new(0x1234_5090)));
        assert!(ROOT.translate(&tables, USER).is_err());
    }

    #[test]
    fn canonical_depends_on_the_levels() {
        let address = VirtAddr::new(0x00ff_ffff_ffff_0000);
        assert_eq!(ROOT.walk(&four_levels(0), address, &SWAP).outcome, Outcome::NonCanonical);
        let five = PageTables::x86_64(ROOT.root, 5, PhysicalMask::ALL);
        assert!(matches!(five.walk(&four_levels(0), address, &SWAP).outcome, Outcome::Unreadable(PageLevel::Pgd, _)));
    }
}
