use proptest::collection::vec;
use proptest::prelude::*;

use super::sample::LAYOUT;
use super::*;
use crate::printk::Caller;
use crate::test_memory::{TestMemory, damaged_memory};

const PRB: u64 = 0xffff_ffff_8200_0000;
const RING: u64 = 0xffff_ffff_8200_1000;
const DESCS: u64 = 0xffff_ffff_8200_2000;
const INFOS: u64 = 0xffff_ffff_8200_3000;
const DATA: u64 = 0xffff_ffff_8200_4000;
/// 16 records and 512 bytes of text.
const COUNT_BITS: u32 = 4;
const SIZE_BITS: u32 = 9;

const RESERVED: u64 = 0;
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;
const REUSABLE: u64 = 3;

/// A ring buffer and the writer's view of it.
struct Ring {
    memory: TestMemory,
    head_id: u64,
    head_lpos: u64,
    seq: u64,
}

impl Ring {
    /// An empty ring, as `_DEFINE_PRINTKRB` initializes it: ids and positions are about to overflow.
    fn new() -> Self {
        let mut memory = TestMemory::default();
        memory.put_u64(PRB, RING);
        memory.put_u32(RING, COUNT_BITS);
        memory.put_u64(RING + 8, DESCS);
        memory.put_u64(RING + 16, INFOS);
        memory.put_u32(RING + 48, SIZE_BITS);
        memory.put_u64(RING + 56, DATA);
        memory.put(DESCS, &[0; 24 << COUNT_BITS]);
        memory.put(INFOS, &[0; 88 << COUNT_BITS]);
        memory.put(DATA, &[0; 1 << SIZE_BITS]);
        let head_id = 0u64.wrapping_sub((1 << COUNT_BITS) + 1) & ID_MASK;
        let mut ring = Self { memory, head_id, head_lpos: 0u64.wrapping_sub(1 << SIZE_BITS), seq: 0 };
        ring.describe(head_id, REUSABLE, 1, 1);
        ring.set_ids(head_id, head_id);
        ring
    }

    fn set_ids(&mut self, head: u64, tail: u64) {
        self.memory.put_u64(RING + 24, head);
        self.memory.put_u64(RING + 32, tail);
    }

    fn desc(id: u64) -> u64 {
        DESCS + 24 * (id % (1 << COUNT_BITS))
    }

    fn info(id: u64) -> u64 {
        INFOS + 88 * (id % (1 << COUNT_BITS))
    }

    fn describe(&mut self, id: u64, state: u64, begin: u64, next: u64) {
        let desc = Self::desc(id);
        self.memory.put_u64(desc, id | state << 62);
        self.memory.put_u64(desc + 8, begin);
        self.memory.put_u64(desc + 16, next);
    }

    /// Adds a record and says where its block's id is.
    fn add(&mut self, state: u64, text: &[u8]) -> u64 {
        let id = (self.head_id + 1) & ID_MASK;
        let len = (8 + text.len() as u64).next_multiple_of(8);
        let size = 1 << SIZE_BITS;
        let mut begin = self.head_lpos;
        let mut next = begin.wrapping_add(len);
        let mut block = begin % size;
        if text.is_empty() {
            (begin, next) = (3, 3);
        } else if block + len > size {
            block = 0;
            next = (next / size * size) + len;
        }
        if !text.is_empty() {
            self.memory.put_u64(DATA + block, id);
            self.memory.put(DATA + block + 8, text);
            self.head_lpos = next;
        }
        self.describe(id, state, begin, next);
        let info = Self::info(id);
        self.memory.put_u64(info, self.seq);
        self.memory.put_u64(info + 8, 1_000_000 + self.seq);
        self.memory.put_u16(info + 16, u16::try_from(text.len()).unwrap());
        self.memory.put(info + 18, &[3, 6 << 5 | 2]);
        self.memory.put_u32(info + 20, 42);
        self.seq += 1;
        self.head_id = id;
        let oldest = id.wrapping_sub((1 << COUNT_BITS) - 1) & ID_MASK;
        self.set_ids(id, if self.seq < 16 { 0u64.wrapping_sub((1 << COUNT_BITS) + 1) & ID_MASK } else { oldest });
        block
    }

    fn read(&self) -> (Vec<LogRecord>, Vec<Gap>) {
        let mut gaps = Vec::new();
        let records = read(&self.memory, &LAYOUT, VirtAddr::new(PRB), &mut gaps).unwrap();
        (records, gaps)
    }

    fn texts(&self) -> Vec<String> {
        let (records, gaps) = self.read();
        assert_eq!(gaps, []);
        records.into_iter().map(|record| record.text).collect()
    }
}

#[test]
fn an_empty_ring_has_no_records() {
    assert!(Ring::new().texts().is_empty());
}

#[test]
fn every_field_of_a_record() {
    let mut ring = Ring::new();
    ring.add(FINALIZED, b"first");
    ring.add(COMMITTED, b"pci \xff found\nsecond line");
    let info = Ring::info(ring.head_id);
    ring.memory.put(info + 24, b"pci\0");
    ring.memory.put(info + 40, b"+pci:0000:00:01.0\0");
    ring.memory.put_u32(info + 20, 0x8000_0003);
    let (records, gaps) = ring.read();
    assert_eq!(gaps, []);
    let first = LogRecord {
        seq: 0,
        timestamp_ns: 1_000_000,
        level: 6,
        facility: 3,
        caller: Some(Caller::Task(42)),
        text: "first".to_owned(),
        device: None,
        unfinished: false,
    };
    let device = LogDevice { subsystem: "pci".to_owned(), device: "+pci:0000:00:01.0".to_owned() };
    let second = LogRecord {
        seq: 1,
        timestamp_ns: 1_000_001,
        caller: Some(Caller::Cpu(3)),
        text: "pci \u{fffd} found\nsecond line".to_owned(),
        device: Some(device),
        ..first.clone()
    };
    assert_eq!(records, [first, second]);
}

#[test]
fn the_rings_wrap() {
    let mut ring = Ring::new();
    let text = |number: usize| format!("record {number} {}", "x".repeat(number % 9));
    for number in 0..100 {
        ring.add(FINALIZED, text(number).as_bytes());
    }
    assert_eq!(ring.texts(), (84..100).map(text).collect::<Vec<_>>());
    let (records, _) = ring.read();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (84..100).collect::<Vec<_>>());
}

#[test]
fn a_text_at_the_start_of_the_ring_for_lack_of_room_and_one_that_fits_exactly() {
    let mut ring = Ring::new();
    ring.add(FINALIZED, &[b'a'; 512 - 8 - 24]);
    ring.add(FINALIZED, b"exactly 16 bytes");
    assert_eq!(ring.head_lpos, 0, "positions have overflown");
    ring.add(FINALIZED, &[b'b'; 512 - 8 - 16]);
    assert_eq!(ring.add(FINALIZED, b"does not fit"), 0);
    ring.set_ids(ring.head_id, ring.head_id);
    assert_eq!(ring.texts(), ["does not fit"]);
    let mut ring = Ring::new();
    ring.add(FINALIZED, &[b'a'; 512 - 8 - 24]);
    ring.add(FINALIZED, b"exactly 16 bytes");
    assert_eq!(ring.texts()[1], "exactly 16 bytes");
}

#[test]
fn empty_lines_are_records() {
    let mut ring = Ring::new();
    ring.add(FINALIZED, b"");
    ring.add(FINALIZED, b"text");
    assert_eq!(ring.texts(), ["", "text"]);
}

#[test]
fn a_record_that_was_being_written_is_shown_and_marked() {
    let mut ring = Ring::new();
    ring.add(RESERVED, b"BUG: soft lock");
    ring.add(RESERVED, b"old text");
    ring.memory.put_u16(Ring::info(ring.head_id) + 16, 0);
    // The head has moved, but the descriptor has not been touched yet.
    ring.set_ids(ring.head_id + 1, 0u64.wrapping_sub((1 << COUNT_BITS) + 1) & ID_MASK);
    let (records, gaps) = ring.read();
    assert_eq!(gaps, []);
    assert_eq!(records.iter().map(|record| record.text.as_str()).collect::<Vec<_>>(), ["BUG: soft lock"]);
    assert!(records[0].unfinished);
}

#[test]
fn records_that_are_gone_are_passed_over() {
    let mut ring = Ring::new();
    ring.add(REUSABLE, b"overwritten");
    ring.add(FINALIZED, b"kept");
    assert_eq!(ring.texts(), ["kept"]);
}

#[test]
fn a_damaged_record_costs_only_itself() {
    let mut ring = Ring::new();
    for text in [&b"zero"[..], b"one", b"two", b"three"] {
        ring.add(FINALIZED, text);
    }
    let ids: Vec<u64> = (0..4).rev().map(|back| ring.head_id - back).collect();
    ring.memory.put_u64(Ring::desc(ids[0]), 0x1234 | FINALIZED << 62);
    ring.memory.put_u64(DATA + 16, 0x5678);
    ring.memory.put_u64(Ring::desc(ids[2]) + 8, 0x13);
    let (records, gaps) = ring.read();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].text.as_str(), records[0].seq), ("three", 3));
    assert_eq!(gaps.len(), 3);
    assert!(gaps[1].why.contains("belongs to 0x5678"), "{}", gaps[1]);
}

/// What a page of zeroes in their place makes of them is no log without a word.
#[test]
fn descriptors_and_infos_that_are_zero_are_damage() {
    let mut ring = Ring::new();
    for text in [&b"zero"[..], b"one", b"two", b"three"] {
        ring.add(FINALIZED, text);
    }
    ring.memory.put(Ring::info(ring.head_id), &[0; 88]);
    ring.memory.put(Ring::desc(ring.head_id - 1), &[0; 24]);
    let (records, gaps) = ring.read();
    assert_eq!(records.iter().map(|record| record.text.as_str()).collect::<Vec<_>>(), ["zero", "one"]);
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps[0].why.ends_with("is zero, its printk_info is not"), "{}", gaps[0]);
    assert!(gaps[1].why.ends_with("is that of record number 0"), "{}", gaps[1]);
}

#[test]
fn a_length_larger_than_the_block_is_cut() {
    let mut ring = Ring::new();
    ring.add(FINALIZED, b"12345678");
    ring.memory.put_u16(Ring::info(ring.head_id) + 16, u16::MAX);
    assert_eq!(ring.texts(), ["12345678"]);
}

#[test]
fn a_wild_tail_and_absurd_sizes() {
    let mut ring = Ring::new();
    ring.add(FINALIZED, b"text");
    ring.set_ids(ring.head_id, 77);
    let (records, gaps) = ring.read();
    assert_eq!((records.len(), gaps.len()), (1, 1));
    ring.memory.put_u32(RING, 63);
    let gap = read(&ring.memory, &LAYOUT, VirtAddr::new(PRB), &mut Vec::new()).unwrap_err();
    assert_eq!(gap.why, "count_bits of the ring buffer at 0xffffffff82001000 is 63");
}

#[test]
fn unreadable_texts_are_reported_but_not_all_of_them() {
    let mut ring = Ring::new();
    for _ in 0..40 {
        ring.add(FINALIZED, b"0123456789");
    }
    ring.memory.remove_page(DATA);
    let (records, gaps) = ring.read();
    assert!(records.is_empty());
    assert_eq!(gaps.len(), 16);
    ring.memory.remove_page(RING);
    assert!(read(&ring.memory, &LAYOUT, VirtAddr::new(PRB), &mut Vec::new()).is_err());
}

proptest! {
    /// A full ring with some words overwritten.
    #[test]
    fn damage_costs_no_more_than_the_records_it_hits(
        words in vec((0u64..(INFOS + (88 << COUNT_BITS) - DESCS) / 8, any::<u64>()), 0..6),
    ) {
        let mut ring = Ring::new();
        (0..40).for_each(|number| { ring.add(FINALIZED, format!("record {number}").as_bytes()); });
        for &(word, value) in &words {
            let address = DESCS + word * 8;
            if !(DESCS + (24 << COUNT_BITS)..INFOS).contains(&address) {
                ring.memory.put_u64(address, value);
            }
        }
        let (records, gaps) = ring.read();
        prop_assert!(records.len() + words.len() >= 16, "{} records, {gaps:?}", records.len());
        let texts: usize = records.iter().map(|record| record.text.len()).sum();
        // A byte that is not UTF-8 becomes three.
        prop_assert!(texts <= 3 << SIZE_BITS);
    }

    #[test]
    fn any_memory_ends(memory in damaged_memory(RING..RING + 0x3000), count_bits in 0u32..28, size_bits in 0u32..33) {
        let mut memory = memory;
        memory.put_u64(PRB, RING);
        memory.put_u32(RING, count_bits);
        memory.put_u32(RING + 48, size_bits);
        // An array that is as large as it claims is mostly not in memory.
        memory.put_u64(RING + 32, 0);
        memory.put_u64(RING + 24, 1 << 8);
        let mut gaps = Vec::new();
        if let Ok(records) = read(&memory, &LAYOUT, VirtAddr::new(PRB), &mut gaps) {
            prop_assert!(records.len() <= 1 + (1 << 8));
        }
        prop_assert!(gaps.len() <= 20);
    }
}
