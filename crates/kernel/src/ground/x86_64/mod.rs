//! The ground of a kernel of x86-64: found in memory, then booted into its own page tables.

pub(crate) mod boot;
mod image;
pub(crate) mod location;
