//! Writes a dump again as `makedumpfile --split` would: kdump-compressed, pages stored as they are.

use std::path::{Path, PathBuf};

use vmcore_dump::{Compression, Dump, NewKdump};
use vmcore_memory::{PAGE_SIZE, Pfn, read_page};

/// Writes the parts of the dump at `path` into `directory`, each with about as many pages as the others.
pub(crate) fn split(path: &Path, count: usize, directory: &Path) -> Vec<PathBuf> {
    let dump = Dump::open(path).unwrap();
    let pages = pages(&dump);
    let end = Pfn::new(pages.last().unwrap().0.get() + 1);
    let mut cuts: Vec<_> = pages.chunks(pages.len().div_ceil(count)).map(|part| part.first().unwrap().0).collect();
    *cuts.first_mut().unwrap() = Pfn::new(0);
    cuts.push(end);
    let new = NewKdump {
        architecture: dump.architecture(),
        notes: dump.raw_notes(),
        pages: pages.iter().map(|(pfn, page)| (*pfn, page.as_slice())),
        compression: Compression::None,
    };
    let write = |(index, range): (usize, &[Pfn])| {
        let path = directory.join(format!("part{index}"));
        new.write_part(range[0]..range[1], &mut std::fs::File::create(&path).unwrap()).unwrap();
        path
    };
    cuts.windows(2).enumerate().map(write).collect()
}

/// Number and contents of all pages in the dump.
fn pages(dump: &Dump) -> Vec<(Pfn, Vec<u8>)> {
    let mut frames: Vec<u64> = Vec::new();
    for segment in dump.segments() {
        let first = segment.physical.pfn().get();
        frames.extend(first..first + segment.file_size / PAGE_SIZE);
    }
    frames.sort_unstable();
    frames.into_iter().map(|frame| (Pfn::new(frame), read_page(dump, Pfn::new(frame)).unwrap())).collect()
}
