use proptest::prelude::*;

use super::*;
use crate::mmap::Mapping;
use crate::test_support::{
    ElfBuilder, FlatBuilder, KdumpBuilder, assert_bytes, exercise, file, flatten, open, page, read, vmcoreinfo,
};
use crate::{Format, Lookalike, OpenError};

fn flattened(bytes: &[u8]) -> Flattened {
    Flattened::new(Stored::Mapped(Mapping::open(file(bytes).path()).unwrap()), &mut Warnings::default())
}

fn elf() -> Vec<u8> {
    ElfBuilder::new().note(&vmcoreinfo("OSRELEASE=6\n")).load(0x1000, [page(1), page(2)].concat()).build()
}

#[test]
fn an_elf_and_a_kdump_inside() {
    let kdump = (0..50).fold(KdumpBuilder::new(100), |builder, pfn| builder.page(pfn, 1, page(pfn)));
    for record_len in [100, 1000, 4096, 65536] {
        let dump = open(&flatten(&elf(), record_len)).unwrap();
        assert_eq!(dump.format(), Format::FlattenedElf);
        assert_bytes(read(&dump, 0x1000, 0x2000), [page(1), page(2)].concat());
        assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("6"));
        assert!(dump.incomplete().is_none() && dump.warnings().is_empty());

        let dump = open(&flatten(&kdump.build(), record_len)).unwrap();
        assert_eq!(dump.format(), Format::FlattenedKdumpCompressed);
        for pfn in 0..50 {
            assert_bytes(read(&dump, pfn * 4096, 4096), page(pfn));
        }
        assert!(dump.incomplete().is_none() && dump.warnings().is_empty());
    }
}

#[test]
fn what_follows_the_end_mark_does_not_matter() {
    let disk = [flatten(&elf(), 1000), vec![0; 100_000]].concat();
    let dump = open(&disk).unwrap();
    assert!(dump.incomplete().is_none() && dump.warnings().is_empty());
}

#[test]
fn later_records_overwrite_earlier_ones() {
    let flat = FlatBuilder::new()
        .record(0, b"aaaaaaaa")
        .record(8, b"bbbbbbbb")
        .record(4, b"cc")
        .record(6, b"dddd")
        .record(100, b"far")
        .record(0, b"e")
        .end();
    let flat = flattened(&flat);
    assert_eq!(flat.slice(0, 16).unwrap(), &b"eaaaccddddbbbbbb"[..]);
    assert_eq!((flat.len(), flat.present(3, 100), flat.present(3, 4), flat.present(50, 9)), (103, 13, 4, 0));
    assert_eq!(flat.slice(10, 7), None);
    assert_eq!(flat.slice(0, u64::MAX), None);
    assert!(flat.has_end_mark());
}

#[test]
fn equal_records_in_a_row_are_one_run() {
    let flat = flattened(&flatten(&vec![7; 100_000], 100));
    // Two streams in turns: first one record, then two of the other; then what is left.
    assert!(flat.pieces.len() < 700, "{}", flat.pieces.len());
    let bytes: Vec<u8> = (0..100_000u32).map(|index| index as u8).collect();
    let in_order = bytes.chunks(100).enumerate();
    let flat = in_order.fold(FlatBuilder::new(), |flat, (index, record)| flat.record(index as u64 * 100, record));
    let flat = flattened(&flat.end());
    assert_eq!(flat.pieces.len(), 1);
    assert_eq!(flat.slice(0, 100_000).unwrap(), bytes);
    assert!(matches!(flat.slice(120, 80), Some(Cow::Borrowed(_))));
}

#[test]
fn every_truncation_keeps_what_is_left() {
    let (elf, record_len) = (elf(), 500);
    let flat = flatten(&elf, record_len);
    for len in (4096 + 16 + 200..flat.len()).step_by(37) {
        let dump = open(&flat[..len]).unwrap();
        let missing = dump.incomplete().unwrap_or_else(|| panic!("{len}"));
        assert!(missing.truncated && missing.to_string().contains("truncated"));
        for address in (0x1000..0x3000).step_by(256) {
            let found = read(&dump, address, 256);
            if found.is_ok() {
                assert_bytes(found, &[page(1), page(2)].concat()[address as usize - 0x1000..][..256]);
            }
        }
    }
    // All data is there; only the end mark is not.
    let dump = open(&flat[..flat.len() - 16]).unwrap();
    assert_eq!(dump.incomplete().unwrap().expected_len, None);
    assert_bytes(read(&dump, 0x1000, 0x2000), [page(1), page(2)].concat());
}

#[test]
fn an_elf_whose_headers_come_last() {
    let elf = elf();
    let empty = [&elf[..64], &[0; 112]].concat();
    let flat = FlatBuilder::new().record(0, &empty).record(176, &elf[176..]);
    assert!(matches!(open(&flat.0), Err(OpenError::HeadersLost { .. })));
    let dump = open(&flat.record(64, &elf[64..176]).end()).unwrap();
    assert_bytes(read(&dump, 0x1000, 0x2000), [page(1), page(2)].concat());
}

#[test]
fn damaged_records_end_the_dump() {
    let flat = FlatBuilder::new().record(0, &elf()).record(u64::MAX - 5, b"x").record(0, b"not seen").end();
    let dump = open(&flat).unwrap();
    assert_eq!(dump.warnings().len(), 1);
    assert!(dump.incomplete().unwrap().truncated);
    assert_bytes(read(&dump, 0x1000, 0x2000), [page(1), page(2)].concat());

    for nothing in [FlatBuilder::new().end(), FlatBuilder::new().0, FlatBuilder::new().record(0, b"hello").end()] {
        let error = open(&nothing).unwrap_err();
        assert!(matches!(error, OpenError::NotADump { looks_like: Lookalike::EmptyFlattened, .. }));
    }
}

proptest! {
    /// Against an array that the records are copied into.
    #[test]
    fn any_records_in_any_order(
        records in prop::collection::vec((0..300u64, prop_oneof![Just(10usize), 1..60usize]), 0..40),
        cut in prop::option::of(0..1000usize),
    ) {
        let mut expected = vec![None; 400];
        let mut flat = FlatBuilder::new();
        let cut = cut.map_or(usize::MAX, |cut| 4096 + cut);
        let mut next = 0;
        for (index, (offset, len)) in records.into_iter().enumerate() {
            // Half of the records continue the one before.
            let offset = if index % 2 == 0 { offset } else { next.min(300) };
            let bytes: Vec<u8> = (0..len).map(|at| (index * 7 + at) as u8).collect();
            let data_at = flat.0.len() + 16;
            for (at, &byte) in bytes.iter().enumerate().take(cut.saturating_sub(data_at)) {
                expected[offset as usize + at] = Some(byte);
            }
            flat = flat.record(offset, &bytes);
            next = offset + len as u64;
        }
        let mut bytes = flat.end();
        bytes.truncate(cut);
        let flat = flattened(&bytes);
        prop_assert!(flat.pieces.windows(2).all(|pair| pair[0].end <= pair[1].start));
        for (offset, &expected) in expected.iter().enumerate() {
            let found = flat.slice(offset as u64, 1);
            prop_assert_eq!(found.as_deref(), expected.as_ref().map(std::slice::from_ref));
            let mut apart = [0];
            prop_assert_eq!(flat.read_apart(offset as u64, &mut apart).map(|()| apart[0]), expected);
        }
        let whole: Option<Vec<u8>> = expected[..200].iter().copied().collect();
        prop_assert_eq!(flat.slice(0, 200).map(Cow::into_owned), whole);
    }

    #[test]
    fn mutations_never_panic(
        changes in prop::collection::vec((4096..10_000usize, prop_oneof![any::<u8>(), Just(0), Just(0xff)]), 1..10),
    ) {
        let mut bytes = flatten(&elf(), 300);
        for (at, value) in changes {
            bytes[at] = value;
        }
        exercise(file(&bytes).path());
    }
}
