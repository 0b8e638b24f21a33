//! The cases that libkdumpfile is tested with, made here by the builders of these tests and called as they are there: each is
//! read right, or refused by its name. LKCD and SADUMP are among the forms of `forms`; page walks are cases of the crate
//! `kernel`.

use vmcore_memory::{PhysAddr, ReadError};

use crate::test_support::{
    ElfBuilder, KdumpBuilder, LoadSpec, assert_bytes, file, flatten, open, prstatus, read, vmcoreinfo,
};
use crate::{Dump, Lookalike, OpenError, PageCount, RawNote};

/// Flags of a page: plain, zlib, LZO, snappy, zstd.
const FLAGS: [u32; 5] = [0, 1, 2, 4, 0x20];
const INFO: &str = "OSRELEASE=3.12.28-4-default\nPAGESIZE=4096\nNUMBER(phys_base)=31457280\n";

/// Bytes that count up to 255, and zeroes.
fn ramp() -> Vec<u8> {
    let mut page: Vec<u8> = (0..=255).collect();
    page.resize(4096, 0);
    page
}

#[track_caller]
fn assert_wrong_machine(bytes: &[u8], named: &str) {
    match open(bytes) {
        Err(OpenError::WrongMachine { machine, .. }) => assert!(machine.to_string().contains(named), "{machine}"),
        other => panic!("{named}: {:?}", other.map(|_| "opened").map_err(|error| error.to_string())),
    }
}

/// Reads the same pages by eight threads.
fn read_by_many(dump: &Dump, pages: u64, page: impl Fn(u64) -> Vec<u8> + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let page = &page;
            scope.spawn(move || {
                for at in (0..pages).map(|at| (at * 7 + thread * 13) % pages) {
                    assert_bytes(read(dump, at * 4096, 4096), page(at));
                }
            });
        }
    });
}

#[test]
fn diskdump_basic_and_flat() {
    for flags in FLAGS {
        let built = KdumpBuilder::new(1).page(0, flags, ramp()).build();
        for bytes in [built.clone(), flatten(&built, 512)] {
            let dump = open(&bytes).unwrap();
            assert_bytes(read(&dump, 0, 4096), ramp());
            assert!(dump.vmcoreinfo().is_none() && dump.incomplete().is_none());
        }
    }
}

#[test]
fn diskdump_basic_vmcoreinfo_and_flat_vmcoreinfo() {
    for version in [3, 6] {
        let built =
            KdumpBuilder { version, vmcoreinfo: INFO.into(), ..KdumpBuilder::new(1).page(0, 0, ramp()) }.build();
        for bytes in [built.clone(), flatten(&built, 1000)] {
            let dump = open(&bytes).unwrap();
            let info = dump.vmcoreinfo().unwrap();
            assert_eq!((info.osrelease(), info.number("phys_base")), (Some("3.12.28-4-default"), Some(31_457_280)));
        }
    }
}

#[test]
fn diskdump_empty_and_of_other_machines() {
    assert!(matches!(open(&KdumpBuilder::new(0).build()), Err(OpenError::NoMemory { .. })));
    let machines = [("i686", "32-bit x86"), ("ppc64", "PowerPC"), ("s390x", "s390"), ("armv7l", "32-bit ARM")];
    for (machine, named) in machines {
        for version in [2, 6] {
            let kdump = KdumpBuilder { machine, version, ..KdumpBuilder::new(1).page(0, 0, ramp()) };
            assert_wrong_machine(&kdump.build(), named);
        }
    }
}

#[test]
fn diskdump_excluded() {
    let kdump = KdumpBuilder::new(3).page(0, 0, vec![0x55; 4096]).exclude(1..2).page(2, 0, vec![0xaa; 4096]);
    let dump = open(&kdump.build()).unwrap();
    assert_eq!(dump.page_count(), PageCount { present: 2, excluded: Some(1) });
    let excluded = |found: Result<Vec<u8>, ReadError>| match found {
        Err(ReadError::Excluded { address, .. }) => address.get(),
        other => panic!("{other:?}"),
    };
    assert_eq!([excluded(read(&dump, 0x1000, 16)), excluded(read(&dump, 0, 0x3000))], [0x1000; 2]);
    assert_bytes(read(&dump, 0xff8, 8), [0x55; 8]);
    assert_bytes(read(&dump, 0x2000, 4096), [0xaa; 4096]);
    assert_eq!(read(&dump, 0x3000, 1), Err(ReadError::NotInDump { address: PhysAddr::new(0x3000) }));
}

#[test]
fn diskdump_and_elf_multiread() {
    let page = |at: u64| vec![at as u8; 4096];
    let kdump = (0..128).fold(KdumpBuilder::new(128), |kdump, at| kdump.page(at, 1, page(at)));
    read_by_many(&open(&kdump.build()).unwrap(), 128, page);
    let elf = ElfBuilder::new().load(0, (0..128).flat_map(page).collect());
    read_by_many(&open(&elf.build()).unwrap(), 128, page);
}

#[test]
fn diskdump_split_flat_and_mixed() {
    let directory = tempfile::tempdir().unwrap();
    let part = |range: std::ops::Range<u64>| {
        let kdump = (1..5).fold(KdumpBuilder::new(6), |kdump, at| kdump.page(at, 1, vec![at as u8; 4096]));
        KdumpBuilder { split: Some(range), ..kdump.exclude(0..1).exclude(5..6) }.build()
    };
    let parts = [part(1..2), part(2..3), part(3..6)];
    for flat in [[false; 3], [true; 3], [false, true, false]] {
        let paths = [0, 1, 2].map(|index| {
            let bytes = if flat[index] { flatten(&parts[index], 700) } else { parts[index].clone() };
            let path = directory.path().join(index.to_string());
            std::fs::write(&path, bytes).unwrap();
            path
        });
        let all = Dump::open_parts(&paths[0], &paths[1..]).unwrap();
        let across = |at: u64, low: u8| assert_bytes(read(&all, at, 8), [[low; 4], [low + 1; 4]].concat());
        across(0x1ffc, 1);
        across(0x2ffc, 2);
        across(0x3ffc, 3);
        // The parts say nothing of frame 0, which no part has.
        let own = [1..2, 2..3, 3..5];
        for (path, own) in paths.iter().zip(own) {
            let alone = Dump::open(path).unwrap();
            for at in 1..5 {
                assert_eq!(read(&alone, at * 4096, 8).is_ok(), own.contains(&at), "{} {at}", path.display());
            }
        }
    }
}

#[test]
fn elf_basic_and_flat() {
    let built = ElfBuilder::new().load(0, ramp()).build();
    for bytes in [built.clone(), flatten(&built, 600)] {
        let dump = open(&bytes).unwrap();
        assert_bytes(read(&dump, 0, 4096), ramp());
        assert_eq!(read(&dump, 0x1000, 1), Err(ReadError::NotInDump { address: PhysAddr::new(0x1000) }));
    }
}

#[test]
fn elf_empty_and_of_other_machines() {
    assert!(matches!(open(&ElfBuilder::new().build()), Err(OpenError::NoMemory { .. })));
    let machines: [(u8, u8, u16, &str); 9] = [
        (1, 1, 3, "32-bit x86"),
        (2, 1, 3, "32-bit x86"),
        (1, 1, 183, "arm64"),
        (2, 2, 183, "arm64"),
        (2, 2, 21, "PowerPC"),
        (2, 1, 21, "PowerPC"),
        (1, 2, 22, "s390"),
        (2, 2, 22, "s390"),
        (2, 1, 243, "RISC-V"),
    ];
    for (class, data, machine, named) in machines {
        let mut bytes = ElfBuilder { class, data, machine, ..ElfBuilder::new() }.load(0, ramp()).build();
        if data == 2 {
            bytes[16..18].reverse();
            bytes[18..20].reverse();
        }
        assert_wrong_machine(&bytes, named);
    }
}

#[test]
fn elf_overlap() {
    let load = |physical, memory_size, byte: u8, len| LoadSpec {
        physical,
        virtual_address: physical,
        bytes: vec![byte; len],
        memory_size: Some(memory_size),
        ..LoadSpec::default()
    };
    let elf = [
        load(0x1000, 0x4000, 0x55, 0x1000),
        load(0x3000, 0x4000, 0, 0),
        load(0xa000, 0x8000, 0x55, 0x2000),
        load(0xc000, 0x4000, 0xaa, 0x2000),
        load(0x1_8000, 0x4000, 0, 0),
        load(0x1_c000, 0x2000, 0xaa, 0x1000),
    ];
    let dump = open(&elf.into_iter().fold(ElfBuilder::new(), ElfBuilder::load_spec).build()).unwrap();
    for frame in 0..32u64 {
        let found = read(&dump, frame * 4096, 4096);
        match frame {
            1 | 10 | 11 => assert_bytes(found, [0x55; 4096]),
            12 | 13 | 28 => assert_bytes(found, [0xaa; 4096]),
            2..=6 | 14..=17 | 24..=27 | 29 => assert!(matches!(found, Err(ReadError::Excluded { .. })), "{frame}"),
            _ => assert!(matches!(found, Err(ReadError::NotInDump { .. })), "{frame}"),
        }
    }
    assert_eq!(dump.page_count(), PageCount { present: 6, excluded: Some(14) });
}

/// A page that is there twice, the first time only its first part.
#[test]
fn elf_fractional() {
    let mut whole = vec![0; 4088];
    whole.extend(b"a magic!");
    let first = LoadSpec { physical: 0x1000, virtual_address: 0x10_1000, bytes: vec![0; 0x600], ..LoadSpec::default() };
    let second = LoadSpec { physical: 0x1000, virtual_address: 0x20_1000, bytes: whole, ..LoadSpec::default() };
    let dump = open(&ElfBuilder::new().load_spec(first).load_spec(second).build()).unwrap();
    assert_bytes(read(&dump, 0x1ff8, 8), b"a magic!");
}

/// Parts of a page. What is not there is no memory of zeroes here.
#[test]
fn elf_partial() {
    let first = LoadSpec { physical: 0x200, bytes: vec![0x55; 0x200], memory_size: Some(0x400), ..LoadSpec::default() };
    let second = LoadSpec { physical: 0x800, memory_size: Some(0x400), ..LoadSpec::default() };
    let third = LoadSpec { physical: 0xc00, bytes: vec![0xaa; 0x200], ..LoadSpec::default() };
    let loads = [first, second, third];
    let dump = open(&loads.into_iter().fold(ElfBuilder::new(), ElfBuilder::load_spec).build()).unwrap();
    assert_bytes(read(&dump, 0x200, 0x200), [0x55; 0x200]);
    assert_bytes(read(&dump, 0xc00, 0x200), [0xaa; 0x200]);
    let missing = |address| match read(&dump, address, 1) {
        Err(ReadError::Excluded { .. }) => "left out",
        Err(ReadError::NotInDump { .. }) => "not there",
        other => panic!("{other:?}"),
    };
    let found = [0x1ff, 0x400, 0x5ff, 0x600, 0x7ff, 0x800, 0xbff, 0xe00].map(missing);
    let expected = ["not there", "left out", "left out", "not there", "not there", "left out", "left out", "not there"];
    assert_eq!(found, expected);
    let across = read(&dump, 0x3fc, 8);
    assert!(matches!(across, Err(ReadError::Excluded { address, .. }) if address.get() == 0x400), "{across:?}");
}

#[test]
fn elf_virt_phys_clash() {
    let bytes = [[0x55; 0x100], [0xaa; 0x100]].concat();
    let load = LoadSpec { physical: 0x200, virtual_address: 0x100, bytes, ..LoadSpec::default() };
    let dump = open(&ElfBuilder::new().load_spec(load).build()).unwrap();
    assert_bytes(read(&dump, 0x200, 16), [0x55; 16]);
    assert!(read(&dump, 0x100, 16).is_err());
}

#[test]
fn elf_vmcoreinfo_eraseinfo_and_prstatus() {
    let erased = RawNote { name: b"ERASEINFO".to_vec(), kind: 0, desc: b"erase modules size 16\n".to_vec() };
    let load =
        LoadSpec { physical: 0x300_0000, bytes: b"ABCDEFGH".to_vec(), memory_size: Some(4096), ..LoadSpec::default() };
    let elf = ElfBuilder::new().note(&vmcoreinfo(INFO)).note(&erased).note(&prstatus(0x6469_705f, 0x100));
    let dump = open(&elf.load_spec(load).build()).unwrap();
    assert_eq!(dump.vmcoreinfo().unwrap().number("phys_base"), Some(31_457_280));
    assert!(dump.raw_notes().contains(&erased));
    assert!(matches!(dump.warnings(), [one] if one.contains("one kind of data was erased")), "{:?}", dump.warnings());
    assert_bytes(read(&dump, 0x300_0000, 8), b"ABCDEFGH");
    assert!(matches!(read(&dump, 0x300_0008, 1), Err(ReadError::Excluded { .. })));
    let [cpu] = dump.prstatus() else { panic!("{:?}", dump.prstatus()) };
    let registers = cpu.registers.x86_64().unwrap();
    assert_eq!((cpu.pid, registers.r15, registers.r10, registers.orig_rax), (0x6469_705f, 0x100, 0x107, 0x10f));
    assert_eq!((registers.rip, registers.cs, registers.rsp, registers.ss), (0x110, 0x111, 0x113, 0x114));
    assert_eq!((cpu.fs_base, cpu.gs_base), (0x115, 0x116));
}

/// `early-version-code`: a note, and a segment of no bytes.
#[test]
fn elf_with_vmcoreinfo_alone() {
    let elf = ElfBuilder::new().note(&vmcoreinfo("OSRELEASE=3.12.28-4-default\n")).load(0, Vec::new());
    assert!(matches!(open(&elf.build()), Err(OpenError::NoMemory { .. })));
}

/// `elf-dom0-no-phys_base`: addresses are those of the machine, which its first guest does not have in its page tables.
#[test]
fn elf_dom0() {
    let crash = RawNote { name: b"Xen".to_vec(), kind: 0x100_0001, desc: vec![0; 0x50] };
    let info = RawNote { name: b"VMCOREINFO_XEN".to_vec(), kind: 0, desc: b"PAGESIZE=4096\n".to_vec() };
    for note in [crash, info] {
        let elf = ElfBuilder::new().note(&vmcoreinfo(INFO)).note(&note).load(0x1000, ramp());
        let kdump = KdumpBuilder::new(2).note(&note).page(1, 0, ramp());
        for bytes in [elf.build(), kdump.build()] {
            let error = Dump::open(file(&bytes).path()).unwrap_err();
            assert!(matches!(error, OpenError::NotADump { looks_like: Lookalike::XenHost, .. }), "{error}");
        }
    }
}
