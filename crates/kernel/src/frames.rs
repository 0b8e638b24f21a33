//! All page frames of a dump, in pieces for threads to look at.

use std::ops::Range;

use rayon::prelude::*;
use vmcore_dump::Dump;
use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr, read_page};

/// Pages that one thread looks at in one go: 16 MiB.
const CHUNK: u64 = 4096;

/// The numbers of the frames in all segments in ascending order, each once, in pieces; `max` of them in all, as headers
/// can promise any amount, of the same bytes.
pub(crate) fn chunks(dump: &Dump, max: u64) -> Vec<Range<u64>> {
    let frames = |start: PhysAddr, size: u64| start.pfn().get()..start.get().saturating_add(size).div_ceil(PAGE_SIZE);
    let mut segments: Vec<_> =
        dump.segments().iter().map(|segment| frames(segment.physical, segment.file_size)).collect();
    segments.sort_unstable_by_key(|range| (range.start, range.end));
    let (mut chunks, mut next, mut left) = (Vec::new(), 0, max);
    for Range { start, end } in segments {
        let mut at = start.max(next);
        let end = end.min(at.saturating_add(left));
        while at < end {
            let stop = at.saturating_add(CHUNK).min(end);
            chunks.push(at..stop);
            left -= stop - at;
            at = stop;
        }
        next = next.max(end);
    }
    chunks
}

/// Pages that are looked at in one scan: 1 TiB.
const MAX_SCANNED: u64 = 1 << 28;
/// Chunks between two looks at whether there is enough: whatever the number of threads, the same pages are visited.
const BATCH: usize = 64;

/// Visits the pages of the dump until `visit` has found more than `limit`; what it found, by physical address, and the
/// number of pages.
pub(crate) fn scan<T: Send>(
    dump: &Dump,
    limit: usize,
    visit: impl Fn(PhysAddr, &[u8]) -> Vec<T> + Sync,
) -> (Vec<T>, u64) {
    let in_chunk = |frames: &Range<u64>| -> (Vec<T>, u64) {
        let (mut found, mut pages) = (Vec::new(), 0);
        for frame in frames.clone().map(Pfn::new) {
            let Some((page, start)) = read_page(dump, frame).zip(frame.phys_addr()) else { continue };
            pages += 1;
            found.extend(visit(start, &page));
        }
        (found, pages)
    };
    let (mut found, mut pages) = (Vec::new(), 0);
    dump.pass(|| {
        for batch in chunks(dump, MAX_SCANNED).chunks(BATCH) {
            let parts: Vec<_> = batch.par_iter().map(in_chunk).collect();
            for (part, count) in parts {
                found.extend(part);
                pages += count;
            }
            if found.len() > limit {
                break;
            }
        }
    });
    (found, pages)
}
