use proptest::prelude::*;
use vmcore_memory::{Architecture, FileOffset, PhysAddr, ReadError, ReadPhysical, VirtAddr};

use crate::test_support::{
    ElfBuilder, LoadSpec, assert_bytes, exercise, file, open, page, prstatus, qemu, read, vmcoreinfo,
};
use crate::{Dump, Format, OpenError, PageCount, RawNote, Source, write_elf_core};

fn proc_vmcore() -> ElfBuilder {
    ElfBuilder::new()
        .note(&prstatus(0, 0x100))
        .note(&prstatus(4711, 0x200))
        .note(&vmcoreinfo("OSRELEASE=6.1.0\nNUMBER(phys_base)=0\n"))
        .load(0x1000, page(1))
        .load(0x10_0000, [page(2), page(3)].concat())
}

#[test]
fn a_dump_of_proc_vmcore() {
    let dump = open(&proc_vmcore().build()).unwrap();
    assert_eq!((dump.format(), dump.source()), (Format::Elf, Source::ProcVmcore));
    assert_eq!(dump.format().to_string(), "elf");
    assert_eq!(dump.prstatus().iter().map(|note| note.pid).collect::<Vec<_>>(), [0, 4711]);
    assert_eq!(dump.prstatus()[1].registers.pc().get(), 0x210);
    assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("6.1.0"));
    assert_eq!(dump.segments().len(), 2);
    assert_eq!(dump.page_count(), PageCount { present: 3, excluded: Some(0) });
    assert_eq!(dump.incomplete(), None);
    assert!(dump.warnings().is_empty());

    assert_bytes(read(&dump, 0x1000, 4096), page(1));
    assert_bytes(read(&dump, 0x10_0ff0, 32), [&page(2)[0xff0..], &page(3)[..16]].concat());
    assert_bytes(read(&dump, 0x2000, 0), vec![]);
    assert_eq!(read(&dump, 0x1ffc, 8), Err(ReadError::NotInDump { address: PhysAddr::new(0x2000) }));
    assert_eq!(read(&dump, 0, 8), Err(ReadError::NotInDump { address: PhysAddr::new(0) }));
    let beyond = read(&dump, u64::MAX - 3, 8);
    assert_eq!(beyond, Err(ReadError::BadRange { address: u64::MAX - 3, len: 8 }));
}

#[test]
fn notes_know_where_they_are_in_the_file() {
    let builder = proc_vmcore();
    let bytes = builder.build();
    let dump = open(&bytes).unwrap();
    for note in dump.prstatus() {
        let at = note.file_offset.get() as usize;
        assert_eq!(bytes[at..at + 336], note.note);
    }
    assert_eq!(dump.prstatus()[0].file_offset, FileOffset::new(builder.notes_offset() + 20));
    assert_eq!(dump.raw_notes()[1], prstatus(4711, 0x200));
}

#[test]
fn a_qemu_dump_with_paging_names_one_page_twice() {
    let text = LoadSpec {
        physical: 0x2000,
        virtual_address: 0xffff_ffff_8100_0000,
        offset: Some(0),
        file_size: Some(0x1000),
        ..LoadSpec::default()
    };
    let mut builder = ElfBuilder::new().note(&qemu(0x500)).load(0, [page(1), page(2), page(3)].concat());
    let offset = builder.memory_offset() + 56 + 0x2000;
    builder = builder.load_spec(LoadSpec { offset: Some(offset), ..text });
    let dump = open(&builder.build()).unwrap();
    assert_eq!(dump.source(), Source::Qemu);
    assert_bytes(read(&dump, 0x1000, 0x2000), [page(2), page(3)].concat());
    assert_eq!(dump.page_count().present, 3);
    assert_eq!(dump.segments()[0].virtual_address, None);
    assert_eq!(dump.segments()[1].virtual_address, Some(VirtAddr::new(0xffff_ffff_8100_0000)));

    let cpu = &dump.qemu_cpus()[0];
    // Words 0..18 are registers, each of ten segments is three words with its base in the last, then CR0..CR4.
    assert_eq!((cpu.registers.rax, cpu.registers.rip, cpu.registers.eflags), (0x500, 0x510, 0x511));
    assert_eq!(cpu.registers.cs, 0x512);
    assert_eq!((cpu.gs_base.get(), cpu.gdt.base.get(), cpu.idt.base.get()), (0x520, 0x52c, 0x52f));
    assert_eq!((cpu.cr0, cpu.cr2.get(), cpu.cr3.get(), cpu.cr4), (0x530, 0x532, 0, 0x534));
    assert_eq!(cpu.kernel_gs_base, Some(VirtAddr::new(0x535)));
}

#[test]
fn what_a_filter_left_out_is_excluded() {
    let filtered = LoadSpec { physical: 0x4000, bytes: page(1), memory_size: Some(0x3000), ..LoadSpec::default() };
    let builder = ElfBuilder::new().note(&vmcoreinfo("OSRELEASE=6\n")).load_spec(filtered).load(0x6000, page(2));
    let dump = open(&builder.build()).unwrap();
    assert_eq!(dump.source(), Source::Makedumpfile);
    assert_eq!(dump.page_count(), PageCount { present: 2, excluded: Some(1) });
    assert_eq!(read(&dump, 0x4ffc, 8), Err(ReadError::Excluded { address: PhysAddr::new(0x5000), level: None }));
    // The second header has what the first one left out.
    assert_bytes(read(&dump, 0x6000, 4096), page(2));
    assert_eq!(read(&dump, 0x7000, 1), Err(ReadError::NotInDump { address: PhysAddr::new(0x7000) }));
}

#[test]
fn every_truncation_keeps_what_is_left() {
    let builder = proc_vmcore();
    let bytes = builder.build();
    let memory = builder.memory_offset() as usize;
    for len in (64..bytes.len()).step_by(61) {
        match open(&bytes[..len]) {
            Ok(dump) => {
                let missing = dump.incomplete().unwrap();
                let expected = missing.expected_len.unwrap();
                // A lost header takes with it what is known of its data.
                let lower_bound = len < 64 + 56 * 3;
                assert!(expected > len as u64 && (expected == bytes.len() as u64 || lower_bound), "{len}: {expected}");
                assert_eq!(missing.actual_len, len as u64);
                assert!(missing.to_string().contains("truncated"));
                let in_file = len.saturating_sub(memory).min(4096);
                assert_bytes(read(&dump, 0x1000, in_file), &page(1)[..in_file]);
                if in_file < 4096 {
                    let address = PhysAddr::new(0x1000 + in_file as u64);
                    let offset = FileOffset::new((memory + in_file) as u64);
                    assert_eq!(read(&dump, 0x1000, 4096), Err(ReadError::Truncated { address, offset }));
                }
                assert_eq!(dump.prstatus().len() == 2, len >= builder.notes_offset() as usize + 2 * 356);
            }
            Err(OpenError::HeadersLost { .. }) => assert!(len < 64 + 56 * 2),
            Err(other) => panic!("{len}: {other}"),
        }
    }
    assert!(matches!(open(&bytes[..63]), Err(OpenError::TruncatedHeader { needed: 64, len: 63, .. })));
}

#[test]
fn memory_past_the_end_is_found_where_another_header_has_it() {
    // As in /proc/vmcore: the kernel's text comes first and alone, then again in its bank, which is cut off.
    let builder = ElfBuilder::new().load(0x2000, page(2)).load(0x1000, [page(1), page(2), page(3)].concat());
    let bytes = builder.build();
    let dump = open(&bytes[..bytes.len() - 0x3000]).unwrap();
    assert_bytes(read(&dump, 0x2000, 4096), page(2));
    let lost =
        ReadError::Truncated { address: PhysAddr::new(0x1000), offset: FileOffset::new(bytes.len() as u64 - 0x3000) };
    assert_eq!(read(&dump, 0x1000, 4096), Err(lost));
}

#[test]
fn damaged_notes_are_warnings() {
    let mut builder = proc_vmcore();
    let end = builder.notes.len();
    // The name of the last note gets an absurd length.
    let info_at = 2 * (12 + 8 + 336);
    builder.notes[info_at..info_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let dump = open(&builder.build()).unwrap();
    assert_eq!((dump.prstatus().len(), dump.vmcoreinfo().is_none()), (2, true));
    assert_eq!(dump.warnings().len(), 1);
    assert!(dump.warnings()[0].contains(&format!("{:#x}", builder.notes_offset() + info_at as u64)));

    // Zeroes behind the notes are padding, whatever their number.
    for padding in [0, 3, 4, 100] {
        let mut builder = proc_vmcore();
        builder.notes.resize(end + padding, 0);
        assert!(open(&builder.build()).unwrap().warnings().is_empty());
    }
    // An i386 prstatus is not read as one of x86-64.
    let short = RawNote { desc: vec![0; 144], ..prstatus(1, 0) };
    let dump = open(&ElfBuilder::new().note(&short).load(0, page(1)).build()).unwrap();
    assert_eq!((dump.prstatus().len(), dump.warnings().len()), (0, 1));
}

#[test]
fn warnings_are_bounded() {
    let short = RawNote { desc: vec![0; 4], ..prstatus(1, 0) };
    let builder = (0..500).fold(ElfBuilder::new(), |builder, _| builder.note(&short)).load(0, page(1));
    assert!(open(&builder.build()).unwrap().warnings().len() < 100);
}

#[test]
fn one_large_note_named_many_times_is_read_a_few_times() {
    let large = RawNote { name: b"LARGE".to_vec(), kind: 0, desc: vec![1; 20 << 20] };
    let builder = (0..40).fold(ElfBuilder::new().note(&large), |builder, _| builder.load(0x1000, vec![]));
    let note_len = builder.notes.len() as u64;
    let at = builder.notes_offset();
    let mut bytes = builder.load(0x1000, page(1)).build();
    // All but the last PT_LOAD become PT_NOTE.
    for header in bytes[120..64 + 56 * 41].chunks_exact_mut(56) {
        header[0] = 4;
        header[8..16].copy_from_slice(&(at + 56).to_le_bytes());
        header[32..40].copy_from_slice(&note_len.to_le_bytes());
    }
    bytes[72..80].copy_from_slice(&(at + 56).to_le_bytes());
    let dump = open(&bytes).unwrap();
    let total: usize = dump.raw_notes().iter().map(|note| note.desc.len()).sum();
    assert!((20 << 20..100 << 20).contains(&total), "{total}");
    assert!(dump.warnings()[0].contains("too many notes"), "{:?}", dump.warnings());
}

#[test]
fn makedumpfile_marks_what_it_had_no_space_for() {
    let mut bytes = proc_vmcore().build();
    assert!(open(&bytes).unwrap().incomplete().is_none());
    bytes[48] = 1;
    let dump = open(&bytes).unwrap();
    let incomplete = dump.incomplete().unwrap();
    assert!(incomplete.marked && !incomplete.truncated);
}

#[test]
fn an_empty_vmcoreinfo_hides_no_good_one() {
    let told = |notes: &[&str]| {
        let builder = notes.iter().fold(ElfBuilder::new(), |builder, text| builder.note(&vmcoreinfo(text)));
        let dump = open(&builder.load(0x1000, page(1)).build()).unwrap();
        (dump.vmcoreinfo().and_then(|info| info.osrelease().map(str::to_owned)), dump.warnings().to_vec())
    };
    let zeroes = "\0".repeat(4096);
    let (release, warnings) = told(&[&zeroes, "OSRELEASE=6.1.0\n"]);
    assert_eq!(release.as_deref(), Some("6.1.0"));
    assert!(matches!(&warnings[..], [one] if one.contains("is empty")), "{warnings:?}");
    assert_eq!(told(&[&zeroes]).0, None);
    let (release, warnings) = told(&["OSRELEASE=6.1.0\n", "OSRELEASE=6.2.0\n"]);
    assert_eq!(release.as_deref(), Some("6.1.0"));
    assert!(warnings[0].contains("second"), "{warnings:?}");
}

#[test]
fn files_that_are_something_else() {
    let wrong = |change: fn(&mut ElfBuilder)| {
        let mut builder = proc_vmcore();
        change(&mut builder);
        open(&builder.build()).unwrap_err()
    };
    let vmlinux = wrong(|builder| builder.kind = 2);
    assert!(matches!(vmlinux, OpenError::NotACore { kind: "executable", .. }));
    assert!(vmlinux.hint().unwrap().contains("swapped"));
    let power = wrong(|builder| builder.machine = 21);
    assert!(
        power.to_string().ends_with("is a dump of a PowerPC machine; only those of x86-64 and arm64 are read"),
        "{power}"
    );
    assert!(matches!(wrong(|builder| builder.class = 1), OpenError::WrongMachine { .. }));
    assert!(matches!(wrong(|builder| builder.loads.clear()), OpenError::NoMemory { .. }));

    let files = RawNote { name: b"CORE".to_vec(), kind: 0x4649_4c45, desc: vec![0; 16] };
    let user = LoadSpec { virtual_address: 0x55_5555_0000, bytes: page(1), ..LoadSpec::default() };
    let builder = ElfBuilder::new().note(&prstatus(5, 0)).note(&files).load_spec(user);
    assert!(matches!(open(&builder.build()), Err(OpenError::UserCore { .. })));
}

/// As QEMU writes it: after the registers of each CPU its floating-point registers.
#[test]
fn an_arm64_machine() {
    let mut desc = vec![0; 392];
    desc[32] = 1;
    desc[112 + 32 * 8..][..8].copy_from_slice(&0xffff_8000_0801_2344u64.to_le_bytes());
    let note = |kind, desc| RawNote { name: b"CORE".to_vec(), kind, desc };
    let core =
        || ElfBuilder { machine: 183, ..ElfBuilder::new() }.load(0x4000_0000, page(1)).note(&note(1, desc.clone()));
    let dump = open(&core().note(&note(2, vec![0; 528])).build()).unwrap();
    assert_eq!((dump.architecture(), dump.source()), (Architecture::Arm64, Source::Qemu));
    assert_eq!((dump.prstatus()[0].pid, dump.prstatus()[0].registers.pc().get()), (1, 0xffff_8000_0801_2344));
    assert_eq!(dump.warnings(), &[] as &[String]);
    assert_ne!(open(&core().build()).unwrap().source(), Source::Qemu);
    // A note of another machine is not taken for one of this.
    let mixed = open(&core().note(&prstatus(5, 0)).build()).unwrap();
    assert_eq!(mixed.prstatus().len(), 1);
    assert!(mixed.warnings()[0].contains("not those of arm64"), "{:?}", mixed.warnings());
}

#[test]
fn big_endian_is_named() {
    let mut bytes = proc_vmcore().build();
    bytes[5] = 2;
    bytes[16..20].copy_from_slice(&[0, 4, 0, 21]);
    let error = open(&bytes).unwrap_err();
    assert!(error.to_string().contains("PowerPC"), "{error}");
}

#[test]
fn more_headers_than_the_header_can_count() {
    // Pages with gaps between them, so that each needs a header of its own.
    let count = 70_000u64;
    let bytes = page(9);
    let ranges = (0..count).map(|index| (PhysAddr::new(index * 0x2000), &bytes[..16]));
    let mut out = Vec::new();
    write_elf_core(&mut out, Architecture::X86_64, &[prstatus(1, 2)], ranges).unwrap();
    let dump = open(&out).unwrap();
    assert_eq!((dump.segments().len() as u64, dump.prstatus().len()), (count, 1));
    assert_bytes(read(&dump, (count - 1) * 0x2000, 16), &bytes[..16]);

    // Without the section header that has the count, 65535 of them are read.
    let mut lost = out.clone();
    lost[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    let dump = open(&lost).unwrap();
    assert_eq!((dump.segments().len(), dump.warnings().len()), (65534, 1));
}

#[test]
fn what_is_written_is_what_is_read() {
    let notes = [prstatus(3, 4), qemu(5), vmcoreinfo("A=b\n")];
    let (first, second, third) = (page(1), page(2), page(3));
    let ranges = [(0x1000, &first), (0x2000, &second), (0x8000, &third)];
    let mut out = Vec::new();
    write_elf_core(
        &mut out,
        Architecture::X86_64,
        &notes,
        ranges.iter().map(|&(at, bytes)| (PhysAddr::new(at), bytes.as_slice())),
    )
    .unwrap();
    let dump = open(&out).unwrap();
    assert_eq!(dump.raw_notes(), notes);
    assert_eq!(dump.segments().len(), 2);
    assert_bytes(read(&dump, 0x1000, 0x2000), [first, second].concat());
    assert_bytes(read(&dump, 0x8000, 0x1000), third);
    assert!(dump.warnings().is_empty() && dump.incomplete().is_none());

    let beyond = std::iter::once((PhysAddr::new(u64::MAX), &[0u8; 2][..]));
    assert!(write_elf_core(&mut Vec::new(), Architecture::X86_64, &[], beyond).is_err());
}

/// goblin is a second reader that shares no code with this one.
#[test]
fn goblin_sees_the_same_file() {
    for bytes in [proc_vmcore().build(), {
        let mut out = Vec::new();
        let bytes = page(4);
        write_elf_core(
            &mut out,
            Architecture::X86_64,
            &[prstatus(1, 2)],
            [(PhysAddr::new(0x5000), bytes.as_slice())].into_iter(),
        )
        .unwrap();
        out
    }] {
        let dump = open(&bytes).unwrap();
        let elf = goblin::elf::Elf::parse(&bytes).unwrap();
        let loads: Vec<_> =
            elf.program_headers.iter().filter(|header| header.p_type == goblin::elf::program_header::PT_LOAD).collect();
        assert_eq!(loads.len(), dump.segments().len());
        for (load, segment) in loads.iter().zip(dump.segments()) {
            assert_eq!((load.p_paddr, load.p_filesz), (segment.physical.get(), segment.file_size));
            let at = load.p_offset as usize;
            assert_eq!(
                read(&dump, load.p_paddr, load.p_filesz as usize),
                Ok(bytes[at..at + load.p_filesz as usize].to_vec())
            );
        }
        let notes: Vec<_> = elf.iter_note_headers(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(notes.len(), dump.raw_notes().len());
        for (theirs, ours) in notes.iter().zip(dump.raw_notes()) {
            assert_eq!((theirs.name.as_bytes(), theirs.n_type, theirs.desc), (&*ours.name, ours.kind, &*ours.desc));
        }
    }
}

#[test]
fn a_dump_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let dump = open(&proc_vmcore().build()).unwrap();
    shared(&dump);
    assert_eq!(dump.read_physical_u64(PhysAddr::new(0x1000)), Ok(u64::from_le_bytes(page(1)[..8].try_into().unwrap())));
}

#[test]
fn paths_that_are_no_files() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Dump::open(directory.path()), Err(OpenError::Directory { .. })));
    let missing = Dump::open(&directory.path().join("nothing")).unwrap_err();
    assert!(matches!(missing, OpenError::Unreadable { .. }) && missing.hint().is_some());
    assert!(matches!(open(b""), Err(OpenError::Empty { .. })));
    assert!(matches!(open(b"BUG: soft lockup\n"), Err(OpenError::NotADump { .. })));
    assert!(matches!(Dump::open("/dev/null".as_ref()), Err(OpenError::NotSeekable { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), elf in any::<bool>()) {
        if elf {
            let head = ElfBuilder::new().build();
            bytes.splice(..bytes.len().min(64), head[..64].iter().copied());
        }
        exercise(file(&bytes).path());
    }

    #[test]
    fn mutations_of_a_dump_never_panic(
        changes in prop::collection::vec((0..1400usize, prop_oneof![any::<u8>(), Just(0), Just(0xff)]), 1..12),
        cut in prop::option::of(0..20_000usize),
    ) {
        let mut bytes = proc_vmcore().note(&qemu(7)).build();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        exercise(file(&bytes).path());
    }
}
