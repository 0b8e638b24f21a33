use proptest::collection::vec;
use proptest::prelude::*;

use super::sample::{VARIABLES, layout};
use super::*;
use crate::printk::Caller;
use crate::test_memory::TestMemory;

const BUFFER: u64 = 0x10000;

/// A buffer and the writer's view of it.
struct Log {
    memory: TestMemory,
    layout: Layout,
    len: u64,
    next: u64,
    seq: u64,
}

impl Log {
    fn new(len: u64, layout: Layout) -> Self {
        let mut memory = TestMemory::default();
        memory.put(BUFFER, &vec![0; len as usize]);
        let mut log = Self { memory, layout, len, next: 0, seq: 0 };
        log.set_first(0, 0);
        log.publish();
        log
    }

    fn set_first(&mut self, index: u32, seq: u64) {
        self.memory.put_u32(0x100c, index);
        self.memory.put_u64(0x1018, seq);
    }

    fn publish(&mut self) {
        self.memory.put_u64(0x1000, BUFFER);
        self.memory.put_u32(0x1008, u32::try_from(self.len).unwrap());
        self.memory.put_u32(0x1010, u32::try_from(self.next).unwrap());
        self.memory.put_u64(0x1020, self.seq);
    }

    /// As `log_store`; says at which index the record is.
    fn add(&mut self, flags: u8, text: &[u8], dict: &[u8]) -> u64 {
        let header = self.layout.size;
        let size = (header + text.len() as u64 + dict.len() as u64).next_multiple_of(4);
        if self.next + size + header > self.len {
            self.memory.put(BUFFER + self.next, &vec![0; header as usize]);
            self.next = 0;
        }
        let at = BUFFER + self.next;
        self.memory.put(at, &vec![0; size as usize]);
        self.memory.put_u64(at, 5_000 + self.seq);
        self.memory.put_u16(at + 8, u16::try_from(size).unwrap());
        self.memory.put_u16(at + 10, u16::try_from(text.len()).unwrap());
        self.memory.put_u16(at + 12, u16::try_from(dict.len()).unwrap());
        self.memory.put(at + 14, &[0, 4 << 5 | flags]);
        if header == 20 {
            self.memory.put_u32(at + 16, 0x8000_0001);
        }
        self.memory.put(at + header, text);
        self.memory.put(at + header + text.len() as u64, dict);
        self.next += size;
        self.seq += 1;
        self.publish();
        at - BUFFER
    }

    fn read(&self) -> (Vec<LogRecord>, Vec<Gap>) {
        let mut gaps = Vec::new();
        let records = read(&self.memory, &self.layout, &VARIABLES, &mut gaps).unwrap();
        (records, gaps)
    }

    fn texts(&self) -> Vec<String> {
        self.read().0.into_iter().map(|record| record.text).collect()
    }
}

#[test]
fn every_field_of_a_record() {
    let mut log = Log::new(1024, layout(false));
    log.add(2, b"first", b"");
    log.add(2, b"second", b"SUBSYSTEM=pci\0DEVICE=+pci:0000:00:01.0");
    let (records, gaps) = log.read();
    assert_eq!(gaps, []);
    let first = LogRecord {
        seq: 0,
        timestamp_ns: 5_000,
        level: 4,
        facility: 0,
        caller: None,
        text: "first".to_owned(),
        device: None,
        unfinished: false,
    };
    let device = LogDevice { subsystem: "pci".to_owned(), device: "+pci:0000:00:01.0".to_owned() };
    let second =
        LogRecord { seq: 1, timestamp_ns: 5_001, text: "second".to_owned(), device: Some(device), ..first.clone() };
    assert_eq!(records, [first, second]);
}

#[test]
fn callers_since_5_1() {
    let mut log = Log::new(1024, layout(true));
    log.add(2, b"odd length", b"");
    log.add(2, b"next", b"");
    let (records, gaps) = log.read();
    assert_eq!(gaps, []);
    assert_eq!(records[1].caller, Some(Caller::Cpu(1)));
    assert_eq!(records[0].text, "odd length");
}

/// Debug information says how long the members are, and may lie: with these a record has no length at all.
#[test]
fn lengths_that_overflow_end() {
    let mut wide = layout(false);
    (wide.len, wide.dict_len) = (Scalar::bytes(0, 1), None);
    wide.header.text_len = Scalar::bytes(8, 8);
    let mut log = Log::new(64, wide);
    log.memory.put_u64(BUFFER + 8, 0_u64.wrapping_sub(16));
    log.next = 64;
    log.publish();
    let (records, gaps) = log.read();
    assert_eq!(records, []);
    assert!(gaps[0].why.contains("has length 0"), "{gaps:?}");
}

#[test]
fn an_empty_buffer() {
    assert_eq!(Log::new(1024, layout(false)).read(), (Vec::new(), Vec::new()));
}

#[test]
fn the_buffer_wraps() {
    let mut log = Log::new(128, layout(false));
    for number in 0..4 {
        log.add(2, format!("number {number}").as_bytes(), b"");
    }
    let wrapped = log.add(2, b"four", b"");
    assert_eq!(wrapped, 0, "there is no room for a record and the header after it");
    log.set_first(24, 1);
    let (records, gaps) = log.read();
    assert_eq!(gaps, []);
    let texts: Vec<_> = records.iter().map(|record| (record.seq, record.text.as_str())).collect();
    assert_eq!(texts, [(1, "number 1"), (2, "number 2"), (3, "number 3"), (4, "four")]);
    // Zeroes say that it wraps there; the kernel counted more records.
    log.memory.put(BUFFER + 48, &[0; 24]);
    let (records, gaps) = log.read();
    assert_eq!(records.iter().map(|record| record.text.as_str()).collect::<Vec<_>>(), ["number 1", "four"]);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].why.contains("count 4 records, 2 were found"), "{}", gaps[0]);
}

#[test]
fn reading_goes_on_behind_a_damaged_record() {
    let mut log = Log::new(1024, layout(false));
    log.add(2, b"zero", b"");
    let damaged = log.add(2, b"one", b"");
    log.add(2, b"two", b"");
    log.add(2, b"three", b"");
    log.memory.put_u16(BUFFER + damaged + 8, 0xfff0);
    let (records, gaps) = log.read();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let texts: Vec<_> = records.iter().map(|record| (record.seq, record.text.as_str())).collect();
    assert_eq!(texts, [(0, "zero"), (2, "two"), (3, "three")], "numbered from the end behind the damage");
    log.memory.put(BUFFER + damaged, &[0; 16]);
    assert_eq!(log.texts(), ["zero", "two", "three"]);
}

#[test]
fn a_missing_page_costs_only_its_records() {
    let mut log = Log::new(0x4000, layout(false));
    while log.next < 0x3000 {
        log.add(2, format!("record at {}", log.next).as_bytes(), b"");
    }
    log.memory.remove_page(BUFFER + 0x1000);
    let (records, gaps) = log.read();
    assert!(!gaps.is_empty());
    assert!(records.iter().any(|record| record.text == "record at 0"));
    let last = records.last().unwrap();
    assert_eq!(last.seq, log.seq - 1);
    assert!(records.len() as u64 > log.seq / 2);
}

#[test]
fn pieces_of_lines_are_joined_where_the_kernel_did() {
    let mut log = Log::new(1024, Layout { joins_lines: true, ..layout(false) });
    log.add(6, b"a whole line", b"");
    log.add(12, b"a piece, ", b"");
    log.add(8, b"another, ", b"");
    log.add(10, b"the last", b"");
    log.add(6, b"the next line", b"");
    assert_eq!(log.texts(), ["a whole line", "a piece, another, the last", "the next line"]);
    log.layout.joins_lines = false;
    assert_eq!(log.texts().len(), 5);
}

#[test]
fn indexes_outside_the_buffer() {
    let mut log = Log::new(1024, layout(false));
    log.set_first(4096, 0);
    let gap = read(&log.memory, &log.layout, &VARIABLES, &mut Vec::new()).unwrap_err();
    assert_eq!(gap.why, "1024 bytes of log with records from 4096 to 0");
    log.memory.put_u32(0x1008, u32::MAX);
    assert!(read(&log.memory, &log.layout, &VARIABLES, &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn damage_leaves_most_records(bytes in vec((0u64..0x1000, any::<u8>()), 0..4)) {
        let mut log = Log::new(0x1000, layout(false));
        while log.next < 0xfc0 {
            log.add(2, format!("record {}", log.seq).as_bytes(), b"KEY=value");
        }
        for &(at, byte) in &bytes {
            log.memory.put(BUFFER + at, &[byte]);
        }
        prop_assert!(log.texts().len() + 3 * bytes.len() >= usize::try_from(log.seq).unwrap());
    }

    #[test]
    fn any_bytes_end(bytes in vec(any::<u8>(), 0x800), first in 0u32..0x900, next in 0u64..0x900, joins in any::<bool>()) {
        let mut log = Log::new(0x800, Layout { joins_lines: joins, ..layout(true) });
        log.memory.put(BUFFER, &bytes);
        log.set_first(first, 7);
        log.next = next;
        log.publish();
        let mut gaps = Vec::new();
        if let Ok(records) = read(&log.memory, &log.layout, &VARIABLES, &mut gaps) {
            prop_assert!(records.len() <= 0x800 / 20);
        }
        prop_assert!(gaps.len() <= 17);
    }
}
