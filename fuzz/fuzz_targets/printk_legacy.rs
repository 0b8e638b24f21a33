//! The log buffer up to 5.9.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|memory: &[u8]| vmcore_kernel::fuzzing::printk_legacy(memory));
