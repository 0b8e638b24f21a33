//! The log buffer since 5.10.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|memory: &[u8]| vmcore_kernel::fuzzing::printk_lockless(memory));
