//! Where a kernel is: in physical memory, in its own address space, and its page tables.
//!
//! VMCOREINFO says it. Without one (a hypervisor's dump of a guest that did not announce it, a note that was lost) the
//! place is found and proved from the vmlinux and memory alone:
//!
//! ```text
//! delta          physical address of the image's first byte, minus its link-time one (from 0xffffffff80000000 on);
//!                a multiple of 2 MiB, or the kernel stops before its first page fault (`__startup_64`,
//!                arch/x86/kernel/head64.c). It comes from the CPUs' registers (`registers`), or is every one of these
//! linux_banner   read at each delta, must be that of the vmlinux (`identity::Signature`): one comparison in 2 MiB
//! init_top_pgt   its last entry must lead to level3_kernel_pgt (four levels) or level4_kernel_pgt (five)
//! init_task      its group leader is itself, by run-time address: minus its link-time address, the KASLR offset
//! phys_base      delta minus the KASLR offset
//! ```
//!
//! The last three are also why a copy of the image in the page cache is never taken for the kernel: nothing in it has
//! been relocated.

mod choice;
mod encrypted;
mod finder;
mod memory_hole;
mod registers;

use rayon::prelude::*;
use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadPhysical, VirtAddr};

use self::choice::{Candidate, choose};
use self::finder::{Finder, Proof};
use crate::arch::x86_64::image::{IMAGE_BASE, physical_address};
use crate::identity::Signature;
use crate::paging::PhysicalMask;
use crate::{Gap, KernelError, frames, identity};
pub use choice::{KernelChoice, KernelInMemory, Role};
pub use memory_hole::fit_memory_hole;

/// `PMD_SIZE`: both the physical and the virtual address of the image are moved by multiples of it.
pub(crate) const ALIGNMENT: u64 = 2 << 20;
/// Pages whose 2 MiB boundaries are looked at: 4 TiB.
const MAX_PAGES: u64 = 1 << 30;

/// How it is known where the kernel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// VMCOREINFO says it.
    Vmcoreinfo,
    /// By a CPU's page tables and interrupt descriptors.
    Registers,
    /// By its banner in memory.
    Banner,
}

/// Where a kernel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelLocation {
    /// Run-time minus link-time address of the kernel image.
    pub(crate) kaslr_offset: u64,
    /// The kernel variable of that name: physical address of the image minus (run-time address - `IMAGE_BASE`).
    pub(crate) phys_base: u64,
    /// The kernel's top page table.
    pub(crate) root: PhysAddr,
    /// 4 or 5.
    pub(crate) page_levels: u8,
    /// Which bits of page-table entries are addresses.
    pub(crate) mask: PhysicalMask,
}

impl KernelLocation {
    /// As VMCOREINFO says.
    fn by_vmcoreinfo(info: &Vmcoreinfo, vmlinux: &Vmlinux, mask: PhysicalMask) -> Result<Self, KernelError> {
        let link_root = root_symbol(vmlinux)?;
        let kaslr_offset = match (info.kerneloffset(), info.symbol("swapper_pg_dir")) {
            (Some(offset), _) => offset,
            (None, Some(root)) => root.get().wrapping_sub(link_root.get()),
            (None, None) => 0,
        };
        // The variable is the same number on every kernel that has it in VMCOREINFO (4.10); before, it was 0 without
        // KASLR.
        let phys_base = info.number("phys_base").unwrap_or_default().cast_unsigned();
        let five_levels = info.number("pgtable_l5_enabled").is_some_and(|number| number != 0);
        let root = info.symbol("swapper_pg_dir").unwrap_or(link_root.wrapping_add(kaslr_offset));
        Ok(Self {
            kaslr_offset,
            phys_base,
            root: physical_address(root, phys_base),
            page_levels: if five_levels { 5 } else { 4 },
            // Since 4.20; 0 where nothing is encrypted.
            mask: mask.without(info.number("sme_mask").unwrap_or_default().cast_unsigned()),
        })
    }

    /// Physical address of the image minus its link-time address (from `IMAGE_BASE` on).
    const fn delta(&self) -> u64 {
        self.phys_base.wrapping_add(self.kaslr_offset)
    }
}

/// Where the kernel is that is analyzed, and which others there are.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) location: KernelLocation,
    pub(crate) found_by: FoundBy,
    /// All kernels of this build that were found in memory; empty where no other was looked for.
    pub(crate) kernels: Vec<KernelInMemory>,
    /// What the kernel was doing.
    pub(crate) role: Role,
}

/// Where the kernel is: where VMCOREINFO says, as far as memory does not contradict it; else where it is found.
///
/// A note can be that of another boot: a hypervisor keeps what the guest announced before it was started again, and the
/// page of an earlier kernel can still be in memory. It can also be damaged, or written by hand. And it can be that of a
/// crash kernel, where the one that crashed is meant.
pub(crate) fn locate(
    dump: &Dump,
    vmlinux: &Vmlinux,
    physical: &dyn ReadPhysical,
    choice: KernelChoice,
    gaps: &mut Vec<Gap>,
) -> Result<Located, KernelError> {
    let signature = Signature::of(vmlinux);
    let mask = PhysicalMask::of_memory_up_to(dump.memory_end());
    let search = Search { dump, physical, vmlinux, signature: &signature, mask, choice };
    let Some(info) = dump.vmcoreinfo() else { return search.run(None) };
    identity::check_build_id(info.build_id().as_deref(), info.osrelease(), vmlinux)?;
    let claimed = KernelLocation::by_vmcoreinfo(info, vmlinux, mask)?;
    let proof = match Finder::new(physical, vmlinux, &signature, mask) {
        Ok(finder) => finder.prove(claimed.delta()),
        // Without its symbols nothing can be proved; what cannot be done without them says so itself.
        Err(_) => return Ok(search.only(claimed, FoundBy::Vmcoreinfo)),
    };
    match proof {
        Proof::Kernel(location) => {
            let (location, found_by) = reconcile(claimed, location, gaps);
            let here = search.candidate(location, found_by);
            if choice == KernelChoice::Best && here.role != Role::Capture {
                return Ok(search.only(location, found_by));
            }
            search.run(Some(here))
        }
        Proof::NotRunning(what) => {
            gaps.push(Gap::new("page tables", format!("the kernel is where VMCOREINFO says, but {what}")));
            let root = physical_address(root_symbol(vmlinux)?, claimed.delta());
            Ok(search.only(KernelLocation { root, ..claimed }, FoundBy::Vmcoreinfo))
        }
        Proof::Other(contents, address) => match search.run(None) {
            Ok(found) => Ok(found_elsewhere(found, gaps)),
            Err(error @ KernelError::NoSuchKernel { .. }) => Err(error),
            Err(_) => Err(KernelError::NotThisMemory { contents, address }),
        },
        Proof::Unreadable(_) => match search.run(None) {
            Ok(found) => Ok(found_elsewhere(found, gaps)),
            Err(error @ KernelError::NoSuchKernel { .. }) => Err(error),
            Err(_) => Ok(search.only(claimed, FoundBy::Vmcoreinfo)),
        },
    }
}

fn found_elsewhere(found: Located, gaps: &mut Vec<Gap>) -> Located {
    gaps.push(Gap::new("VMCOREINFO", "it is not that of the kernel in memory, which was found without it"));
    found
}

/// What VMCOREINFO claims, corrected by what memory proves.
fn reconcile(claimed: KernelLocation, proved: KernelLocation, gaps: &mut Vec<Gap>) -> (KernelLocation, FoundBy) {
    let mut contradicted = |what: &str, claimed: String, proved: String| {
        gaps.push(Gap::new("VMCOREINFO", format!("{what} is {claimed} by it and {proved} by memory, which counts")));
    };
    if claimed.page_levels != proved.page_levels {
        let levels = |location: &KernelLocation| location.page_levels.to_string();
        contradicted("the number of page-table levels", levels(&claimed), levels(&proved));
    }
    if claimed.root != proved.root {
        contradicted("the top page table's address", claimed.root.to_string(), proved.root.to_string());
    }
    if claimed.mask != proved.mask {
        let bit = |location: &KernelLocation| format!("{:#x}", location.mask.encryption_bit());
        contradicted("the bit of encrypted memory", bit(&claimed), bit(&proved));
    }
    if claimed.kaslr_offset == proved.kaslr_offset {
        return (proved, FoundBy::Vmcoreinfo);
    }
    contradicted("the KASLR offset", format!("{:#x}", claimed.kaslr_offset), format!("{:#x}", proved.kaslr_offset));
    (proved, FoundBy::Banner)
}

/// Looks for the kernels of `vmlinux` without VMCOREINFO. All of `dump` may be looked through; what the answer rests on is
/// read through `physical`.
struct Search<'a> {
    dump: &'a Dump,
    physical: &'a dyn ReadPhysical,
    vmlinux: &'a Vmlinux,
    signature: &'a Signature,
    mask: PhysicalMask,
    choice: KernelChoice,
}

impl Search<'_> {
    fn candidate(&self, location: KernelLocation, found_by: FoundBy) -> Candidate {
        Candidate::new(location, found_by, self.physical, self.vmlinux)
    }

    /// A kernel where no other is looked for.
    fn only(&self, location: KernelLocation, found_by: FoundBy) -> Located {
        let role = self.candidate(location, found_by).role;
        Located { location, found_by, kernels: Vec::new(), role }
    }

    /// All kernels that there are, `known` among them, and the one of them that is meant. Where CPUs ran one that is no
    /// crash kernel, and nothing else was asked for, memory is not searched for more.
    fn run(&self, known: Option<Candidate>) -> Result<Located, KernelError> {
        let finder = Finder::new(self.physical, self.vmlinux, self.signature, self.mask)?;
        let candidates = |deltas: &[u64], found_by| -> Vec<Candidate> {
            let found = deltas.iter().filter_map(|&delta| finder.location_at(delta));
            found.map(|location| self.candidate(location, found_by)).collect()
        };
        let by_registers = registers::deltas(self.dump.qemu_cpus(), self.physical, self.mask, self.vmlinux);
        let by_registers: Vec<u64> = by_registers.into_iter().collect();
        let mut found: Vec<Candidate> =
            known.into_iter().chain(candidates(&by_registers, FoundBy::Registers)).collect();
        let mut copies = 0;
        if self.choice != KernelChoice::Best || found.iter().all(|kernel| kernel.role == Role::Capture) {
            match self.signature.first() {
                Some(first) => {
                    let by_banner = deltas(self.dump, first, self.signature);
                    copies = by_banner.len();
                    found.extend(candidates(&by_banner, FoundBy::Banner));
                }
                None if found.is_empty() => return Err(KernelError::NothingToFindBy),
                None => {}
            }
        }
        if found.is_empty() {
            if copies == 0
                && let Some(pages) = encrypted::random_pages(self.dump, self.physical)
            {
                return Err(KernelError::Encrypted { pages });
            }
            let banner = self.vmlinux.banner().unwrap_or_default();
            return Err(KernelError::NotInMemory { copies, banner });
        }
        let images = found.iter().map(|kernel| PhysAddr::new(kernel.image.start)).collect();
        let (chosen, kernels) = choose(found, self.choice).ok_or(KernelError::NoSuchKernel { images })?;
        let role = kernels.iter().find(|kernel| kernel.chosen).map_or(chosen.role, |kernel| kernel.role);
        Ok(Located { location: chosen.location, found_by: chosen.found_by, kernels, role })
    }
}

/// The deltas with which the signature, which begins at the link-time address `first`, is in memory, in ascending order
/// of physical addresses.
fn deltas(dump: &Dump, first: VirtAddr, signature: &Signature) -> Vec<u64> {
    let offset = first.get().wrapping_sub(IMAGE_BASE);
    frames::chunks(dump, MAX_PAGES)
        .par_iter()
        .flat_map_iter(|frames| {
            let start = frames.start.saturating_mul(PAGE_SIZE);
            let end = frames.end.saturating_mul(PAGE_SIZE);
            // The first address that is as far from a 2 MiB boundary as the link-time one.
            let skip = offset.wrapping_sub(start) % ALIGNMENT;
            (start.saturating_add(skip)..end).step_by(usize::try_from(ALIGNMENT).unwrap_or(usize::MAX))
        })
        .map(|address| address.wrapping_sub(offset))
        .filter(|&delta| signature.is_at(dump, delta))
        .collect()
}

fn root_symbol(vmlinux: &Vmlinux) -> Result<VirtAddr, KernelError> {
    // Named init_level4_pgt up to 4.12 (kernel commit 65ade2f872b4).
    let names = ["init_top_pgt", "init_level4_pgt", "swapper_pg_dir"];
    let found = names.into_iter().find_map(|name| vmlinux.symbols().address(name));
    found.ok_or(KernelError::MissingSymbol("init_top_pgt"))
}

#[cfg(test)]
mod tests;
