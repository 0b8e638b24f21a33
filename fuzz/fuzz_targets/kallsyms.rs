//! The kernel's own symbol table, found in memory by its shape.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|memory: &[u8]| vmcore_kernel::fuzzing::kallsyms(memory));
