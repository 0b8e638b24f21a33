//! Writes a dump again as `makedumpfile --split` would: kdump-compressed, version 6, pages stored as they are.
//!
//! Every part has the headers, the notes and both bitmaps of the whole dump, and the descriptors and pages of its own
//! frames. `crates/dump/src/kdump.rs` has the layout.

use std::ops::Range;
use std::path::{Path, PathBuf};

use vmcore_dump::{Dump, RawNote};
use vmcore_memory::{Pfn, read_page};

const BLOCK: usize = 4096;
const DESCRIPTOR: usize = 24;

/// Writes the parts of the dump at `path` into `directory`, each with about as many pages as the others.
pub(crate) fn split(path: &Path, count: usize, directory: &Path) -> Vec<PathBuf> {
    let dump = Dump::open(path).unwrap();
    let pages = pages(&dump);
    let end = pages.last().unwrap().0 + 1;
    let mut cuts: Vec<u64> = pages.chunks(pages.len().div_ceil(count)).map(|part| part.first().unwrap().0).collect();
    *cuts.first_mut().unwrap() = 0;
    cuts.push(end);
    let write = |(index, range): (usize, &[u64])| {
        let path = directory.join(format!("part{index}"));
        std::fs::write(&path, part(dump.raw_notes(), &pages, end, range[0]..range[1])).unwrap();
        path
    };
    cuts.windows(2).enumerate().map(write).collect()
}

/// Number and contents of all pages in the dump.
fn pages(dump: &Dump) -> Vec<(u64, Vec<u8>)> {
    let mut frames: Vec<u64> = Vec::new();
    for segment in dump.segments() {
        let first = segment.physical.pfn().get();
        frames.extend(first..first + segment.file_size / BLOCK as u64);
    }
    frames.sort_unstable();
    frames.into_iter().map(|frame| (frame, read_page(dump, Pfn::new(frame)).unwrap())).collect()
}

fn part(notes: &[RawNote], pages: &[(u64, Vec<u8>)], end: u64, frames: Range<u64>) -> Vec<u8> {
    let notes = encode(notes);
    let sub_blocks = (104 + notes.len()).div_ceil(BLOCK);
    let bitmap_len = usize::try_from(end).unwrap().div_ceil(8).next_multiple_of(BLOCK);
    let bitmap_at = (1 + sub_blocks) * BLOCK;
    let mut out = vec![0; bitmap_at + 2 * bitmap_len];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDUMP   ");
    put(8, &6u32.to_le_bytes());
    put(12, b"Linux");
    put(272, b"x86_64");
    for (at, value) in [(428, BLOCK), (432, sub_blocks), (436, 2 * bitmap_len / BLOCK)] {
        put(at, &u32::try_from(value).unwrap().to_le_bytes());
    }
    put(BLOCK + 12, &1u32.to_le_bytes());
    let words = [(48, BLOCK as u64 + 104), (56, notes.len() as u64), (80, frames.start), (88, frames.end), (96, end)];
    for (at, value) in words {
        put(BLOCK + at, &value.to_le_bytes());
    }
    put(BLOCK + 104, &notes);
    for bitmap in [bitmap_at, bitmap_at + bitmap_len] {
        for &(frame, _) in pages {
            out[bitmap + usize::try_from(frame / 8).unwrap()] |= 1 << (frame % 8);
        }
    }
    let own: Vec<_> = pages.iter().filter(|(frame, _)| frames.contains(frame)).collect();
    let data_at = out.len() + own.len() * DESCRIPTOR;
    for index in 0..own.len() {
        out.extend(((data_at + index * BLOCK) as u64).to_le_bytes());
        out.extend((BLOCK as u32).to_le_bytes());
        out.extend([0; 12]);
    }
    out.extend(own.iter().flat_map(|(_, bytes)| bytes));
    out
}

/// ELF notes.
fn encode(notes: &[RawNote]) -> Vec<u8> {
    let mut out = Vec::new();
    for note in notes {
        let name = [note.name.as_slice(), b"\0"].concat();
        for field in [name.len() as u32, note.desc.len() as u32, note.kind] {
            out.extend(field.to_le_bytes());
        }
        for bytes in [&name, &note.desc] {
            out.extend(bytes);
            out.resize(out.len().next_multiple_of(4), 0);
        }
    }
    out
}
