//! The memory of a machine that never ran: physical pages, page tables, and the kernel's view of both.

pub(crate) mod physical;
pub(crate) mod space;
pub(crate) mod tables;
