//! One page-table entry and what it means at its level.

use std::fmt;

use vmcore_memory::{Architecture, PageLevel};

use crate::arch::arm64::paging as arm64;
use crate::arch::x86_64::paging as x86_64;

use super::{Meaning, PhysicalMask, SwapLayout};

/// A raw page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry(u64, Architecture);

impl Entry {
    /// Wraps a raw value of x86-64.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw, Architecture::X86_64)
    }

    /// Wraps a raw value of arm64.
    #[must_use]
    pub const fn of_arm64(raw: u64) -> Self {
        Self(raw, Architecture::Arm64)
    }

    /// The raw value.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether the entry, which has this meaning, lets the kernel execute code below it.
    pub(super) const fn lets_execute(self, meaning: &Meaning) -> bool {
        match self.1 {
            Architecture::X86_64 => x86_64::is_executable(self.0),
            Architecture::Arm64 => arm64::is_executable(self.0, matches!(meaning, Meaning::Table(_))),
        }
    }

    /// What the entry of x86-64 means at `level`, on a kernel with this swap layout that encrypts no memory.
    #[must_use]
    pub fn meaning(self, level: PageLevel, swap: &SwapLayout) -> Meaning {
        x86_64::meaning(self.0, PhysicalMask::ALL, level, swap)
    }

    /// The flag bits of a present entry, in words, such as `present writable user accessed dirty`.
    #[must_use]
    pub fn flags(self) -> String {
        match self.1 {
            Architecture::X86_64 => x86_64::flags(self.0),
            Architecture::Arm64 => arm64::flags(self.0),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:#x})", self.0)
    }
}
