//! What only a vmlinux of x86-64 has.

pub(crate) mod orc;
