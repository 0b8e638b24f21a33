//! Dumps of every format: ELF cores and their notes, kdump-compressed, and both of them flattened.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vmcore_fuzz::open_dump(bytes));
