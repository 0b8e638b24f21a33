//! x86-64: where a kernel is in memory, and how its memory is translated.

pub(crate) mod boot;
pub(crate) mod location;
pub(crate) mod physical_mask;
