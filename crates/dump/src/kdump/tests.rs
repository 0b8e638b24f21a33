use proptest::prelude::*;
use vmcore_memory::{Architecture, FileOffset, PhysAddr, ReadError};

use crate::test_support::{KdumpBuilder, assert_bytes, exercise, file, open, page, prstatus, qemu, read, vmcoreinfo};
use crate::{Dump, Format, OpenError, PageCount, RawNote, Source};

const FLAGS: [u32; 5] = [0, 1, 2, 4, 0x20];

/// A page that every codec makes smaller, different for each seed.
fn half(seed: u64) -> Vec<u8> {
    let mut bytes = page(seed);
    bytes.truncate(512);
    bytes.extend(bytes.clone());
    bytes.resize(4096, 0x5a);
    bytes
}

/// 40 pages in all codecs from frame 16 on, one of zeroes, frames that were left out, and holes.
fn sample() -> KdumpBuilder {
    let mut builder = KdumpBuilder::new(70_000)
        .note(&prstatus(0, 0x100))
        .note(&prstatus(99, 0x200))
        .note(&vmcoreinfo("OSRELEASE=6.1.0\n"))
        .exclude(3..9)
        .page(60_000, 1, vec![0; 4096])
        .page(69_999, 0, page(69_999));
    for pfn in 16..56 {
        builder = builder.page(pfn, FLAGS[pfn as usize % 5], half(pfn));
    }
    builder
}

fn excluded(address: u64) -> Result<Vec<u8>, ReadError> {
    Err(ReadError::Excluded { address: PhysAddr::new(address), level: Some(31) })
}

fn not_in_dump(address: u64) -> Result<Vec<u8>, ReadError> {
    Err(ReadError::NotInDump { address: PhysAddr::new(address) })
}

#[test]
fn a_dump_of_makedumpfile() {
    for version in 1..=7 {
        let dump = open(&KdumpBuilder { version, ..sample() }.build()).unwrap();
        assert_eq!((dump.format(), dump.source()), (Format::KdumpCompressed, Source::Makedumpfile));
        assert_eq!(dump.format().to_string(), "kdump-compressed");
        assert_eq!(dump.dump_level(), Some(31));
        assert_eq!(dump.page_count(), PageCount { present: 42, excluded: Some(6) });
        assert_eq!(dump.incomplete(), None);
        assert_eq!(dump.warnings().len(), usize::from(version > 6), "{:?}", dump.warnings());
        let pids: Vec<_> = dump.prstatus().iter().map(|note| note.pid).collect();
        if version < 4 {
            assert!(pids.is_empty() && dump.vmcoreinfo().is_none());
        } else {
            assert_eq!(pids, [0, 99]);
            assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("6.1.0"));
        }
        // The second time most come from the cache.
        for _ in 0..2 {
            for pfn in 16..56 {
                assert_bytes(read(&dump, pfn * 4096, 4096), half(pfn));
            }
        }
        assert_bytes(read(&dump, 60_000 * 4096, 4096), vec![0; 4096]);
        assert_bytes(read(&dump, 69_999 * 4096 + 5, 8), &page(69_999)[5..13]);
        let across = [&half(17)[4000..], &half(18), &half(19)[..100]].concat();
        assert_bytes(read(&dump, 17 * 4096 + 4000, 96 + 4096 + 100), across);

        assert_eq!(read(&dump, 3 * 4096 + 7, 1), excluded(3 * 4096 + 7));
        assert_eq!(read(&dump, 0, 1), not_in_dump(0));
        assert_eq!(read(&dump, 55 * 4096, 5000), not_in_dump(56 * 4096));
        assert_eq!(read(&dump, 70_000 * 4096, 1), not_in_dump(70_000 * 4096));
        assert_eq!(read(&dump, u64::MAX - 7, 8), Err(ReadError::BadRange { address: u64::MAX - 7, len: 8 }));
        assert_bytes(read(&dump, 0, 0), vec![]);
    }
}

#[test]
fn segments_are_the_runs_of_memory() {
    let dump = open(&sample().build()).unwrap();
    let runs: Vec<_> =
        dump.segments().iter().map(|segment| (segment.physical.get() / 4096, segment.memory_size / 4096)).collect();
    assert_eq!(runs, [(3, 6), (16, 40), (60_000, 1), (69_999, 1)]);
}

#[test]
fn a_dump_of_qemu() {
    let builder = KdumpBuilder { system: "", ..sample() }.note(&qemu(0x800));
    let dump = open(&builder.build()).unwrap();
    assert_eq!((dump.source(), dump.qemu_cpus().len()), (Source::Qemu, 1));
    let rewritten = open(&KdumpBuilder { system: "Linux", ..builder }.build()).unwrap();
    assert_eq!(rewritten.source(), Source::Makedumpfile);
}

#[test]
fn vmcoreinfo_by_its_own_place() {
    let vmcoreinfo = b"OSRELEASE=2.6.32\n".to_vec();
    let dump = open(&KdumpBuilder { version: 3, notes: vec![], vmcoreinfo, ..sample() }.build()).unwrap();
    assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("2.6.32"));
    let raw = RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc: b"OSRELEASE=2.6.32\n".to_vec() };
    assert_eq!(dump.raw_notes(), [raw]);
}

#[test]
fn every_truncation_keeps_what_is_left() {
    let builder = sample();
    let whole = builder.build();
    let lengths = (0..whole.len()).step_by(1009).chain((whole.len() - 4200..whole.len()).step_by(97));
    for len in lengths.skip(1) {
        match open(&whole[..len]) {
            Ok(dump) => {
                let missing = dump.incomplete().unwrap();
                assert!(missing.truncated && missing.expected_len.unwrap() > len as u64, "{len}: {missing}");
                for pfn in 16..56u64 {
                    match read(&dump, pfn * 4096, 4096) {
                        Ok(bytes) => assert_bytes(Ok(bytes), half(pfn)),
                        Err(ReadError::Truncated { address, offset }) => {
                            assert_eq!(address.get(), pfn * 4096);
                            assert!(offset >= FileOffset::new(len as u64));
                        }
                        Err(other) => panic!("{len}: {other}"),
                    }
                }
                assert!(len < builder.descriptors_offset() as usize || dump.page_count().present == 42);
            }
            Err(OpenError::TruncatedHeader { .. }) => assert!(len < 4096 + 104),
            Err(OpenError::NotADump { .. }) => assert!(len < 8),
            Err(other) => panic!("{len}: {other}"),
        }
    }
    // Only the very last page is cut: everything else is there, and the length says so.
    let dump = open(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(dump.incomplete().unwrap().expected_len, Some(whole.len() as u64));
    assert_bytes(read(&dump, 55 * 4096, 4096), half(55));
}

#[test]
fn a_writer_without_space() {
    let builder = KdumpBuilder { status: 0x8, ..sample() };
    let mut bytes = builder.build();
    let descriptor = builder.descriptors_offset() as usize + 24 * 10;
    bytes[descriptor..descriptor + 24].fill(0);
    let dump = open(&bytes).unwrap();
    assert!(dump.incomplete().unwrap().marked);
    assert_eq!(dump.incomplete().unwrap().to_string(), "its writer marked it as incomplete");
    assert_bytes(read(&dump, 25 * 4096, 4096), half(25));
    let lost = read(&dump, 26 * 4096 + 100, 8).unwrap_err();
    assert!(
        matches!(&lost, ReadError::Damaged { address, reason, .. }
        if address.get() == 26 * 4096 && reason.contains("no space")),
        "{lost}"
    );
}

#[test]
fn damaged_descriptors_and_pages() {
    let builder = sample();
    let whole = builder.build();
    let descriptor = |pfn: u64| (builder.descriptors_offset() + (pfn - 16) * 24) as usize;
    let reason = |pfn: u64, at: usize, value: u32| {
        let mut bytes = whole.clone();
        let at = descriptor(pfn) + at;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        match read(&open(&bytes).unwrap(), pfn * 4096, 8) {
            Err(ReadError::Damaged { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(reason(20, 8, 4095).contains("4095 bytes"));
    assert!(reason(21, 8, 5000).contains("5000 bytes"));
    assert!(reason(21, 8, 7).contains("zlib"));
    assert!(reason(22, 12, 3).contains("flags 0x3"));
    assert!(reason(24, 8, 20).contains("zstd"));
    // An offset far away is one of a file that was longer.
    let mut bytes = whole.clone();
    bytes[descriptor(20) + 4..descriptor(20) + 8].fill(0xff);
    assert!(matches!(read(&open(&bytes).unwrap(), 20 * 4096, 8), Err(ReadError::Truncated { .. })));
}

/// As QEMU writes a machine of arm64: everything is in pages of 64 KiB, whatever the kernel's are.
#[test]
fn pages_of_64_kib() {
    const BLOCK: u64 = 0x1_0000;
    let block = |seed: u64| -> Vec<u8> { (0..16).flat_map(|part| half(seed * 16 + part)).collect() };
    let mut builder = KdumpBuilder { block_size: BLOCK, system: "", machine: "Unknown", ..KdumpBuilder::new(0x5000) };
    builder = builder.exclude(0x4000..0x4010).page(0x4800, 1, vec![0; BLOCK as usize]);
    for pfn in 0x4010..0x4020 {
        builder = builder.page(pfn, FLAGS[pfn as usize % 5], block(pfn));
    }
    let note = RawNote { name: b"CORE".to_vec(), kind: 1, desc: vec![0; 392] };
    let dump = open(&builder.note(&note).note(&vmcoreinfo("OSRELEASE=6.1.0\n")).build()).unwrap();
    assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("6.1.0"));
    assert_eq!((dump.architecture(), dump.warnings()), (Architecture::Arm64, &[] as &[String]));
    assert_eq!(dump.page_count(), PageCount { present: 17 * 16, excluded: Some(16 * 16) });
    assert_eq!(dump.memory_end(), PhysAddr::new(0x5000 * BLOCK));
    assert_eq!(dump.segments()[0].physical, PhysAddr::new(0x4000 * BLOCK));
    assert_eq!(dump.incomplete(), None);
    for pfn in 0x4010..0x4020 {
        let whole = block(pfn);
        // A word in a page in the middle first, which brings the others.
        assert_bytes(read(&dump, pfn * BLOCK + 0x7008, 8), &whole[0x7008..0x7010]);
        assert_bytes(read(&dump, pfn * BLOCK, BLOCK as usize), whole);
    }
    let (last, next) = (block(0x4010), block(0x4011));
    assert_bytes(read(&dump, 0x4011 * BLOCK - 4, 8), [&last[last.len() - 4..], &next[..4]].concat());
    assert_bytes(read(&dump, 0x4800 * BLOCK + 0x1234, 4), vec![0; 4]);
    assert_eq!(read(&dump, 0x4000 * BLOCK, 8), excluded(0x4000 * BLOCK));
    assert_eq!(read(&dump, 0x4020 * BLOCK, 8), not_in_dump(0x4020 * BLOCK));
}

#[test]
fn headers_that_cannot_be_true() {
    let whole = sample().build();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        open(&changed)
    };
    assert!(matches!(with(428, &[0, 0, 2, 0]), Err(OpenError::BadHeader { .. })));
    assert!(matches!(with(4096 + 96, &[0xff; 8]), Err(OpenError::BadHeader { .. })));
    assert!(matches!(with(4096 + 96, &[0; 8]), Err(OpenError::NoMemory { .. })));
    assert!(matches!(with(272, b"ppc64le\0"), Err(OpenError::WrongMachine { .. })));
    assert_eq!(with(272, b"aarch64\0").unwrap().architecture(), Architecture::Arm64);
    assert!(matches!(with(8, &[0, 0, 0, 6]), Err(OpenError::WrongMachine { .. })));
    // Names as an old makedumpfile shifted them, none at all, and one that nobody knows.
    let mut shifted = whole.clone();
    shifted.copy_within(16..402, 12);
    shifted[398..402].fill(0);
    assert_eq!(&shifted[272..275], b"64\0");
    assert_eq!(open(&shifted).unwrap().warnings(), &[] as &[String]);
    assert_eq!(with(12, &[0; 390]).unwrap().warnings(), &[] as &[String]);
    let mut shifted = whole.clone();
    shifted[272..282].copy_from_slice(b"aarch64\0\0\0");
    shifted.copy_within(16..402, 12);
    assert_eq!(open(&shifted).unwrap().architecture(), Architecture::Arm64);
    let unknown = with(272, b"zarch9\0").unwrap();
    assert!(unknown.warnings()[0].contains("no machine that is known"), "{:?}", unknown.warnings());
    // Bitmaps that are said to be elsewhere: nothing is found, and nothing breaks.
    let far = with(432, &[0xff; 4]).unwrap();
    assert!(matches!(read(&far, 16 * 4096, 8), Err(ReadError::Truncated { .. })));
    assert!(far.incomplete().unwrap().truncated);
    let none = with(436, &[0; 4]);
    assert!(matches!(none, Err(OpenError::NoMemory { .. })));
}

#[test]
fn parts_of_a_split_dump_in_any_order() {
    let directory = tempfile::tempdir().unwrap();
    let part = |index: u32, frames: std::ops::Range<u64>| {
        let path = directory.path().join(index.to_string());
        std::fs::write(&path, KdumpBuilder { split: Some(frames), ..sample() }.build()).unwrap();
        path
    };
    let (first, second, third) = (part(0, 0..30), part(1, 30..50), part(2, 50..70_000));
    let all = Dump::open_parts(&second, &[third.clone(), first.clone()]).unwrap();
    assert_eq!((all.incomplete(), all.page_count().present), (None, 42));
    assert_eq!((all.prstatus().len(), all.warnings().len()), (2, 0));
    for pfn in 16..56 {
        assert_bytes(read(&all, pfn * 4096, 4096), half(pfn));
    }
    assert_bytes(read(&all, 69_999 * 4096, 4096), page(69_999));
    assert_eq!(read(&all, 3 * 4096, 1), excluded(3 * 4096));

    let some = Dump::open_parts(&third, std::slice::from_ref(&first)).unwrap();
    let missing = some.incomplete().unwrap();
    assert_eq!(missing.to_string(), "the part with the page frames 0x1e to 0x32 is missing");
    assert_eq!((some.page_count().present, some.page_count().excluded), (22, Some(6)));
    assert_eq!(read(&some, 30 * 4096, 1), not_in_dump(30 * 4096));
    assert_bytes(read(&some, 50 * 4096, 4096), half(50));
    assert_eq!(Dump::open(&second).unwrap().incomplete().unwrap().missing_frames.len(), 2);

    // Written one after the other, with the same notes; and with others.
    let mut later = KdumpBuilder { split: Some(30..50), ..sample() }.build();
    later[408] += 1;
    std::fs::write(&second, &later).unwrap();
    let all = Dump::open_parts(&first, &[second.clone(), third.clone()]).unwrap();
    assert_eq!((all.incomplete(), all.page_count().present), (None, 42));
    assert!(all.warnings()[0].contains("different times"), "{:?}", all.warnings());
    let mut notes = KdumpBuilder { split: Some(30..50), notes: Vec::new(), ..sample() }.build();
    notes[408] += 1;
    std::fs::write(&second, &notes).unwrap();
    assert!(matches!(Dump::open_parts(&first, &[second]), Err(OpenError::NotOneDump { .. })));

    // The same names and time, and another build, or another crash of it.
    for (text, with) in [("OSRELEASE=6.1.0", "OSRELEASE=6.1.1"), ("BUILD-ID=aa", "BUILD-ID=ab")] {
        let build = |info: &str, frames| KdumpBuilder {
            vmcoreinfo: format!("{info}\nPAGESIZE=4096\n").into_bytes(),
            split: Some(frames),
            notes: Vec::new(),
            ..sample()
        };
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        std::fs::write(&one, build(text, 0..30).build()).unwrap();
        std::fs::write(&two, build(with, 30..50).build()).unwrap();
        assert!(matches!(Dump::open_parts(&one, std::slice::from_ref(&two)), Err(OpenError::NotOneDump { .. })));
        std::fs::write(&two, build(text, 30..50).build()).unwrap();
        assert!(Dump::open_parts(&one, &[two]).is_ok());
    }

    let other = directory.path().join("other");
    std::fs::write(&other, KdumpBuilder { system: "Other", split: Some(30..50), ..sample() }.build()).unwrap();
    assert!(matches!(Dump::open_parts(&first, &[other]), Err(OpenError::NotOneDump { .. })));
    let whole = directory.path().join("whole");
    std::fs::write(&whole, sample().build()).unwrap();
    assert!(matches!(Dump::open_parts(&first, &[whole]), Err(OpenError::NotOneDump { .. })));
}

#[test]
fn threads_read_what_one_thread_reads() {
    let dump = open(&sample().build()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dump = &dump;
            scope.spawn(move || {
                for round in 0..400 {
                    let pfn = 16 + (round * 7 + thread) % 40;
                    assert_bytes(read(dump, pfn * 4096, 4096), half(pfn));
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn mutations_of_a_dump_never_panic(
        changes in prop::collection::vec(
            (prop_oneof![0..480usize, 4096..4210usize, any::<prop::sample::Index>().prop_map(|at| at.index(60_000))],
             prop_oneof![any::<u8>(), Just(0), Just(0xff)]),
            1..12,
        ),
        cut in prop::option::of(0..80_000usize),
    ) {
        let mut bytes = sample().build();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        exercise(file(&bytes).path());
    }
}
