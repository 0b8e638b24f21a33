//! The kernel image: code, unwind tables, variables, and the vmlinux that describes them.

pub(crate) mod code;
pub(crate) mod elf;
pub(crate) mod image;
pub(crate) mod x86_64;
