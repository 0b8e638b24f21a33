//! What of a dump depends on the machine's architecture.

pub(crate) mod x86_64;
