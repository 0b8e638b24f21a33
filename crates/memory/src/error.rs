//! Why a read failed, with everything a person needs to check it by hand.

use std::fmt;

use crate::{FileOffset, PhysAddr, VirtAddr};

/// A level of the x86-64 page tables, named as the kernel names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageLevel {
    /// The top level (PML5 or PML4).
    Pgd,
    /// The level below the top, folded into it with 4-level paging.
    P4d,
    /// Entries that can map 1 GiB.
    Pud,
    /// Entries that can map 2 MiB: where a transparent huge page lives.
    Pmd,
    /// Entries that map 4 KiB.
    Pte,
}

impl PageLevel {
    /// The kernel's name in lower case: `pgd`, `p4d`, `pud`, `pmd` or `pte`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pgd => "pgd",
            Self::P4d => "p4d",
            Self::Pud => "pud",
            Self::Pmd => "pmd",
            Self::Pte => "pte",
        }
    }
}

impl fmt::Display for PageLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why memory could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The dump has no bytes for this physical address.
    #[error("physical address {address} is not in the dump")]
    NotInDump {
        /// The first address that is missing.
        address: PhysAddr,
    },
    /// The dump filter left this page out on purpose.
    #[error("the page at physical address {address} was excluded by the dump filter{}", left_out(*level))]
    Excluded {
        /// The first address of the read in that page.
        address: PhysAddr,
        /// What the filter was asked to leave out, as makedumpfile's `-d` has it: a sum of 1, 2, 4, 8 and 16. `None`
        /// where the dump does not say.
        level: Option<u32>,
    },
    /// The dump was distilled, and the analysis that it was distilled for did not read this.
    #[error("physical address {address} was not kept when the dump was distilled")]
    NotKept {
        /// The first address that was not.
        address: PhysAddr,
    },
    /// The dump names a place in the file for this address, but the file ends before it.
    #[error("physical address {address} would be at file offset {offset}, past the end of the truncated file")]
    Truncated {
        /// The first address that is missing.
        address: PhysAddr,
        /// Where the file should have had it.
        offset: FileOffset,
    },
    /// The page is in the file but its contents cannot be restored.
    #[error("the page at physical address {address} (file offset {offset}) is damaged: {reason}")]
    Damaged {
        /// The page's address.
        address: PhysAddr,
        /// Where the page's data starts in the file.
        offset: FileOffset,
        /// What the decoder said.
        reason: String,
    },
    /// The page tables say that nothing is mapped here.
    #[error("virtual address {address} is not mapped: its {level} entry at physical {entry_address} is {entry:#x}")]
    NotMapped {
        /// The address that was to be translated.
        address: VirtAddr,
        /// The level of the entry that ended the walk.
        level: PageLevel,
        /// Where that entry is.
        entry_address: PhysAddr,
        /// The entry's raw value.
        entry: u64,
    },
    /// A page table that the walk needs could not be read.
    #[error("virtual address {address} cannot be translated: its {level} entry cannot be read: {source}")]
    TableUnreadable {
        /// The address that was to be translated.
        address: VirtAddr,
        /// The level of the entry that could not be read.
        level: PageLevel,
        /// Why it could not be read.
        source: Box<ReadError>,
    },
    /// No machine with the dump's number of page-table levels can use this address.
    #[error("{address} is not a canonical address")]
    NonCanonical {
        /// The address.
        address: VirtAddr,
    },
    /// The range leaves the address space, or is larger than any object this tool reads.
    #[error("reading {len} bytes at {address:#x} leaves the address space or exceeds the read limit")]
    BadRange {
        /// The raw start of the range, physical or virtual.
        address: u64,
        /// The length asked for, in bytes.
        len: u64,
    },
}

/// Which kinds of pages a dump level leaves out: one without that kind's number would have kept the page.
fn left_out(level: Option<u32>) -> String {
    // makedumpfile(8), option -d.
    const KINDS: [(u32, &str); 5] =
        [(1, "zero (1)"), (2, "cache (2)"), (4, "private cache (4)"), (8, "user (8)"), (16, "free (16)")];
    let Some(level @ 1..) = level else { return String::new() };
    let kinds: Vec<_> = KINDS.iter().filter(|(bit, _)| level & bit != 0).map(|(_, name)| *name).collect();
    format!(": makedumpfile -d {level} leaves out {} pages", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excluded_page_names_what_the_level_leaves_out() {
        let excluded = |level| ReadError::Excluded { address: PhysAddr::new(0x5000), level }.to_string();
        let plain = "the page at physical address 0x5000 was excluded by the dump filter";
        assert_eq!(excluded(None), plain);
        // QEMU's dumps of kdump-compressed form have 0 or 1.
        assert_eq!(excluded(Some(0)), plain);
        assert_eq!(excluded(Some(9)), format!("{plain}: makedumpfile -d 9 leaves out zero (1), user (8) pages"));
    }
}
