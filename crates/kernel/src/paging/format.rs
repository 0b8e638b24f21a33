//! The formats of page tables that are read: all that a walk has to know of one.

use vmcore_memory::{PageLevel, VirtAddr};

use super::{Entry, Meaning, PhysicalMask, SwapLayout};
use crate::arch::arm64::paging::Geometry;
use crate::arch::x86_64::paging as x86_64;

/// How a kernel's page tables are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// Those of x86-64.
    X86_64 {
        /// 5 with `la57`, else 4.
        levels: u8,
        /// Which bits of entries are addresses.
        mask: PhysicalMask,
    },
    /// Those of arm64.
    Arm64(Geometry),
}

/// One level of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) name: PageLevel,
    /// The lowest bit of an address that indexes a table of this level: each entry covers `1 << shift` bytes.
    pub(super) shift: u32,
    /// One less than the number of entries.
    pub(super) index_mask: u64,
}

impl PageFormat {
    /// That of a process's tables: on arm64 they have no kernel half.
    #[must_use]
    pub const fn of_user(self) -> Self {
        match self {
            Self::X86_64 { .. } => self,
            Self::Arm64(geometry) => Self::Arm64(geometry.of_user()),
        }
    }

    /// How many levels of tables there are.
    #[must_use]
    pub fn levels(self) -> u8 {
        match self {
            Self::X86_64 { levels, .. } => levels,
            Self::Arm64(geometry) => u8::try_from(geometry.levels()).unwrap_or_default(),
        }
    }

    /// log2 of the size of a base page.
    #[must_use]
    pub const fn page_shift(self) -> u32 {
        match self {
            Self::X86_64 { .. } => x86_64::PAGE_SHIFT,
            Self::Arm64(geometry) => geometry.page_shift(),
        }
    }

    /// The level that is `depth` steps below the top.
    pub(super) fn level(self, depth: u32) -> Option<Level> {
        let (name, shift, bits) = match self {
            Self::X86_64 { levels, .. } => x86_64::level(levels, depth)?,
            Self::Arm64(geometry) => geometry.level(depth)?,
        };
        Some(Level { name, shift, index_mask: (1 << bits) - 1 })
    }

    pub(super) fn is_canonical(self, address: VirtAddr) -> bool {
        match self {
            Self::X86_64 { levels, .. } => x86_64::is_canonical(levels, address),
            Self::Arm64(geometry) => geometry.is_canonical(address),
        }
    }

    pub(super) fn entry(self, raw: u64) -> Entry {
        match self {
            Self::X86_64 { .. } => Entry::new(raw),
            Self::Arm64(_) => Entry::of_arm64(raw),
        }
    }

    pub(super) fn meaning(self, entry: Entry, level: Level, swap: &SwapLayout) -> Meaning {
        match self {
            Self::X86_64 { mask, .. } => x86_64::meaning(entry.raw(), mask, level.name, swap),
            Self::Arm64(geometry) => geometry.meaning(entry.raw(), level.shift, swap),
        }
    }
}
