//! The notes of an ELF core: CPU states of both kinds, VMCOREINFO, and damage between them.

#![no_main]

use libfuzzer_sys::fuzz_target;

const HEADERS: usize = 64 + 2 * 56;

/// An ELF core with one page of memory, at 0, and these notes.
fn core(notes: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([4u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([0u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 2, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let page_at = (HEADERS + notes.len()) as u64;
    let len = notes.len() as u64;
    for (kind, offset, size) in [(4u32, HEADERS as u64, len), (1, page_at, 4096)] {
        file.extend([kind, 0].iter().flat_map(|word| word.to_le_bytes()));
        file.extend([offset, 0, 0, size, size, 4].iter().flat_map(|word| word.to_le_bytes()));
    }
    file.extend(notes);
    file.resize(file.len() + 4096, 0);
    file
}

fuzz_target!(|notes: &[u8]| vmcore_fuzz::open_dump(&core(notes)));
