//! All page frames of a dump, in pieces for threads to look at.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use vmcore_dump::Dump;
use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr, ReadPhysical};

/// Pages that one thread looks at in one go: 16 MiB.
const CHUNK: u64 = 4096;
/// Pages that are read by one call.
const BLOCK: usize = 16;
const PAGE: usize = PAGE_SIZE as usize;

/// How far a search through all memory has come, for who watches.
#[derive(Debug, Default)]
pub struct Sweep {
    looked_at: AtomicU64,
    all: AtomicU64,
}

impl Sweep {
    /// How much of the memory has been looked at, from 0 to 1; `None` while nothing is searched.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let all = self.all.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "numbers of pages, for a percentage")]
        let share = self.looked_at.load(Ordering::Relaxed) as f64 / all.max(1) as f64;
        (all > 0).then_some(share.min(1.0))
    }

    /// Begins to look at `chunks`.
    pub(crate) fn begin(&self, chunks: &[Range<u64>]) {
        self.looked_at.store(0, Ordering::Relaxed);
        self.all.store(pages_in(chunks), Ordering::Relaxed);
    }

    /// These were looked at, and what was read for that is not needed any more.
    pub(crate) fn done(&self, chunks: &[Range<u64>], dump: &Dump) {
        self.looked_at.fetch_add(pages_in(chunks), Ordering::Relaxed);
        dump.give_back();
    }
}

fn pages_in(chunks: &[Range<u64>]) -> u64 {
    chunks.iter().map(|frames| frames.end - frames.start).sum()
}

/// The numbers of the frames that the file has data of, in ascending order, each once, in pieces; `max` of them in all, as
/// headers can promise any amount, of the same bytes.
pub(crate) fn chunks(dump: &Dump, max: u64) -> Vec<Range<u64>> {
    let frames = |range: Range<PhysAddr>| range.start.pfn().get()..range.end.get().div_ceil(PAGE_SIZE);
    let mut segments: Vec<_> = dump.stored_ranges().into_iter().map(frames).collect();
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

/// Calls `visit` with each of the pages that can be read, in their order.
pub(crate) fn each_page(memory: &dyn ReadPhysical, frames: Range<u64>, mut visit: impl FnMut(PhysAddr, &[u8])) {
    let mut block = vec![0; BLOCK * PAGE];
    let mut at = frames.start;
    while at < frames.end {
        let count = (frames.end - at).min(BLOCK as u64);
        let Some(start) = Pfn::new(at).phys_addr() else { return };
        let len = usize::try_from(count * PAGE_SIZE).unwrap_or_default();
        let Some(block) = block.get_mut(..len) else { return };
        let whole = memory.read_physical(start, block).is_ok();
        for (page, start) in block.chunks_mut(PAGE).zip((start.get()..).step_by(PAGE)) {
            let start = PhysAddr::new(start);
            if whole || memory.read_physical(start, page).is_ok() {
                visit(start, page);
            }
        }
        at += count;
    }
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
    let memory = dump.apart();
    let in_chunk = |frames: &Range<u64>| -> (Vec<T>, u64) {
        let (mut found, mut pages) = (Vec::new(), 0);
        each_page(&memory, frames.clone(), |start, page| {
            pages += 1;
            found.extend(visit(start, page));
        });
        (found, pages)
    };
    let (mut found, mut pages) = (Vec::new(), 0);
    dump.pass(|| {
        for batch in chunks(dump, MAX_SCANNED).chunks(BATCH) {
            let parts: Vec<_> = batch.par_iter().map(in_chunk).collect();
            dump.give_back();
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
