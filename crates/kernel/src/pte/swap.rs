//! Swap entries: what a page-table entry without the present bit stands for. Where its type and offset are:
//! `arch/x86_64/swap.rs`, `arch/arm64/swap.rs`.
//!
//! Types below `MAX_SWAPFILES` are swap devices. Above it come, where the kernel is configured for them: `hwpoison`, the
//! migration types (`READ`, since 5.19 `READ_EXCLUSIVE`, `WRITE`), device memory, markers. How `MAX_SWAPFILES` is found:
//! `swap_types.rs`.
//!
//! Sources: `include/linux/swap.h`, `include/linux/swapops.h`.

use std::fmt;

use vmcore_memory::Pfn;

/// Where the type and the offset are in an entry. An offset has 50 bits everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapFields {
    pub(crate) type_shift: u32,
    pub(crate) type_bits: u32,
    pub(crate) offset_shift: u32,
    /// Whether the bits of the offset are stored inverted.
    pub(crate) inverted: bool,
    /// The bits that mark a page that is mapped, but not for the hardware: made inaccessible, or a huge one in the middle of a
    /// split. 0 where they are not among those of a swap entry.
    pub(crate) unreachable: Unreachable,
}

/// What marks a page that is mapped, but not for the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// It is told by other means than the entry's fields.
    Apart,
    /// One bit for `PROT_NONE`, another for a huge page in the middle of a split.
    ByBits { inaccessible: u64, splitting: u64 },
    /// One bit for both; what is inaccessible is so to all code.
    ByOneBit(u64),
}

impl SwapFields {
    const fn kind(self, raw: u64) -> u64 {
        (raw >> self.type_shift) & ((1 << self.type_bits) - 1)
    }

    const fn offset(self, raw: u64) -> u64 {
        const OFFSET_BITS: u32 = 50;
        ((if self.inverted { !raw } else { raw }) >> self.offset_shift) & ((1 << OFFSET_BITS) - 1)
    }
}

/// How this kernel numbers the special swap types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapLayout {
    /// Where the type is and where the offset; `None` where that is not known, and so no entry is told from another.
    pub fields: Option<SwapFields>,
    /// The first type that is not a swap device; `None` where `swap_info` is not known.
    pub max_swapfiles: Option<u64>,
    /// Whether `SWP_HWPOISON` takes a number (`CONFIG_MEMORY_FAILURE`).
    pub hwpoison: bool,
    /// Whether there is `SWP_MIGRATION_READ_EXCLUSIVE` (kernel commit 6c287605fd56, 5.19).
    pub read_exclusive: bool,
    /// How many low bits of a migration entry's offset are the frame (`SWP_PFN_BITS`; kernel commit 0d206b5d2e0d, 6.1):
    /// the bits above them hold accessed and dirty.
    pub pfn_bits: u32,
}

/// What a migration entry will become again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationKind {
    /// A read-only mapping.
    Read,
    /// A read-only mapping of a page that belongs to this process alone.
    ReadExclusive,
    /// A writable mapping.
    Write,
}

/// What a swap type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapMeaning {
    /// The page is on a swap device.
    Device,
    /// The page was poisoned by a memory error.
    HwPoison,
    /// The page is being migrated, or split: whoever touches it waits until it is put back.
    Migration(MigrationKind),
    /// Another special type.
    Special,
    /// `MAX_SWAPFILES` is not known, so the type cannot be told.
    Unknown,
}

/// A decoded swap entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapEntry {
    /// The raw page-table entry.
    pub raw: u64,
    /// The swap type, 0 to 31.
    pub kind: u64,
    /// The offset, un-inverted.
    pub offset: u64,
    /// What the type stands for.
    pub meaning: SwapMeaning,
    pfn_bits: u32,
}

impl SwapLayout {
    /// For walks that need not tell swap entries apart.
    pub(crate) const UNKNOWN: Self = Self {
        fields: Some(SwapFields::X86_64),
        max_swapfiles: None,
        hwpoison: false,
        read_exclusive: false,
        pfn_bits: 40,
    };

    /// Decodes a raw entry that is not present.
    #[must_use]
    pub const fn decode(&self, raw: u64) -> SwapEntry {
        let (kind, offset, meaning) = match self.fields {
            Some(fields) => (fields.kind(raw), fields.offset(raw), self.meaning(fields.kind(raw))),
            None => (0, 0, SwapMeaning::Unknown),
        };
        SwapEntry { raw, kind, offset, meaning, pfn_bits: self.pfn_bits }
    }

    const fn meaning(&self, kind: u64) -> SwapMeaning {
        let Some(max_swapfiles) = self.max_swapfiles else { return SwapMeaning::Unknown };
        if kind < max_swapfiles {
            return SwapMeaning::Device;
        }
        let special = kind - max_swapfiles;
        let migration = match (self.hwpoison, special) {
            (true, 0) => return SwapMeaning::HwPoison,
            (true, special) => special - 1,
            (false, special) => special,
        };
        match (migration, self.read_exclusive) {
            (0, _) => SwapMeaning::Migration(MigrationKind::Read),
            (1, true) => SwapMeaning::Migration(MigrationKind::ReadExclusive),
            (1, false) | (2, true) => SwapMeaning::Migration(MigrationKind::Write),
            _ => SwapMeaning::Special,
        }
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(max_swapfiles: u64) -> Self {
        Self { max_swapfiles: Some(max_swapfiles), hwpoison: true, read_exclusive: true, ..Self::UNKNOWN }
    }
}

impl SwapEntry {
    /// The frame under migration, or `None` for any other kind of entry.
    #[must_use]
    pub const fn pfn(&self) -> Option<Pfn> {
        match self.meaning {
            SwapMeaning::Migration(_) => Some(Pfn::new(self.offset & ((1 << self.pfn_bits) - 1))),
            _ => None,
        }
    }

    /// Whether whoever touches this entry waits for a migration or split to end.
    #[must_use]
    pub const fn is_migration(&self) -> bool {
        matches!(self.meaning, SwapMeaning::Migration(_))
    }
}

impl fmt::Display for SwapEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offset, .. } = self;
        match self.meaning {
            SwapMeaning::Device => write!(f, "swapped out: device {kind}, offset {offset:#x}"),
            SwapMeaning::HwPoison => write!(f, "poisoned by a memory error: offset {offset:#x}"),
            SwapMeaning::Migration(migration) => {
                let name = match migration {
                    MigrationKind::Read => "read",
                    MigrationKind::ReadExclusive => "read-exclusive",
                    MigrationKind::Write => "write",
                };
                let pfn = self.pfn().unwrap_or_default();
                write!(f, "migration entry ({name}, swap type {kind}), pfn {pfn}")
            }
            SwapMeaning::Special => write!(f, "special swap entry: type {kind}, offset {offset:#x}"),
            SwapMeaning::Unknown => write!(f, "swap entry of unknown meaning: type {kind}, offset {offset:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry of a spinner in a real dump of a 4.19 kernel without hwpoison or device memory.
    #[test]
    fn a_write_migration_entry_of_4_19() {
        let layout = SwapLayout { max_swapfiles: Some(30), ..SwapLayout::UNKNOWN };
        let entry = layout.decode(0xffff_ffff_f8cb_9200);
        assert_eq!(entry.kind, 31);
        assert_eq!(entry.meaning, SwapMeaning::Migration(MigrationKind::Write));
        assert_eq!(entry.pfn(), Some(Pfn::new(0x39a36)));
    }

    /// Of a spinner in a real dump of a 6.12 kernel of arm64, as drgn reads it; and what a 6.1 kernel would have there.
    #[test]
    fn a_migration_entry_of_arm64() {
        let layout = SwapLayout { fields: Some(SwapFields::ARM64_FROM_BIT_12), ..SwapLayout::for_tests(27) };
        let entry = layout.decode(0x0020_0000_41c0_3780);
        assert_eq!((entry.kind, entry.meaning), (30, SwapMeaning::Migration(MigrationKind::Write)));
        assert_eq!(entry.pfn(), Some(Pfn::new(0x41c03)));
        for (fields, raw) in [
            (SwapFields::ARM64_FROM_BIT_8, 30 << 3 | 0x41c03 << 8),
            (SwapFields::ARM64_WITHOUT_EXCLUSIVE, 30 << 2 | 0x41c03 << 8),
        ] {
            let entry = SwapLayout { fields: Some(fields), ..layout }.decode(raw);
            assert_eq!((entry.kind, entry.pfn()), (30, Some(Pfn::new(0x41c03))));
        }
        let unknown = SwapLayout { fields: None, ..layout }.decode(0x0020_0000_41c0_3780);
        assert_eq!((unknown.meaning, unknown.pfn()), (SwapMeaning::Unknown, None));
    }

    #[test]
    fn types_are_numbered_from_the_length_of_swap_info() {
        let layout = SwapLayout::for_tests(22);
        let meaning = |kind: u64| layout.decode(kind << 59).meaning;
        assert_eq!(meaning(21), SwapMeaning::Device);
        assert_eq!(meaning(22), SwapMeaning::HwPoison);
        assert_eq!(meaning(23), SwapMeaning::Migration(MigrationKind::Read));
        assert_eq!(meaning(24), SwapMeaning::Migration(MigrationKind::ReadExclusive));
        assert_eq!(meaning(25), SwapMeaning::Migration(MigrationKind::Write));
        assert_eq!(meaning(26), SwapMeaning::Special);
        let unknown = SwapLayout { max_swapfiles: None, ..layout };
        assert_eq!(unknown.decode(25 << 59).meaning, SwapMeaning::Unknown);
    }

    #[test]
    fn accessed_and_dirty_bits_are_not_part_of_the_frame() {
        let layout = SwapLayout { pfn_bits: 34, ..SwapLayout::for_tests(22) };
        let offset = 0x39a36 | 1 << 34 | 1 << 35;
        let raw = 25 << 59 | ((!offset << 14) >> 5);
        assert_eq!(layout.decode(raw).offset, offset);
        assert_eq!(layout.decode(raw).pfn(), Some(Pfn::new(0x39a36)));
    }
}
