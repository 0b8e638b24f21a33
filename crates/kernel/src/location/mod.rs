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

mod finder;
mod registers;

use rayon::prelude::*;
use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadPhysical, VirtAddr};

use self::finder::{Finder, Proof};
use crate::address_space::IMAGE_BASE;
use crate::identity::Signature;
use crate::paging::PhysicalMask;
use crate::{Gap, KernelError, frames, identity};

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

/// Where the kernel is: where VMCOREINFO says, as far as memory does not contradict it; else where it is found.
///
/// A note can be that of another boot: a hypervisor keeps what the guest announced before it was started again, and the
/// page of an earlier kernel can still be in memory. It can also be damaged, or written by hand.
pub(crate) fn locate(
    dump: &Dump,
    vmlinux: &Vmlinux,
    physical: &dyn ReadPhysical,
    gaps: &mut Vec<Gap>,
) -> Result<(KernelLocation, FoundBy), KernelError> {
    let signature = Signature::of(vmlinux);
    let mask = PhysicalMask::of_memory_up_to(dump.memory_end());
    let Some(info) = dump.vmcoreinfo() else { return find(dump, physical, vmlinux, &signature, mask) };
    identity::check_build_id(info.build_id().as_deref(), vmlinux)?;
    let claimed = KernelLocation::by_vmcoreinfo(info, vmlinux, mask)?;
    let proof = match Finder::new(physical, vmlinux, &signature, mask) {
        Ok(finder) => finder.prove(claimed.delta()),
        // Without its symbols nothing can be proved; what cannot be done without them says so itself.
        Err(_) => return Ok((claimed, FoundBy::Vmcoreinfo)),
    };
    let search = || find(dump, physical, vmlinux, &signature, mask);
    match proof {
        Proof::Kernel(location) => Ok(reconcile(claimed, location, gaps)),
        Proof::NotRunning(what) => {
            gaps.push(Gap::new("page tables", format!("the kernel is where VMCOREINFO says, but {what}")));
            Ok((
                KernelLocation { root: physical_address(root_symbol(vmlinux)?, claimed.delta()), ..claimed },
                FoundBy::Vmcoreinfo,
            ))
        }
        Proof::Other(contents, address) => match search() {
            Ok(found) => Ok(found_elsewhere(found, gaps)),
            Err(_) => Err(KernelError::NotThisMemory { contents, address }),
        },
        Proof::Unreadable(_) => {
            Ok(search().map_or((claimed, FoundBy::Vmcoreinfo), |found| found_elsewhere(found, gaps)))
        }
    }
}

fn found_elsewhere(found: (KernelLocation, FoundBy), gaps: &mut Vec<Gap>) -> (KernelLocation, FoundBy) {
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

/// Finds the kernel of `vmlinux` without VMCOREINFO. All of `dump` may be looked through; what the answer rests on is
/// read through `physical`.
fn find(
    dump: &Dump,
    physical: &dyn ReadPhysical,
    vmlinux: &Vmlinux,
    signature: &Signature,
    mask: PhysicalMask,
) -> Result<(KernelLocation, FoundBy), KernelError> {
    let finder = Finder::new(physical, vmlinux, signature, mask)?;
    let by_registers = registers::deltas(dump.qemu_cpus(), physical, mask, vmlinux);
    if let Some(location) = by_registers.into_iter().find_map(|delta| finder.location_at(delta)) {
        return Ok((location, FoundBy::Registers));
    }
    let Some(first) = signature.first() else { return Err(KernelError::NothingToFindBy) };
    let by_banner = deltas(dump, first, signature);
    match by_banner.iter().find_map(|&delta| finder.location_at(delta)) {
        Some(location) => Ok((location, FoundBy::Banner)),
        None => Err(KernelError::NotInMemory { copies: by_banner.len(), banner: vmlinux.banner().unwrap_or_default() }),
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

/// Where the byte at the link-time address `link` is, if the image is at `delta`.
pub(crate) const fn physical_address(link: VirtAddr, delta: u64) -> PhysAddr {
    PhysAddr::new(link.get().wrapping_sub(IMAGE_BASE).wrapping_add(delta))
}

#[cfg(test)]
mod tests;
