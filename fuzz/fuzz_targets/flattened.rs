//! Flattened dumps: their records, and whatever these put together. The magic is always there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vmcore_fuzz::open_dump(&vmcore_fuzz::with_magic(bytes, b"makedumpfile\0")));
