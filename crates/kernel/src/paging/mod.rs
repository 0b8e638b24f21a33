//! Page tables: walking them and saying what an entry means.
//!
//! Those of arm64: `arch/arm64/paging.rs`. On x86-64 there are four or five levels of 512 eight-byte entries. A present entry
//! points to the next table or maps a page (4 KiB at the last level, 2 MiB and 1 GiB above it where bit 7 is set). A non-zero entry without the present bit is the kernel's
//! own: a swap entry, which may stand for a page under migration, or a huge page that is just being split.
//!
//! Sources: `arch/x86/include/asm/pgtable_64.h`, `include/linux/swapops.h`.

mod entry;
mod format;
mod meaning;
mod swap;
mod swap_types;
mod walk;
#[cfg(test)]
mod walk_cases;

pub use crate::arch::arm64::paging::Geometry;
pub use crate::arch::x86_64::physical_mask::PhysicalMask;
pub use entry::Entry;
pub use format::PageFormat;
pub use meaning::Meaning;
pub(crate) use swap::Unreachable;
pub use swap::{MigrationKind, SwapEntry, SwapFields, SwapLayout, SwapMeaning};
pub use walk::{Outcome, PageTables, Step, Walk};
