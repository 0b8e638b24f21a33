//! Whether the memory of a dump is encrypted: a hypervisor reads that of a guest of AMD SEV or Intel TDX as random bytes.
//!
//! QEMU finds no VMCOREINFO in such memory either (`dump_init()` in its `dump/dump.c`), so nothing says where the kernel should be.

use std::ops::Range;

use vmcore_dump::Dump;
use vmcore_memory::{PhysAddr, ReadPhysical};

use crate::contents::Contents;

/// Pages that are looked at, and how many of them must not be zero.
const SAMPLES: u64 = 32;
const ENOUGH: usize = 8;

/// How many pages were looked at, spread over all memory, where all of them are random. Of a machine that is not encrypted some are code,
/// text, tables or free.
pub(super) fn random_pages(dump: &Dump, physical: &dyn ReadPhysical) -> Option<usize> {
    let ranges = dump.stored_ranges();
    let samples = (0..SAMPLES).filter_map(|sample| place(&ranges, sample));
    let known: Vec<Contents> =
        samples.map(|at| Contents::of(physical, at)).filter(|contents| *contents != Contents::Zeroes).collect();
    let is_random = known.len() >= ENOUGH && known.iter().all(|contents| *contents == Contents::Random);
    is_random.then_some(known.len())
}

/// The address that so many 32nds of the stored bytes are below.
fn place(ranges: &[Range<PhysAddr>], sample: u64) -> Option<PhysAddr> {
    let len = |range: &Range<PhysAddr>| range.end.get().saturating_sub(range.start.get());
    let total = ranges.iter().map(len).fold(0, u64::saturating_add);
    let mut left = total / SAMPLES * sample;
    for range in ranges {
        if left < len(range) {
            return range.start.checked_add(left);
        }
        left -= len(range);
    }
    None
}

#[cfg(test)]
mod tests {
    use vmcore_dump::write_elf_core;
    use vmcore_memory::Architecture;

    use super::*;

    fn dump(pages: &[(u64, Vec<u8>)]) -> Dump {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let pages = pages.iter().map(|(start, bytes)| (PhysAddr::new(*start), bytes.as_slice()));
        write_elf_core(&mut file, Architecture::X86_64, &[], pages).unwrap();
        Dump::open(file.path()).unwrap()
    }

    fn random(len: usize) -> Vec<u8> {
        let mut state = 7u64;
        let next = |_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn all_of_it_is_random() {
        let encrypted = dump(&[(0x1000, random(64 << 12)), (0x100_0000, random(64 << 12))]);
        assert_eq!(random_pages(&encrypted, &encrypted), Some(32));
        // A sixteenth of it is code.
        let plain = dump(&[(0x1000, random(60 << 12)), (0x100_0000, vec![0x90; 4 << 12])]);
        assert_eq!(random_pages(&plain, &plain), None);
        let zeroes = dump(&[(0x1000, vec![0; 64 << 12]), (0x100_0000, random(1 << 12))]);
        assert_eq!(random_pages(&zeroes, &zeroes), None);
    }
}
