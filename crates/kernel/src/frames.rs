//! All page frames of a dump, in pieces for threads to look at.

use std::ops::Range;

use vmcore_dump::Dump;
use vmcore_memory::{PAGE_SIZE, PhysAddr};

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
