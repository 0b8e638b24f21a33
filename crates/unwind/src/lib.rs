//! Registers, memory and unwind tables to stack frames.

#![forbid(unsafe_code)]
