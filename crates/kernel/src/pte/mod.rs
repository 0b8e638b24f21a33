//! What entries of page tables can mean, whatever the machine: `arch` says it of an entry, `paging` walks from one to the next.

mod meaning;
mod swap;

pub use meaning::Meaning;
pub(crate) use swap::Unreachable;
pub use swap::{MigrationKind, SwapEntry, SwapFields, SwapLayout, SwapMeaning};
