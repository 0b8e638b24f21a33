//! Typed Linux state read from a dump.

#![forbid(unsafe_code)]
