//! What a page-table entry means, on whatever machine.

use std::fmt;

use vmcore_memory::{Pfn, PhysAddr};

use super::SwapEntry;

/// What an entry means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Zero: nothing is mapped.
    Empty,
    /// Points to the table of the next level.
    Table(PhysAddr),
    /// Maps a page.
    Page {
        /// The page's first byte.
        address: PhysAddr,
        /// 4 KiB, 2 MiB or 1 GiB on x86-64.
        size: u64,
    },
    /// Mapped but made inaccessible with `PROT_NONE` or for NUMA balancing: the first access faults.
    ProtNone {
        /// The page's first byte.
        address: PhysAddr,
        /// 4 KiB, 2 MiB or 1 GiB on x86-64.
        size: u64,
    },
    /// A huge page whose present bit `pmdp_invalidate()` has cleared: it is in the middle of being split or moved.
    Invalidated {
        /// The page's first byte.
        address: PhysAddr,
        /// 2 MiB or 1 GiB.
        size: u64,
    },
    /// A swap entry, migration entries among them.
    Swap(SwapEntry),
    /// Not present, and what the kernel keeps in it instead is not told apart: a swap or migration entry, a page that is
    /// made inaccessible, a huge page in the middle of a split.
    NotPresent,
}

impl Meaning {
    /// The frame of the page that is mapped, migrating or being split here, as a kernel with pages of `1 << page_shift` bytes
    /// numbers it.
    #[must_use]
    pub fn pfn(&self, page_shift: u32) -> Option<Pfn> {
        match self {
            Self::Page { address, .. } | Self::ProtNone { address, .. } | Self::Invalidated { address, .. } => {
                Some(address.frame(page_shift))
            }
            Self::Swap(entry) => entry.pfn(),
            Self::Empty | Self::Table(_) | Self::NotPresent => None,
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("not mapped"),
            Self::Table(address) => write!(f, "table at physical {address}"),
            Self::Page { address, size } => write!(f, "{} page at physical {address}", size_name(*size)),
            Self::ProtNone { address, size } => {
                write!(f, "{} page at physical {address}, made inaccessible (PROT_NONE or NUMA)", size_name(*size))
            }
            Self::Invalidated { address, size } => {
                write!(f, "{} page at physical {address}, invalidated while it is split or moved", size_name(*size))
            }
            Self::Swap(entry) => entry.fmt(f),
            Self::NotPresent => f.write_str("not present; what stands in place of the page is not known"),
        }
    }
}

fn size_name(size: u64) -> &'static str {
    match size {
        0x4000 => "16 KiB",
        0x1_0000 => "64 KiB",
        0x200_0000 => "32 MiB",
        0x2000_0000 => "512 MiB",
        0x1000 => "4 KiB",
        0x20_0000 => "2 MiB",
        _ => "1 GiB",
    }
}
