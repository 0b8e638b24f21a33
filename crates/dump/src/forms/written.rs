//! The forms that dump writers write.

use std::os::unix::fs::FileExt;

use vmcore_memory::{Architecture, PAGE_SIZE, Pfn, PhysAddr};

use super::{ALL, Keeps, MEMORY, Machine, Shelf};
use crate::test_support::{ElfBuilder, KdumpBuilder, LoadSpec, flatten};
use crate::{Compression, NewKdump, lime, write_elf_core};

/// Frames of the machine: 1 GiB.
const FRAMES: u64 = 1 << 18;
/// Where the kernel maps all memory.
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

pub(super) fn add(machine: &Machine, shelf: &mut Shelf) {
    add_elf(machine, shelf);
    add_kdump(machine, shelf);
    add_split(machine, shelf);
    add_images(machine, shelf);
}

fn add_elf(machine: &Machine, shelf: &mut Shelf) {
    shelf.add("ELF core", "`cp /proc/vmcore`, `makedumpfile -E`", ALL, std::slice::from_ref(&machine.elf));
    shelf.add("ELF core by virtual address", "QEMU with `paging`", ALL, &[paging(machine).build()]);
    let mut filtered = core(machine);
    filtered.loads.push(LoadSpec { physical: FRAMES * PAGE_SIZE, memory_size: Some(1 << 20), ..LoadSpec::default() });
    shelf.add("ELF core with pages left out", "`makedumpfile -E -d 31`", ALL, &[filtered.build()]);
    let mut small = Vec::new();
    write_elf_core(&mut small, Architecture::X86_64, &machine.notes, ranges(machine)).unwrap();
    shelf.add("ELF core, small", "`vmcore-thp distill`", ALL, &[small]);
    shelf.add("flattened ELF core", "`makedumpfile -E -F`", ALL, &[flatten(&machine.elf, 10_000)]);
}

fn ranges(machine: &Machine) -> impl Iterator<Item = (PhysAddr, &[u8])> + Clone {
    machine.pages.iter().map(|(frame, page)| (PhysAddr::new(frame * PAGE_SIZE), page.as_slice()))
}

/// A core with a header for each page.
fn core(machine: &Machine) -> ElfBuilder {
    let notes = machine.notes.iter().fold(ElfBuilder::new(), ElfBuilder::note);
    ranges(machine).fold(notes, |core, (start, page)| core.load(start.get(), page.to_vec()))
}

/// A core that names every page by its place in the direct map, and some by a second virtual address.
fn paging(machine: &Machine) -> ElfBuilder {
    let mut core = core(machine);
    core.loads.iter_mut().for_each(|load| load.virtual_address = DIRECT_MAP + load.physical);
    // Headers change where memory begins: half of the pages a second time.
    let twice = machine.pages.len() / 2;
    let headers = 56 * twice as u64;
    let first = core.memory_offset() + headers;
    for index in 0..twice {
        let offset = first + index as u64 * PAGE_SIZE;
        let physical = core.loads[index].physical;
        core.loads.push(LoadSpec {
            physical,
            virtual_address: 0xffff_ffff_8100_0000 + physical,
            offset: Some(offset),
            file_size: Some(PAGE_SIZE),
            ..LoadSpec::default()
        });
    }
    core
}

fn kdump(machine: &Machine, compression: Compression) -> KdumpBuilder {
    let kdump = machine.notes.iter().fold(KdumpBuilder::new(FRAMES), KdumpBuilder::note);
    let pages = machine.pages.iter();
    pages.fold(kdump, |kdump, (frame, page)| kdump.page(*frame, compression.flag(), page.clone()))
}

fn add_kdump(machine: &Machine, shelf: &mut Shelf) {
    const PACKED: [(&str, &str, Compression); 5] = [
        ("kdump-compressed, plain pages", "`makedumpfile`", Compression::None),
        ("kdump-compressed, zlib", "`makedumpfile -c`", Compression::Zlib),
        ("kdump-compressed, LZO", "`makedumpfile -l`", Compression::Lzo),
        ("kdump-compressed, snappy", "`makedumpfile -p`", Compression::Snappy),
        ("kdump-compressed, zstd", "`makedumpfile -z`", Compression::Zstd),
    ];
    for (name, writer, compression) in PACKED {
        shelf.add(name, writer, ALL, &[kdump(machine, compression).build()]);
    }
    let whole = kdump(machine, Compression::Zlib);
    let built = whole.build();
    shelf.add("flattened kdump-compressed", "`makedumpfile -F`, QEMU's `kdump-zlib`", ALL, &[flatten(&built, 9_999)]);
    let qemu = KdumpBuilder { system: "", ..whole.clone() };
    shelf.add("kdump-compressed, names empty", "QEMU's `kdump-raw-zlib`", ALL, &[qemu.build()]);
    let shifted = KdumpBuilder { system: "x", machine: "64", ..whole.clone() };
    shelf.add(
        "kdump-compressed, names shifted",
        "makedumpfile before 1.6.9, kernel since 5.11",
        ALL,
        &[shifted.build()],
    );
    const VERSIONS: [(u32, &str, Keeps); 6] = [
        (1, "kdump-compressed, version 1", MEMORY),
        (2, "kdump-compressed, version 2", MEMORY),
        (3, "kdump-compressed, version 3", MEMORY),
        (4, "kdump-compressed, version 4", ALL),
        (5, "kdump-compressed, version 5", ALL),
        (7, "kdump-compressed, version 7 (not defined yet)", ALL),
    ];
    for (version, name, keeps) in VERSIONS {
        let writer = if version == 7 { "" } else { "older makedumpfile" };
        let mut bytes = built.clone();
        bytes[8..12].copy_from_slice(&u32::to_le_bytes(version));
        shelf.add(name, writer, keeps, &[bytes]);
    }
}

fn add_split(machine: &Machine, shelf: &mut Shelf) {
    let frames: Vec<u64> = machine.pages.keys().copied().collect();
    let cut = |part: usize| frames[frames.len() * part / 3];
    let parts: Vec<Vec<u8>> = [0..cut(1), cut(1)..cut(2), cut(2)..FRAMES]
        .into_iter()
        .map(|range| KdumpBuilder { split: Some(range), ..kdump(machine, Compression::Lzo) }.build())
        .collect();
    let [first, second, third] = <[Vec<u8>; 3]>::try_from(parts).unwrap();
    let flat = flatten(&second, 5_000);
    shelf.add("split, three files", "`makedumpfile --split`", ALL, &[second.clone(), third.clone(), first.clone()]);
    shelf.add("split, one file flattened", "`makedumpfile --split -F`", ALL, &[first, flat, third]);
    let pages = machine.pages.iter().map(|(frame, page)| (Pfn::new(*frame), page.as_slice()));
    let new =
        NewKdump { architecture: Architecture::X86_64, notes: &machine.notes, pages, compression: Compression::Zlib };
    let mut out = Vec::new();
    new.write(&mut out).unwrap();
    shelf.add("kdump-compressed, zlib", "`vmcore-thp synth`", ALL, &[out]);
}

fn add_images(machine: &Machine, shelf: &mut Shelf) {
    let lime_ranges =
        ranges(machine).flat_map(|(start, page)| [lime::header(start.get(), start.get() + 4095), page.to_vec()]);
    shelf.add("LiME", "LiME, AVML without compression", MEMORY, &[lime_ranges.collect::<Vec<_>>().concat()]);
    shelf.add("AVML", "`avml --compress`", MEMORY, &[avml(machine)]);
    let keeps = Keeps { pages: false, notes: false };
    let writers = "`pmemsave`, VMware's `.vmem`, memory files of QEMU, Firecracker and Cloud Hypervisor";
    shelf.add("raw memory", writers, keeps, &[Vec::new()]);
    let path = &shelf.forms.last().unwrap().files[0];
    let raw = std::fs::File::options().write(true).open(path).unwrap();
    raw.set_len(FRAMES * PAGE_SIZE).unwrap();
    ranges(machine).for_each(|(start, page)| raw.write_all_at(page, start.get()).unwrap());
    // What the firmware leaves: no machine's first memory is all zeroes.
    raw.write_all_at(b"real mode", 0x400).unwrap();
}

fn avml(machine: &Machine) -> Vec<u8> {
    use std::io::Write;
    let range = |(start, page): (PhysAddr, &[u8])| {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(page).unwrap();
        let packed = encoder.into_inner().unwrap();
        let len = packed.len() as u64;
        let last = start.get() + 4095;
        let head = [&b"AVML\x02\0\0\0"[..], &start.get().to_le_bytes(), &last.to_le_bytes(), &[0; 8]].concat();
        [head, packed, len.to_le_bytes().to_vec()].concat()
    };
    ranges(machine).flat_map(range).collect()
}
