//! VMCOREINFO found in memory, for dumps whose writer did not copy it into a note.
//!
//! The kernel keeps the text in a page of its own, which nothing but the page-aligned text itself leads to:
//! `vmcoreinfo_data` in `kernel/vmcore_info.c` (4.14, 203e9e41219b; before, it was a static array). It begins with
//! `OSRELEASE=`, as `crash_save_vmcoreinfo_init` writes that first.

mod memory_base;

use std::ops::Range;

pub use self::memory_base::fit_memory_base;

use rayon::prelude::*;
use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Architecture, Pfn, PhysAddr, ReadPhysical, ReadVirtual, read_page};

use crate::arch::x86_64::image::IMAGE_BASE;
use crate::frames::{self, Sweep};
use crate::ground::arm64::Ground;
use crate::ground::x86_64::boot::boot;
use crate::ground::x86_64::location::{self, KernelChoice, Located};

/// What the text begins with.
const START: &[u8] = b"OSRELEASE=";
/// `sizeof(new_utsname.release)`; before it are `sysname` and `nodename`, as long.
const UTS_LEN: usize = 65;
const RELEASE_AT: u64 = 2 * UTS_LEN as u64;
/// Pages looked at in all: 256 GiB.
const MAX_PAGES: u64 = 1 << 26;
/// Texts that are compared with each other; a machine has one for each kernel in memory, and some copies.
const MAX_FOUND: usize = 256;
/// Chunks between two looks at what was found.
const BATCH: usize = 64;

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
/// when it did), and last at the lowest address. `sweep` says how far that has come.
///
/// It can be that of another kernel, such as one that booted this one by kexec: the build-id in it tells.
#[must_use]
pub fn find_vmcoreinfo(dump: &Dump, build_id: Option<&[u8]>, sweep: &Sweep) -> Option<FoundVmcoreinfo> {
    let chunks = frames::chunks(dump, MAX_PAGES);
    let memory = dump.apart();
    let in_chunk = |frames: &Range<u64>| -> Vec<Pfn> {
        let is_one = |frame: &Pfn| vmcoreinfo_at(&memory, *frame).is_some();
        frames.clone().map(Pfn::new).filter(is_one).take(MAX_FOUND).collect()
    };
    let rank = |found: &FoundVmcoreinfo| {
        let info = Vmcoreinfo::parse(&found.text);
        let wanted = build_id.is_none_or(|wanted| info.build_id().as_deref() == Some(wanted));
        (wanted, is_of_this_memory(dump, &info), is_mapped(dump, &info) != Some(false), info.crash_time().is_some())
    };
    sweep.begin(&chunks);
    let mut best: Option<((bool, bool, bool, bool), FoundVmcoreinfo)> = None;
    let mut number = 0;
    dump.pass(|| {
        for batch in chunks.chunks(BATCH) {
            let frames: Vec<Vec<Pfn>> = batch.par_iter().map(in_chunk).collect();
            sweep.done(batch, dump);
            let left = MAX_FOUND.saturating_sub(number);
            for found in frames.into_iter().flatten().take(left).filter_map(|frame| vmcoreinfo_at(&memory, frame)) {
                number += 1;
                let rank = rank(&found);
                if best.as_ref().is_none_or(|(best, _)| rank > *best) {
                    best = Some((rank, found));
                }
            }
            // There is none better.
            if number >= MAX_FOUND || best.as_ref().is_some_and(|(rank, _)| *rank == (true, true, true, true)) {
                break;
            }
        }
    });
    best.map(|(_, found)| found)
}

/// The VMCOREINFO of the kernel of `vmlinux`, without a scan of all memory: the kernel is found by its registers or its
/// banner, and its variable `vmcoreinfo_data` leads to the text. Up to 4.13 it is the text, and not found here; nor are kernels
/// of arm64.
#[must_use]
pub fn vmcoreinfo_of(dump: &Dump, vmlinux: &Vmlinux, choice: KernelChoice) -> Option<FoundVmcoreinfo> {
    if dump.architecture() != Architecture::X86_64 {
        return None;
    }
    let Located { location, .. } = location::locate(dump, vmlinux, dump, choice, &mut Vec::new()).ok()?;
    let (memory, _) = boot(dump, &location, vmlinux);
    let variable = vmlinux.symbols().address("vmcoreinfo_data")?.wrapping_add(location.kaslr_offset);
    let text = memory.translate(memory.read_pointer(variable).ok()?).ok()?;
    vmcoreinfo_at(dump, text.pfn()).filter(|found| found.address == text)
}

fn vmcoreinfo_at(memory: &dyn ReadPhysical, frame: Pfn) -> Option<FoundVmcoreinfo> {
    let address = frame.phys_addr()?;
    let mut start = [0; START.len()];
    memory.read_physical(address, &mut start).ok()?;
    if start != START {
        return None;
    }
    let text = read_page(memory, frame)?;
    Vmcoreinfo::parse(&text).is_plausible().then_some(FoundVmcoreinfo { address, text })
}

/// Whether the VMCOREINFO of a dump of arm64 is of another boot than its memory: the kernel's page tables have the image elsewhere. Of x86-64
/// [`Kernel::open`](crate::Kernel::open) finds the kernel all the same.
#[must_use]
pub fn is_of_another_boot(dump: &Dump) -> bool {
    dump.vmcoreinfo().is_some_and(|info| is_mapped(dump, info) == Some(false))
}

/// Whether the page tables in the memory of a dump of arm64 have the image where this text says.
#[must_use]
pub fn is_of_this_boot(dump: &Dump, text: &[u8]) -> bool {
    is_mapped(dump, &Vmcoreinfo::parse(text)) == Some(true)
}

/// Whether a kernel of arm64 is mapped as the text says; `None` where nothing tells.
fn is_mapped(dump: &Dump, info: &Vmcoreinfo) -> Option<bool> {
    info.number("kimage_voffset")?;
    Ground::read(info).ok()?.is_mapped(info, dump)
}

/// Whether the kernel's own name is where the text says that it is. Of a kernel that is gone, other things are there.
fn is_of_this_memory(dump: &Dump, info: &Vmcoreinfo) -> bool {
    let name = || {
        let names = info.symbol("init_uts_ns")?.wrapping_add(info.offset("uts_namespace.name")?);
        let x86_64 = || Some(info.number("phys_base")?.cast_unsigned().wrapping_sub(IMAGE_BASE));
        let arm64 = || Some(info.number("kimage_voffset")?.cast_unsigned().wrapping_neg());
        Some(names.get().wrapping_add(x86_64().or_else(arm64)?).wrapping_add(RELEASE_AT))
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
