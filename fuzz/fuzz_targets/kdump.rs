//! kdump-compressed dumps: headers, bitmaps, and pages of every compression. The magic is always there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vmcore_fuzz::open_dump(&vmcore_fuzz::with_magic(bytes, b"KDUMP   ")));
