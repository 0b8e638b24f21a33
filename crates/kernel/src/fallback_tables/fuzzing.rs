//! The search for kallsyms and its decoder, for fuzzers.

use vmcore_memory::PAGE_SIZE;

use super::scan;
use crate::arch::x86_64::image::{IMAGE_BASE, MAX_IMAGE_SIZE};
use crate::fuzzing::Flat;

/// Searches `memory` for the tables of kallsyms and decodes them.
pub fn kallsyms(memory: &[u8]) {
    let pages = memory.len().div_ceil(PAGE_SIZE as usize);
    let mut memory = memory.to_vec();
    memory.resize(pages * PAGE_SIZE as usize, 0);
    let (chunk, memory) = (0..pages as u64, Flat(&memory));
    for found in scan::find(&memory, &[chunk], IMAGE_BASE..IMAGE_BASE + MAX_IMAGE_SIZE, &|_| ()) {
        if let Ok(symbols) = found.tables.decode(0) {
            let _ = (symbols.iter().count(), symbols.address("_text"));
        }
    }
}
