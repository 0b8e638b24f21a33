//! One fact: what was read, where, and what it means.

use vmcore_memory::{PhysAddr, VirtAddr};

/// Where a piece of evidence was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A kernel virtual address.
    Kernel(VirtAddr),
    /// A virtual address of a process.
    User(VirtAddr),
    /// A physical address.
    Physical(PhysAddr),
}

/// The raw value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An address, a flag word, a page-table entry.
    Hex(u64),
    /// A count or a time.
    Decimal(i64),
    /// A name. From the dump: untrusted.
    Text(String),
}

/// One fact: enough to check it with another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What was read, by its kernel name where it has one.
    pub what: String,
    /// Where; `None` for what was computed.
    pub place: Option<Place>,
    /// What was found there.
    pub value: Option<Value>,
    /// What it means.
    pub meaning: String,
}

impl Evidence {
    /// A fact without a place or a value yet.
    pub fn new(what: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { what: what.into(), place: None, value: None, meaning: meaning.into() }
    }

    /// Adds where it was read.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Adds the raw value.
    #[must_use]
    pub fn value(self, value: Value) -> Self {
        Self { value: Some(value), ..self }
    }
}
