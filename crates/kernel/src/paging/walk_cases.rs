//! Page walks through tables built here: every size of page, at every level, with four and five levels, plain and of machines
//! that encrypt memory. The cases are those that libkdumpfile's `addrxlat` is tested with.

use std::collections::BTreeMap;

use vmcore_memory::{PhysAddr, ReadError, ReadPhysical, VirtAddr};

use super::{PageTables, PhysicalMask};

const KIB4: u64 = 1 << 12;
const MIB2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;
/// Present, writable, user, accessed, dirty.
const TABLE: u64 = 0x67;
const HUGE: u64 = 0x80;

/// Address, physical address, size of the page: two pages of one table, one of the next, one behind other tables at each
/// level, both sizes of large pages, and one of the kernel's half.
const FOUR_LEVELS: [(u64, u64, u64); 7] = [
    (0x0456, 0xa_0456, KIB4),
    (0x1789, 0xb_0789, KIB4),
    (0x30_0abc, 0xc_0abc, KIB4),
    (0x80_8060_4def, 0xd_0def, KIB4),
    (0x52_3456, 0xf2_3456, MIB2),
    (0xa123_4567, 0x3_e123_4567, GIB),
    (0xffff_8812_3456_789a, 0x12_3456_789a, GIB),
];
const FIVE_LEVELS: [(u64, u64, u64); 7] = [
    (0x0456, 0xa_0456, KIB4),
    (0x1789, 0xb_0789, KIB4),
    (0x30_0abc, 0xc_0abc, KIB4),
    (0x1_0100_c080_5def, 0xd_0def, KIB4),
    (0x52_3456, 0xf2_3456, MIB2),
    (0xa123_4567, 0x3_e123_4567, GIB),
    (0xff11_2345_6789_abcd, 0x123_4567_89ab & !(GIB - 1) | 0x2789_abcd, GIB),
];
/// One past the last byte of memory that the cases have.
const END: u64 = 1 << 42;

/// Tables as a kernel builds them, at rising addresses.
struct Tables {
    words: BTreeMap<u64, u64>,
    next: u64,
    levels: u8,
    /// Set in entries that lead to tables, and in those that map pages.
    bits: [u64; 2],
}

const ROOT: u64 = 0x10_0000;

impl Tables {
    fn new(levels: u8, bits: [u64; 2]) -> Self {
        Self { words: BTreeMap::new(), next: ROOT + KIB4, levels, bits }
    }

    fn map(&mut self, (address, physical, size): (u64, u64, u64)) {
        let mut table = ROOT;
        for level in (1..=u32::from(self.levels)).rev() {
            let shift = 12 + 9 * (level - 1);
            let at = table + (address >> shift & 0x1ff) * 8;
            if 1 << shift == size {
                let huge = if level == 1 { 0 } else { HUGE };
                assert_eq!(address % size, physical % size);
                self.words.insert(at, (physical & !(size - 1)) | TABLE | huge | self.bits[1]);
                return;
            }
            let new = self.next;
            let entry = *self.words.entry(at).or_insert(new | TABLE | self.bits[0]);
            table = entry & !self.bits[0] & !0xfff;
            self.next += if table == new { KIB4 } else { 0 };
        }
    }

    fn of(levels: u8, cases: &[(u64, u64, u64)], bits: [u64; 2]) -> Self {
        let mut tables = Self::new(levels, bits);
        cases.iter().for_each(|case| tables.map(*case));
        tables
    }
}

impl ReadPhysical for Tables {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        // What is in no table that was built is not in the dump.
        if !(ROOT..self.next).contains(&address.get()) {
            return Err(ReadError::NotInDump { address });
        }
        buf.copy_from_slice(&self.words.get(&address.get()).copied().unwrap_or_default().to_le_bytes());
        Ok(())
    }
}

#[track_caller]
fn assert_all(tables: &Tables, cases: &[(u64, u64, u64)], mask: PhysicalMask) {
    let walk = PageTables::x86_64(PhysAddr::new(ROOT), tables.levels, mask);
    for &(address, physical, _) in cases {
        let found = walk.translate(tables, VirtAddr::new(address));
        assert_eq!(found, Ok(PhysAddr::new(physical)), "{address:#x}");
    }
    // The neighbours that nothing maps.
    for address in [0x2000, 0x60_0000, 0xc000_0000, 0xffff_ffff_ffff_f000] {
        let found = walk.translate(tables, VirtAddr::new(address));
        assert!(matches!(found, Err(ReadError::NotMapped { .. })), "{address:#x}: {found:?}");
    }
}

#[test]
fn every_size_of_page_with_four_and_five_levels() {
    for (levels, cases) in [(4, FOUR_LEVELS), (5, FIVE_LEVELS)] {
        assert_all(&Tables::of(levels, &cases, [0; 2]), &cases, PhysicalMask::ALL);
    }
}

/// SME and SEV: the bit is in every entry. It is told, or found by the entries themselves.
#[test]
fn every_size_of_page_of_a_machine_that_encrypts_memory() {
    for (levels, cases) in [(4, FOUR_LEVELS), (5, FIVE_LEVELS)] {
        for bit in [47, 51, 43].map(|bit| 1u64 << bit) {
            let tables = Tables::of(levels, &cases, [bit; 2]);
            assert_all(&tables, &cases, PhysicalMask::ALL.without(bit));
            let of_memory = PhysicalMask::of_memory_up_to(PhysAddr::new(END));
            assert_all(&tables, &cases, of_memory.without(bit));
            if bit != 1 << 43 {
                assert_all(&tables, &cases, of_memory);
            }
        }
    }
}

/// TDX: only pages that are shared with the host have the bit.
#[test]
fn every_size_of_page_that_is_shared_with_a_host() {
    let of_memory = PhysicalMask::of_memory_up_to(PhysAddr::new(END));
    for bit in [47, 51].map(|bit| 1u64 << bit) {
        assert_all(&Tables::of(5, &FIVE_LEVELS, [0, bit]), &FIVE_LEVELS, of_memory);
    }
}

#[test]
fn addresses_that_are_none() {
    let tables = Tables::of(4, &FOUR_LEVELS, [0; 2]);
    let walk = |levels| PageTables::x86_64(PhysAddr::new(ROOT), levels, PhysicalMask::ALL);
    for address in [0x8000_0000_0000, 0x8000_0000_0000_0000, 0xffff_7fff_ffff_ffff] {
        let found = walk(4).translate(&tables, VirtAddr::new(address));
        assert!(matches!(found, Err(ReadError::NonCanonical { .. })), "{address:#x}: {found:?}");
    }
    // With five levels they begin later.
    let found = walk(5).translate(&tables, VirtAddr::new(0x8000_0000_0000));
    assert!(!matches!(found, Err(ReadError::NonCanonical { .. })), "{found:?}");
    let found = walk(5).translate(&tables, VirtAddr::new(0x100_0000_0000_0000));
    assert!(matches!(found, Err(ReadError::NonCanonical { .. })), "{found:?}");
}
