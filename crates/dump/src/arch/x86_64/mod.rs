//! What only dumps of x86-64 have.

pub(crate) mod qemu;
