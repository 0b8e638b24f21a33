//! VMCOREINFO found in memory, for dumps whose writer did not copy it into a note.
//!
//! The kernel keeps the text in a page of its own, which nothing but the page-aligned text itself leads to:
//! `vmcoreinfo_data` in `kernel/vmcore_info.c` (4.14, 203e9e41219b; before, it was a static array). It begins with
//! `OSRELEASE=`, as `crash_save_vmcoreinfo_init` writes that first.

use std::ops::Range;

use rayon::prelude::*;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr, ReadPhysical, read_page};

/// What the text begins with.
const START: &[u8] = b"OSRELEASE=";
/// Pages that one thread looks at in one go: 16 MiB.
const CHUNK: u64 = 4096;
/// Pages looked at in all: 256 GiB. Headers can promise any amount, of the same bytes.
const MAX_PAGES: u64 = 1 << 26;

/// A VMCOREINFO that was found in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVmcoreinfo {
    /// Where it begins.
    pub address: PhysAddr,
    /// The page: the text, and zeroes after it.
    pub text: Vec<u8>,
}

/// Looks at the start of every page in the dump, in parallel, for a VMCOREINFO; the one at the lowest address counts.
///
/// It can be that of another kernel, such as one that booted this one by kexec: the build-id in it tells.
#[must_use]
pub fn find_vmcoreinfo(dump: &Dump) -> Option<FoundVmcoreinfo> {
    chunks(dump)
        .par_iter()
        .find_map_first(|frames| frames.clone().find_map(|frame| vmcoreinfo_at(dump, Pfn::new(frame))))
}

/// The frames of all segments in ascending order, each once, in pieces.
fn chunks(dump: &Dump) -> Vec<Range<u64>> {
    let frames = |start: PhysAddr, size: u64| start.pfn().get()..start.get().saturating_add(size).div_ceil(PAGE_SIZE);
    let mut segments: Vec<_> =
        dump.segments().iter().map(|segment| frames(segment.physical, segment.file_size)).collect();
    segments.sort_unstable_by_key(|range| (range.start, range.end));
    let (mut chunks, mut next, mut left) = (Vec::new(), 0, MAX_PAGES);
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

fn vmcoreinfo_at(dump: &Dump, frame: Pfn) -> Option<FoundVmcoreinfo> {
    let address = frame.phys_addr()?;
    let mut start = [0; START.len()];
    dump.read_physical(address, &mut start).ok()?;
    if start != START {
        return None;
    }
    let text = read_page(dump, frame)?;
    Vmcoreinfo::parse(&text).is_plausible().then_some(FoundVmcoreinfo { address, text })
}

#[cfg(test)]
mod tests;
