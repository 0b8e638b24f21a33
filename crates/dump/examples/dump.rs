//! Looks at dumps through this crate alone: what is in one, whether two hold the same memory, how fast one reads.
//!
//! ```text
//! cargo run --release -p vmcore-dump --example dump -- info VMCORE...
//! cargo run --release -p vmcore-dump --example dump -- compare VMCORE VMCORE
//! cargo run --release -p vmcore-dump --example dump -- speed VMCORE
//! cargo run --release -p vmcore-dump --example dump -- pages MOST VMCORE...
//! ```
//!
//! The parts of a split dump are given as one argument, joined by commas.
//! `pages` prints the frame number and CRC-32 of each page that can be read whole, of `MOST` pages at most, or that a file is refused.
//! `compare` checks a dump that was written anew in another format: every page that both have must be the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use vmcore_dump::{Dump, OpenError};
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadError, ReadPhysical};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["info", files @ ..] if !files.is_empty() => files.iter().try_for_each(|file| info(file)).map(|()| true),
        ["compare", left, right] => compare(left, right),
        ["speed", file] => speed(file).map(|()| true),
        ["pages", most, files @ ..] => {
            let most = most.parse().unwrap_or(usize::MAX);
            files.iter().for_each(|file| pages(file, most));
            Ok(true)
        }
        _ => {
            eprintln!("usage: dump info VMCORE... | compare VMCORE VMCORE | speed VMCORE | pages MOST VMCORE...");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(2)
        }
    }
}

/// A dump by name; the parts of a split dump are joined by commas.
fn open(file: &str) -> Result<Dump, OpenError> {
    let (first, others) = file.split_once(',').unwrap_or((file, ""));
    let others: Vec<_> = others.split(',').filter(|other| !other.is_empty()).map(PathBuf::from).collect();
    Dump::open_parts(Path::new(first), &others)
}

fn info(file: &str) -> Result<(), OpenError> {
    let start = Instant::now();
    let dump = open(file)?;
    println!("{file}: {} by {}, opened in {:?}", dump.format(), dump.source(), start.elapsed());
    let pages = dump.page_count();
    println!("  pages: {}, excluded: {:?}, segments: {}", pages.present, pages.excluded, dump.segments().len());
    for segment in dump.segments().iter().take(20) {
        let mapped = segment.virtual_address.map(|address| format!(" at {address}")).unwrap_or_default();
        println!(
            "  {}: {:#x} bytes, {:#x} in the file{mapped}",
            segment.physical, segment.memory_size, segment.file_size
        );
    }
    for note in dump.prstatus() {
        println!("  NT_PRSTATUS pid {} pc {:#x}", note.pid, note.registers.pc());
    }
    for cpu in dump.qemu_cpus() {
        let (cr2, cr3, idt) = (cpu.cr2, cpu.cr3, cpu.idt.base);
        println!("  QEMU rip {:#x} cr2 {cr2} cr3 {cr3} idt {idt} gs {}", cpu.registers.rip, cpu.gs_base);
    }
    if let Some(info) = dump.vmcoreinfo() {
        println!("  {:?} offset {:?} phys_base {:?}", info.osrelease(), info.kerneloffset(), info.number("phys_base"));
    }
    for line in dump.incomplete().iter().map(ToString::to_string).chain(dump.warnings().iter().cloned()) {
        println!("  warning: {line}");
    }
    Ok(())
}

fn pages(file: &str, most: usize) {
    let Ok(dump) = open(file) else { return println!("refused {file}") };
    println!("dump {file}");
    let ranges = dump.stored_ranges();
    let frames = ranges.iter().flat_map(|range| range.start.get() / PAGE_SIZE..range.end.get().div_ceil(PAGE_SIZE));
    let mut page = [0; PAGE_SIZE as usize];
    for frame in frames.take(most) {
        if dump.read_physical(PhysAddr::new(frame * PAGE_SIZE), &mut page).is_ok() {
            let mut checksum = flate2::Crc::new();
            checksum.update(&page);
            println!("{frame:x} {:x}", checksum.sum());
        }
    }
}

/// What a read gives, as far as two formats can agree on it.
fn outcome(result: &Result<(), ReadError>) -> &'static str {
    match result {
        Ok(()) => "present",
        Err(ReadError::NotInDump { .. }) => "not in dump",
        Err(ReadError::Excluded { .. }) => "excluded",
        Err(ReadError::Truncated { .. }) => "truncated",
        Err(_) => "damaged",
    }
}

fn compare(left: &str, right: &str) -> Result<bool, OpenError> {
    let (left, right) = (open(left)?, open(right)?);
    let mut counts = BTreeMap::new();
    let (mut different, mut first_difference) = (0u64, None);
    let (mut left_page, mut right_page) = ([0; PAGE_SIZE as usize], [0; PAGE_SIZE as usize]);
    let segments = left.segments().iter().chain(right.segments());
    let end = segments.map(|segment| segment.physical.get().saturating_add(segment.memory_size)).max().unwrap_or(0);
    for page in 0..end.div_ceil(PAGE_SIZE) {
        let address = PhysAddr::new(page * PAGE_SIZE);
        let in_left = left.read_physical(address, &mut left_page);
        let in_right = right.read_physical(address, &mut right_page);
        *counts.entry((outcome(&in_left), outcome(&in_right))).or_insert(0u64) += 1;
        if in_left.is_ok() && in_right.is_ok() && left_page != right_page {
            different += 1;
            first_difference.get_or_insert(address);
        }
    }
    for ((in_left, in_right), count) in counts {
        println!("{count:9} pages: {in_left} in the first, {in_right} in the second");
    }
    match first_difference {
        Some(address) => println!("{different:9} pages differ, the first at {address}"),
        None => println!("no page differs"),
    }
    Ok(different == 0)
}

fn speed(file: &str) -> Result<(), OpenError> {
    let start = Instant::now();
    let dump = open(file)?;
    println!("open: {:?}", start.elapsed());
    let ranges: Vec<_> = dump.segments().iter().map(|segment| (segment.physical.get(), segment.file_size)).collect();
    let total: u64 = ranges.iter().map(|(_, size)| size / PAGE_SIZE).sum();
    let pages = || ranges.iter().flat_map(|&(at, size)| (0..size / PAGE_SIZE).map(move |page| at + page * PAGE_SIZE));
    let measure = |what: &str, count: u64, run: &dyn Fn() -> u64| {
        let start = Instant::now();
        let sum = run();
        let elapsed = start.elapsed();
        let each = elapsed.as_nanos() as f64 / count.max(1) as f64;
        println!("{what}: {count} reads in {elapsed:?}, {each:.1} ns each (sum {sum:x})");
    };
    let word = |address| dump.read_physical_u64(PhysAddr::new(address)).unwrap_or_default();
    measure("one word of each page", total, &|| pages().map(word).fold(0, u64::wrapping_add));
    measure("one word of each page, again", total, &|| pages().map(word).fold(0, u64::wrapping_add));
    let mut page = [0; PAGE_SIZE as usize];
    let start = Instant::now();
    let readable = pages().filter(|&at| dump.read_physical(PhysAddr::new(at), &mut page).is_ok()).count();
    println!("whole pages: {readable} in {:?}", start.elapsed());
    let list: Vec<u64> = pages().collect();
    let count = 4_000_000u64;
    measure("one word of a random page", count, &|| {
        let (mut state, mut sum) = (1u64, 0u64);
        for _ in 0..count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = ((u128::from(state) * list.len() as u128) >> 64) as usize;
            sum = sum.wrapping_add(list.get(index).copied().map(word).unwrap_or_default());
        }
        sum
    });
    Ok(())
}
