//! Page tables: walking them and saying what an entry means.
//!
//! Those of x86-64: `arch/x86_64/paging.rs`; of arm64: `arch/arm64/paging.rs`.

mod entry;
mod format;
mod swap_types;
mod walk;
#[cfg(test)]
mod walk_cases;

pub use crate::arch::arm64::paging::Geometry;
pub use crate::arch::x86_64::physical_mask::PhysicalMask;
pub use crate::pte::{Meaning, MigrationKind, SwapEntry, SwapFields, SwapLayout, SwapMeaning};
pub use entry::Entry;
pub use format::PageFormat;
pub use walk::{Outcome, PageTables, Step, Walk};
