//! Walks that differ from one machine architecture to another. That of x86-64 by ORC is `unwinder.rs`.

pub(crate) mod arm64;
pub(crate) mod x86_64;
