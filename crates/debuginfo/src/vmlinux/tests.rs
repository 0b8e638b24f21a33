//! Opening files and asking them, good ones and damaged ones.

use std::{fs::File, io::Write};

use proptest::prelude::*;

use super::*;
use crate::elf::write::Contents;
use crate::fixture::{BANNER, BUILD_ID, Fixture, RODATA, TEXT, open};

/// Each of these sections names the same megabyte of notes, or the same long name: 50 000 of them took minutes and
/// gigabytes before both had a limit.
#[test]
fn many_sections_that_share_their_bytes_cost_little() {
    const HEADERS: usize = 40_000;
    const SHARED: u64 = 1 << 20;
    let mut file = Fixture::new().bytes();
    let shared = file.len() as u64;
    // As notes: 12 bytes each, without a name or contents. As a name: 'a', up to the last byte.
    file.extend([0; 12].repeat(usize::try_from(SHARED).unwrap() / 24));
    file.extend(vec![b'a'; usize::try_from(SHARED).unwrap() / 2]);
    file.push(0);
    file.resize(file.len().next_multiple_of(8), 0);
    let table = file.len() as u64;
    let header = |name: u32, kind: u32, size: u64| {
        let words = [0, 0, shared, size, 0, 4, 0].map(u64::to_le_bytes).concat();
        [&name.to_le_bytes()[..], &kind.to_le_bytes()[..], &words[..]].concat()
    };
    file.extend(header(0, 0, 0));
    file.extend(header(0, 3, SHARED));
    for _ in 0..HEADERS - 2 {
        file.extend(header(u32::try_from(SHARED / 2 + 64).unwrap(), 7, SHARED / 2));
    }
    file[40..48].copy_from_slice(&table.to_le_bytes());
    file[60..62].copy_from_slice(&u16::try_from(HEADERS).unwrap().to_le_bytes());
    file[62..64].copy_from_slice(&1u16.to_le_bytes());
    let started = std::time::Instant::now();
    let elf = Elf::parse(Path::new("vmlinux"), file.into(), Role::Vmlinux).unwrap();
    assert_eq!(elf.build_id, None);
    assert!(elf.sections.len() == HEADERS && elf.sections.iter().all(|section| section.name.is_empty()));
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn identity_and_contents() {
    let vmlinux = Fixture::new().open();
    assert_eq!(vmlinux.build_id(), Some(&BUILD_ID[..]));
    assert_eq!(vmlinux.banner().as_deref(), Some(BANNER));
    assert_eq!(vmlinux.read_static(VirtAddr::new(RODATA + 6), 7), Some(&b"version"[..]));
    assert_eq!(vmlinux.read_static(VirtAddr::new(RODATA + 0xff), 2), None, "past the section's end");
    assert_eq!(vmlinux.read_static(VirtAddr::new(RODATA + 0xff), u64::MAX), None);
    assert_eq!(vmlinux.read_static(VirtAddr::new(TEXT), 1), None, "the file does not hold it");
    let plain = vmlinux.section(".orc_unwind_ip").unwrap();
    assert_eq!((plain.address, &*plain.data), (VirtAddr::new(RODATA + 0x1000), &[7; 64][..]));
    let compressed = vmlinux.section(".orc_unwind").unwrap();
    assert_eq!((compressed.address, &*compressed.data), (VirtAddr::new(RODATA + 0x2000), &[9; 96][..]));
    assert_eq!(vmlinux.section(".text"), None);
    assert_eq!(vmlinux.section(".none"), None);
    assert!(vmlinux.source().is_none());
    assert_eq!(vmlinux.source_frames(&[VirtAddr::new(TEXT)]), [[]]);
    assert_eq!(vmlinux.types().origin(), crate::TypesOrigin::Missing);
    assert_eq!(vmlinux.types().variable_type_size("table"), Some(0x40), "of the symbol, where nothing else is known");
}

/// The message and the hint of what opening `path` gives.
fn refusal(path: &Path) -> (String, &'static str) {
    let error = Vmlinux::open(path).unwrap_err();
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    (message, error.hint().unwrap_or_default())
}

#[test]
fn what_cannot_be_opened_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinux");
    let (message, hint) = refusal(&path);
    assert!(message.contains("No such file") && hint.contains("check the path"), "{message} {hint}");
    let (message, _) = refusal(directory.path());
    assert!(message.ends_with("is not a regular file"), "{message}");
    let mut file = File::create(&path).unwrap();
    assert!(refusal(&path).0.ends_with("vmlinux is empty"));
    file.write_all(b"KDUMP   and so on").unwrap();
    let (message, hint) = refusal(&path);
    assert!(message.ends_with("is a kdump-compressed dump, not a vmlinux") && hint.contains("swapped"), "{message}");
}

#[test]
fn a_packed_file_that_was_cut_short_is_to_be_copied_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinux.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&Fixture::with_dwarf(5, true).bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    std::fs::write(&path, &packed).unwrap();
    assert!(Vmlinux::open(&path).is_ok());
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    let (message, hint) = refusal(&path);
    assert!(message.starts_with(&format!("cannot unpack {}: ", path.display())), "{message}");
    assert_eq!(hint, "the file is cut short; copy it again");
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let bytes = Fixture::with_dwarf(5, true).bytes();
    for len in [1, 16, 63, 64, bytes.len() / 2, bytes.len() - 1] {
        assert!(open(&bytes[..len]).is_err(), "{len} bytes of {}", bytes.len());
    }
}

/// The ELF file without its symbol table: that section becomes one of another kind.
fn stripped(mut bytes: Vec<u8>) -> Vec<u8> {
    let headers = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) as usize;
    let table = (headers..).step_by(64).find(|&at| bytes[at + 4] == 2).unwrap();
    bytes[table + 4] = 1;
    bytes
}

#[test]
fn a_stripped_file_is_refused() {
    let error = open(&stripped(Fixture::new().bytes())).unwrap_err();
    assert!(matches!(error, OpenError::NoSymbols { .. }), "{error}");
    assert!(error.hint().unwrap().contains("stripped"));
}

#[test]
fn a_stripped_program_is_no_kernel() {
    let mut fixture = Fixture::new();
    fixture.add(".interp", 0, 0, Contents::Bytes(b"/lib64/ld-linux-x86-64.so.2\0".into()));
    let error = open(&stripped(fixture.bytes())).unwrap_err();
    assert!(matches!(error, OpenError::NotAKernel { .. }), "{error}");
}

#[test]
fn a_program_is_no_kernel_however_its_debug_information_is_packed() {
    let mut fixture = Fixture::with_dwarf(5, true);
    fixture.add(".gnu_debugaltlink", 0, 0, Contents::Bytes(b"common.debug\0twenty bytes of hash".into()));
    fixture.add(".interp", 0, 0, Contents::Bytes(b"/lib64/ld-linux-x86-64.so.2\0".into()));
    let error = open(&fixture.bytes()).unwrap_err();
    assert!(matches!(error, OpenError::NotAKernel { .. }), "{error}");
}

/// Asks everything there is to ask.
fn exercise(bytes: &[u8]) {
    let Ok(vmlinux) = open(bytes) else { return };
    let mut answers = (vmlinux.banner(), vmlinux.build_id().map(<[u8]>::to_vec)) != (None, None);
    let mut lines = vmlinux.source();
    for offset in (0..0x1000).step_by(0x24) {
        let address = VirtAddr::new(TEXT + offset);
        answers ^= vmlinux.symbols().lookup(address).is_some();
        answers ^= lines.as_mut().is_some_and(|lines| lines.frames(address).len() > 1);
    }
    for name in ["schedule", "handler", "tasks"] {
        answers ^= vmlinux.symbols().addresses(name).count() > 1;
        answers ^= vmlinux.types().variable_array_len(name).is_some();
    }
    for path in ["pid", "now", "old", "next", "grid[1]", "more[2]", "mode"] {
        answers ^= vmlinux.types().member("struct task", path).is_some();
    }
    answers ^= vmlinux.types().enumerator("ON").is_some();
    std::hint::black_box(answers);
    if let Ok(profile) = crate::Profile::of(&vmlinux) {
        std::hint::black_box(open(profile.bytes()).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_never_panic(
        version in 4u16..=5,
        aranges in any::<bool>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = Fixture::with_dwarf(version, aranges).bytes();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes);
    }
}

/// A unit of assembly code, and behind it one whose types are in another file, which it calls by its attribute `name`.
fn with_split_dwarf(version: u16, name: gimli::DwAt) -> Fixture {
    let encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version, address_size: 8 };
    let mut dwarf = gimli::write::Dwarf::new();
    for is_split in [false, true] {
        let program = gimli::write::LineProgram::none();
        let unit = dwarf.units.add(gimli::write::Unit::new(encoding, program));
        let unit = dwarf.units.get_mut(unit);
        let root = unit.get_mut(unit.root());
        root.set(gimli::DW_AT_comp_dir, gimli::write::AttributeValue::String(b"/build".to_vec()));
        if is_split {
            root.set(name, gimli::write::AttributeValue::String(b"init/main.dwo".to_vec()));
        }
    }
    let mut sections = gimli::write::Sections::new(gimli::write::EndianVec::new(gimli::LittleEndian));
    dwarf.write(&mut sections).unwrap();
    let mut fixture = Fixture::new();
    let added: Result<(), gimli::write::Error> = sections.for_each(|id, data| {
        fixture.add(id.name(), 0, 0, Contents::Bytes(data.slice().to_vec().into()));
        Ok(())
    });
    added.unwrap();
    fixture
}

#[test]
fn debug_information_in_other_files_is_refused() {
    for (version, name) in [(4, gimli::DW_AT_GNU_dwo_name), (5, gimli::DW_AT_dwo_name)] {
        let fixture = with_split_dwarf(version, name);
        let error = open(&fixture.bytes()).unwrap_err();
        assert!(matches!(error, OpenError::SplitDwarf { .. }), "{error}");
        assert!(error.to_string().contains(".dwo files") && error.hint().unwrap().contains("CONFIG_DEBUG_INFO_SPLIT"));
        let mut with_btf = fixture;
        with_btf.add(".BTF", 0, 0, Contents::Bytes(vec![0; 4].into()));
        assert!(open(&with_btf.bytes()).is_ok(), "the types are there");
    }
    let whole = with_split_dwarf(5, gimli::DW_AT_name);
    assert!(open(&whole.bytes()).is_ok());
}
