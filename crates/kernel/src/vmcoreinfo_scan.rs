//! VMCOREINFO found in memory, for dumps whose writer did not copy it into a note.
//!
//! The kernel keeps the text in a page of its own, which nothing but the page-aligned text itself leads to:
//! `vmcoreinfo_data` in `kernel/vmcore_info.c` (4.14, 203e9e41219b; before, it was a static array). It begins with
//! `OSRELEASE=`, as `crash_save_vmcoreinfo_init` writes that first.

use std::ops::Range;

use rayon::prelude::*;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Pfn, PhysAddr, ReadPhysical, read_page};

use crate::address_space::IMAGE_BASE;
use crate::frames;

/// What the text begins with.
const START: &[u8] = b"OSRELEASE=";
/// `sizeof(new_utsname.release)`; before it are `sysname` and `nodename`, as long.
const UTS_LEN: usize = 65;
const RELEASE_AT: u64 = 2 * UTS_LEN as u64;
/// Pages looked at in all: 256 GiB.
const MAX_PAGES: u64 = 1 << 26;
/// Texts that are compared with each other; a machine has one for each kernel in memory, and some copies.
const MAX_FOUND: usize = 256;

/// A VMCOREINFO that was found in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVmcoreinfo {
    /// Where it begins.
    pub address: PhysAddr,
    /// The page: the text, and zeroes after it.
    pub text: Vec<u8>,
}

/// Looks at the start of every page in the dump, in parallel, for the VMCOREINFO of the kernel that is meant: of the
/// build `build_id` where that is known, of a kernel that is in memory, of one that crashed (`CRASHTIME` was added to it
/// when it did), and last at the lowest address.
///
/// It can be that of another kernel, such as one that booted this one by kexec: the build-id in it tells.
#[must_use]
pub fn find_vmcoreinfo(dump: &Dump, build_id: Option<&[u8]>) -> Option<FoundVmcoreinfo> {
    let chunks = frames::chunks(dump, MAX_PAGES);
    let in_chunk =
        |frames: &Range<u64>| frames.clone().map(Pfn::new).filter(|&frame| vmcoreinfo_at(dump, frame).is_some());
    let frames: Vec<Pfn> = dump.pass(|| chunks.par_iter().flat_map_iter(in_chunk).collect());
    let found: Vec<FoundVmcoreinfo> =
        frames.iter().take(MAX_FOUND).filter_map(|&frame| vmcoreinfo_at(dump, frame)).collect();
    let rank = |found: &FoundVmcoreinfo| {
        let info = Vmcoreinfo::parse(&found.text);
        let wanted = build_id.is_some_and(|wanted| info.build_id().as_deref() == Some(wanted));
        (wanted, is_of_this_memory(dump, &info), info.crash_time().is_some())
    };
    let best = found.iter().map(rank).max()?;
    found.into_iter().find(|found| rank(found) == best)
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

/// Whether the kernel's own name is where the text says that it is. Of a kernel that is gone, other things are there.
fn is_of_this_memory(dump: &Dump, info: &Vmcoreinfo) -> bool {
    let name = || {
        let names = info.symbol("init_uts_ns")?.wrapping_add(info.offset("uts_namespace.name")?);
        let base = info.number("phys_base")?.cast_unsigned();
        Some(names.get().wrapping_sub(IMAGE_BASE).wrapping_add(base).wrapping_add(RELEASE_AT))
    };
    let (Some(at), Some(release)) = (name(), info.osrelease()) else { return false };
    let mut found = [0; UTS_LEN];
    let text = release.as_bytes();
    dump.read_physical(PhysAddr::new(at), &mut found).is_ok()
        && found.starts_with(text)
        && found.get(text.len()) == Some(&0)
}

#[cfg(test)]
mod tests;
