use std::os::unix::fs::MetadataExt;

use super::{UnpackProgress, Unpacking};
use crate::test_support::pack::{bzip2, gzip, lz4, lzma, tar, xz, zstd};
use crate::test_support::{ElfBuilder, assert_bytes, exercise, file, page, read, vmcoreinfo};
use crate::{Dump, Lookalike, OpenError};

/// A dump of 300 pages, more than one chunk: some random, the rest zeroes.
fn sample() -> Vec<u8> {
    let memory = (0..300).flat_map(|pfn| if pfn % 7 < 3 { page(pfn) } else { vec![0; 4096] }).collect();
    ElfBuilder::new().note(&vmcoreinfo("OSRELEASE=6.1.0\n")).load(0x10_0000, memory).build()
}

type Pack = fn(&[u8]) -> Vec<u8>;

const PACKERS: [(&str, Pack); 5] = [("gzip", gzip), ("xz", xz), ("zstd", zstd), ("lz4", lz4), ("bzip2", bzip2)];

/// The form before xz is one stream without a checksum.
#[test]
fn lzma_alone() {
    assert_is_sample(&open(&lzma(&sample())).unwrap());
}

#[test]
fn the_dump_in_an_archive_is_read() {
    let packed: [Vec<u8>; 4] = [tar(&sample()), gzip(&tar(&sample())), zstd(&tar(&sample())), tar(&gzip(&sample()))];
    for archive in packed {
        let dump = open(&archive).unwrap();
        assert!(dump.warnings()[0].contains("its first dump is read"), "{:?}", dump.warnings());
        assert_eq!(dump.incomplete(), None);
        assert_bytes(read(&dump, 0x10_0000, 4096), page(0));
        assert_bytes(read(&dump, 0x10_0000 + 296 * 4096, 4096), page(296));
    }
    let none = open(&gzip(&tar(b"only text"))).unwrap_err();
    assert!(none.to_string().contains("no member of it is a dump"), "{none}");
    let whole = tar(&sample());
    let cut = open(&whole[..whole.len() / 2]).unwrap();
    assert!(cut.incomplete().is_some() && cut.warnings().len() > 1, "{:?}", cut.warnings());
}

/// As `pzstd` writes: a frame to be skipped before each frame of data.
#[test]
fn frames_to_be_skipped_first() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];
    let whole = sample();
    let (first, second) = whole.split_at(600_000);
    for pack in [zstd, lz4] {
        let packed = [&skippable[..], &pack(first), &skippable, &pack(second)].concat();
        assert_is_sample(&open(&packed).unwrap());
    }
}

fn open(bytes: &[u8]) -> Result<Dump, OpenError> {
    Dump::open(file(bytes).path())
}

#[track_caller]
fn assert_is_sample(dump: &Dump) {
    assert_eq!((dump.incomplete(), dump.warnings().len()), (None, 0));
    assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("6.1.0"));
    for pfn in 0..300 {
        let expected = if pfn % 7 < 3 { page(pfn) } else { vec![0; 4096] };
        assert_bytes(read(dump, 0x10_0000 + pfn * 4096, 4096), expected);
    }
}

#[test]
fn a_packed_dump_is_the_dump() {
    for (_, pack) in PACKERS {
        assert_is_sample(&open(&pack(&sample())).unwrap());
    }
}

/// Tapes and block devices have them after the file; gzip passes over them, and so does not take them for damage.
#[test]
fn zeroes_after_gzip_are_no_damage() {
    for zeroes in [1, 511, 3 << 20] {
        assert_is_sample(&open(&[gzip(&sample()), vec![0; zeroes]].concat()).unwrap());
    }
    let dump = open(&[gzip(&sample()), vec![0; 16], b"something else".to_vec()].concat()).unwrap();
    assert!(dump.warnings()[0].contains("damaged"), "{:?}", dump.warnings());
}

/// As parallel compressors and `cat` make them.
#[test]
fn several_streams_in_one_file() {
    let whole = sample();
    let (first, second) = whole.split_at(700_000);
    for (_, pack) in PACKERS {
        assert_is_sample(&open(&[pack(first), pack(second)].concat()).unwrap());
    }
    let skipped = [&0x184d_2a50u32.to_le_bytes()[..], &5u32.to_le_bytes(), b"12345"].concat();
    assert_is_sample(&open(&[zstd(first), skipped, zstd(second)].concat()).unwrap());
}

#[test]
fn a_stream_that_ends_early_is_used_as_far_as_it_goes() {
    for (name, pack) in PACKERS {
        let packed = pack(&sample());
        let dump = open(&packed[..packed.len() / 2]).unwrap();
        assert!(dump.incomplete().unwrap().truncated, "{name}");
        let said = dump.warnings()[0].starts_with(&format!("the {name} stream is cut off after"));
        assert!(said, "{name}: {:?}", dump.warnings());
        assert_eq!(dump.damage(), None, "{name}");
        assert_bytes(read(&dump, 0x10_0000, 4096), page(0));
        let nothing = open(&packed[..7]);
        assert!(matches!(nothing, Err(OpenError::DamagedStream { .. } | OpenError::Empty { .. })), "{name}");
    }
}

#[test]
fn damage_is_told() {
    for (name, pack) in PACKERS {
        let mut packed = pack(&sample());
        // More than one byte: the formats have bits that mean nothing.
        let middle = packed.len() / 2;
        packed[middle..middle + 8].copy_from_slice(b"damaged!");
        let dump = open(&packed).unwrap();
        let told = dump.warnings().first().is_some_and(|warning| warning.contains("any byte of the dump may be wrong"));
        assert!(told, "{name}: {:?}", dump.warnings());
        assert_eq!(dump.damage(), dump.warnings().first().map(String::as_str), "{name}");
        exercise(file(&packed).path());
    }
}

/// All of the contents are there, and nothing but the sum says that they are wrong.
#[test]
fn a_wrong_checksum_puts_all_in_doubt() {
    type Sum = (&'static str, Pack, usize);
    // How far from the end a byte of the sum is.
    let sums: [Sum; 2] = [("gzip", gzip, 6), ("lz4", lz4, 2)];
    for (name, pack, from_end) in sums {
        let mut packed = pack(&sample());
        let at = packed.len() - from_end;
        packed[at] ^= 1;
        let dump = open(&packed).unwrap();
        assert_eq!(dump.incomplete(), None, "{name}");
        assert!(dump.damage().is_some_and(|why| why.contains("any byte of the dump may be wrong")), "{name}");
        assert_bytes(read(&dump, 0x10_0000, 4096), page(0));
    }
}

#[test]
fn what_needs_too_much_memory_is_not_damaged() {
    // Windows of 4 GiB, of 1 TiB and the largest that can be asked for; a dictionary of 1 GiB.
    let mut wide = zstd(&sample());
    wide.splice(4..6, [0, 22 << 3]);
    let mut widest = zstd(&sample());
    widest.splice(4..6, [0, 30 << 3]);
    let mut all_ones = zstd(&sample());
    all_ones.splice(4..6, [0, 0xff]);
    let mut dictionary = lzma(&sample());
    dictionary[1..5].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let by_hand = "unpack it by hand";
    let none_such = "zstd writes no file that needs more";
    for (name, packed, hint) in [
        ("zstd", wide, none_such),
        ("zstd", widest, none_such),
        ("zstd", all_ones, none_such),
        ("lzma", dictionary, by_hand),
    ] {
        let error = open(&packed).unwrap_err();
        assert!(matches!(error, OpenError::TooLarge { .. }), "{name}: {error}");
        assert!(error.to_string().contains("needs more memory to unpack with"), "{error}");
        assert!(error.hint().unwrap().starts_with(hint), "{name}");
    }
    // Behind a frame that could be unpacked.
    let whole = sample();
    let mut second = zstd(&whole[600_000..]);
    second.splice(4..6, [0, 22 << 3]);
    let dump = open(&[zstd(&whole[..600_000]), second].concat()).unwrap();
    assert!(dump.warnings()[0].contains("than the limit"), "{:?}", dump.warnings());
    assert!(dump.incomplete().is_some() && dump.damage().is_none());
}

#[test]
fn what_is_inside_must_be_a_dump() {
    for (_, pack) in PACKERS {
        assert_is_sample(&open(&pack(&pack(&sample()))).unwrap());
        let text = open(&pack(b"only text\n"));
        assert!(matches!(text, Err(OpenError::NotADump { looks_like: Lookalike::Text, .. })));
    }
    // Somebody who packs a dump more often than four times does not want it to be read.
    let much = (0..5).fold(sample(), |bytes, _| gzip(&bytes));
    let much = open(&much).unwrap_err();
    assert!(matches!(much, OpenError::NotADump { looks_like: Lookalike::Compressed("gzip"), .. }), "{much}");
}

#[test]
fn the_limit_and_the_directory_hold() {
    let packed = file(&gzip(&sample()));
    let directory = tempfile::tempdir().unwrap();
    let open_with = |directory: &std::path::Path, limit| {
        Dump::open_unpacking(
            packed.path(),
            &[],
            Unpacking { directory: directory.to_owned(), limit, watch: &mut |_| {} },
        )
    };
    let error = open_with(directory.path(), 1_200_000).unwrap_err();
    assert!(matches!(error, OpenError::CannotUnpack { unpacked: 1_048_576, .. }), "{error}");
    assert!(error.to_string().ends_with("it has more than 1200000 bytes, the limit"), "{error}");
    let missing = open_with(&directory.path().join("missing"), u64::MAX).unwrap_err();
    assert!(missing.hint().unwrap().contains("TMPDIR"), "{missing}");
    assert_is_sample(&open_with(directory.path(), u64::MAX).unwrap());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn progress_is_reported_from_nothing_to_all() {
    let packed = file(&gzip(&sample()));
    let mut reports = Vec::new();
    let mut watch = |it: &UnpackProgress<'_>| reports.push((it.compression, it.read, it.unpacked, it.done));
    let unpacking = Unpacking { directory: std::env::temp_dir(), limit: u64::MAX, watch: &mut watch };
    Dump::open_unpacking(packed.path(), &[], unpacking).unwrap();
    let (len, unpacked) = (packed.as_file().metadata().unwrap().len(), sample().len() as u64);
    assert_eq!(reports.first(), Some(&("gzip", 0, 0, false)));
    assert_eq!(reports.last(), Some(&("gzip", len, unpacked, true)));
    assert!(reports.iter().all(|&(_, read, _, _)| read <= len));
    assert!(reports.is_sorted_by_key(|&(_, read, unpacked, _)| (read, unpacked)));
}

#[test]
fn pages_of_zeroes_take_no_room_and_only_the_owner_can_read() {
    let mut out = super::SparseFile::create(&std::env::temp_dir()).unwrap();
    out.write(&vec![0; 1 << 20]).unwrap();
    out.write(&page(1)).unwrap();
    out.write(&vec![0; 1 << 20]).unwrap();
    let metadata = out.finish().unwrap().metadata().unwrap();
    assert_eq!(metadata.len(), (2 << 20) + 4096);
    assert!(metadata.blocks() * 512 < 64 << 10, "{} blocks", metadata.blocks());
    assert_eq!((metadata.mode() & 0o077, metadata.nlink()), (0, 0));
}
