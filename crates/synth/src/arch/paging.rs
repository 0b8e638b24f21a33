//! Page tables: their geometry, and the entries of each machine.

use vmcore_memory::{PhysAddr, VirtAddr};

use super::{arm64, x86_64};

/// What an entry of which table covers: with pages of 4 KiB that size, 2 MiB, and 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Pte,
    Pmd,
    Pud,
}

/// What the kernel does with a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Code,
    Data,
}

/// How page tables are built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paging {
    /// log2 of the size of a page.
    pub(crate) page_shift: u32,
    /// Bits of an address that are translated.
    pub(crate) va_bits: u32,
    pub(crate) entries: Entries,
}

/// Whose entries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entries {
    X86_64,
    Arm64(arm64::Entries),
}

impl Paging {
    /// Bytes of a page, which are those of a table.
    pub(crate) const fn page_size(self) -> u64 {
        1 << self.page_shift
    }

    /// Bytes of a transparent huge page.
    pub(crate) const fn huge_size(self) -> u64 {
        1 << self.shift(Level::Pmd)
    }

    /// Bits of a user address: the halves of the address space have one page table on x86-64, and one each on arm64.
    pub(crate) const fn user_bits(self) -> u32 {
        match self.entries {
            Entries::X86_64 => self.va_bits - 1,
            Entries::Arm64(_) => self.va_bits,
        }
    }

    const fn bits_per_level(self) -> u32 {
        self.page_shift - 3
    }

    /// The lowest bit of an address that the tables of a level are indexed with.
    pub(crate) const fn shift(self, level: Level) -> u32 {
        let above = match level {
            Level::Pte => 0,
            Level::Pmd => 1,
            Level::Pud => 2,
        };
        self.page_shift + above * self.bits_per_level()
    }

    pub(crate) const fn levels(self) -> u32 {
        (self.va_bits - self.page_shift).div_ceil(self.bits_per_level())
    }

    /// Steps through the shifts from that of the top to that of `level`.
    pub(crate) fn shifts(self, level: Level) -> impl Iterator<Item = u32> {
        let (page, bits, last) = (self.page_shift, self.bits_per_level(), self.shift(level));
        (0..self.levels()).rev().map(move |above| page + above * bits).take_while(move |shift| *shift >= last)
    }

    /// The place of the entry for `address` in a table of this shift.
    pub(crate) const fn index(self, address: VirtAddr, shift: u32) -> u64 {
        let left = self.va_bits - shift;
        let bits = if left < self.bits_per_level() { left } else { self.bits_per_level() };
        address.get() >> shift & ((1 << bits) - 1)
    }

    /// The number of the page at a physical address.
    pub(crate) const fn frame(self, address: PhysAddr) -> u64 {
        address.get() >> self.page_shift
    }

    /// An entry that points to a table.
    pub(crate) const fn table(self, to: PhysAddr, address: VirtAddr) -> u64 {
        match self.entries {
            Entries::X86_64 => x86_64::table(to, address.is_kernel_half()),
            Entries::Arm64(_) => arm64::Entries::table(to, address.is_kernel_half()),
        }
    }

    /// The table that an entry above the last level points to.
    pub(crate) fn next_table(self, raw: u64) -> Option<PhysAddr> {
        match self.entries {
            Entries::X86_64 => x86_64::next_table(raw),
            Entries::Arm64(_) => arm64::Entries::next_table(raw),
        }
    }

    /// An entry that maps a page of the kernel.
    pub(crate) const fn kernel_page(self, at: PhysAddr, level: Level, access: Access) -> u64 {
        match self.entries {
            Entries::X86_64 => x86_64::kernel_page(at, level, access),
            Entries::Arm64(entries) => entries.kernel_page(at, level, access),
        }
    }

    /// An entry that maps a page of a process, which was written to.
    pub(crate) const fn user_page(self, at: PhysAddr, level: Level) -> u64 {
        match self.entries {
            Entries::X86_64 => x86_64::user_page(at, level),
            Entries::Arm64(entries) => entries.user_page(at, level),
        }
    }

    /// That of a huge page which is being split.
    pub(crate) const fn invalidated(self, at: PhysAddr) -> u64 {
        match self.entries {
            Entries::X86_64 => x86_64::invalidated(at),
            Entries::Arm64(entries) => entries.invalidated(at),
        }
    }

    /// A swap entry.
    pub(crate) const fn swap(self, kind: u64, offset: u64) -> u64 {
        match self.entries {
            Entries::X86_64 => x86_64::swap(kind, offset),
            Entries::Arm64(entries) => entries.swap(kind, offset),
        }
    }
}
