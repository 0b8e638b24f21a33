//! Where a kernel is in memory, and what it takes to read its virtual memory: what everything else stands on.

pub(crate) mod arm64;
pub(crate) mod x86_64;
