//! Whole debug files: ELF headers and notes, compressed sections, symbols, types, source lines, call frames.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vmcore_fuzz::open_vmlinux(bytes));
