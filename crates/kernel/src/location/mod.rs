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

mod registers;

use rayon::prelude::*;
use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{PAGE_SIZE, PageLevel, PhysAddr, ReadPhysical, VirtAddr};

use crate::address_space::{AddressSpace, IMAGE_BASE, MAX_IMAGE_SIZE};
use crate::identity::Signature;
use crate::layout::{Field, Resolver};
use crate::paging::{Entry, Meaning, SwapLayout};
use crate::{Gap, KernelError, frames, identity};

/// `PMD_SIZE`: both the physical and the virtual address of the image are moved by multiples of it.
pub(crate) const ALIGNMENT: u64 = 2 << 20;
/// Pages whose 2 MiB boundaries are looked at: 4 TiB.
const MAX_PAGES: u64 = 1 << 30;
/// The index of the last entry of a page table, which maps the kernel image at the top level.
const LAST_ENTRY: u64 = 511;

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
}

impl KernelLocation {
    /// As VMCOREINFO says.
    fn by_vmcoreinfo(physical: &dyn ReadPhysical, info: &Vmcoreinfo, vmlinux: &Vmlinux) -> Result<Self, KernelError> {
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
        let root = AddressSpace::image_only(physical, phys_base)
            .translate(root)
            .map_err(|source| KernelError::Read { what: "the kernel's page tables", address: root, source })?;
        Ok(Self { kaslr_offset, phys_base, root, page_levels: if five_levels { 5 } else { 4 } })
    }

    /// Physical address of the image minus its link-time address (from `IMAGE_BASE` on).
    const fn delta(&self) -> u64 {
        self.phys_base.wrapping_add(self.kaslr_offset)
    }
}

/// Where the kernel is: as VMCOREINFO says, unless the vmlinux's kernel is not there but elsewhere.
///
/// A note can be that of another boot: a hypervisor keeps what the guest announced before it was started again, and the
/// page of an earlier kernel can still be in memory.
pub(crate) fn locate(
    dump: &Dump,
    vmlinux: &Vmlinux,
    physical: &dyn ReadPhysical,
    gaps: &mut Vec<Gap>,
) -> Result<(KernelLocation, FoundBy), KernelError> {
    let signature = Signature::of(vmlinux);
    let search = || find(dump, physical, vmlinux, &signature);
    let Some(info) = dump.vmcoreinfo() else { return search() };
    identity::check_build_id(info.build_id().as_deref(), vmlinux)?;
    let location = KernelLocation::by_vmcoreinfo(physical, info, vmlinux)?;
    if signature.first().is_some()
        && !signature.is_at(physical, location.delta())
        && let Ok(found) = search()
    {
        gaps.push(Gap::new("VMCOREINFO", "it is not that of the kernel in memory, which was found without it"));
        return Ok(found);
    }
    Ok((location, FoundBy::Vmcoreinfo))
}

/// Finds the kernel of `vmlinux` without VMCOREINFO. All of `dump` may be looked through; what the answer rests on is
/// read through `physical`.
fn find(
    dump: &Dump,
    physical: &dyn ReadPhysical,
    vmlinux: &Vmlinux,
    signature: &Signature,
) -> Result<(KernelLocation, FoundBy), KernelError> {
    let finder = Finder::new(physical, vmlinux, signature)?;
    let by_registers = registers::deltas(dump.qemu_cpus(), physical, vmlinux);
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

/// Looks at one place in memory after the other.
struct Finder<'a> {
    physical: &'a dyn ReadPhysical,
    signature: &'a Signature,
    root: VirtAddr,
    level3: VirtAddr,
    /// Kernels without `CONFIG_X86_5LEVEL` have none.
    level4: Option<VirtAddr>,
    init_task: VirtAddr,
    group_leader: Field,
}

impl<'a> Finder<'a> {
    fn new(physical: &'a dyn ReadPhysical, vmlinux: &Vmlinux, signature: &'a Signature) -> Result<Self, KernelError> {
        let symbol = |name| vmlinux.symbols().address(name).ok_or(KernelError::MissingSymbol(name));
        Ok(Self {
            physical,
            signature,
            root: root_symbol(vmlinux)?,
            level3: symbol("level3_kernel_pgt")?,
            level4: symbol("level4_kernel_pgt").ok(),
            init_task: symbol("init_task")?,
            group_leader: Resolver::new(vmlinux.types()).field("task_struct", "group_leader")?,
        })
    }

    /// The kernel, if it is at `delta`.
    fn location_at(&self, delta: u64) -> Option<KernelLocation> {
        if self.signature.first().is_some() && !self.signature.is_at(self.physical, delta) {
            return None;
        }
        let root = physical_address(self.root, delta);
        let page_levels = self.page_levels(root, delta)?;
        let leader = physical_address(self.group_leader.address(self.init_task), delta);
        let leader = self.physical.read_physical_u64(leader).ok()?;
        let kaslr_offset = leader.wrapping_sub(self.init_task.get());
        (kaslr_offset.is_multiple_of(ALIGNMENT) && kaslr_offset < MAX_IMAGE_SIZE).then(|| KernelLocation {
            kaslr_offset,
            phys_base: delta.wrapping_sub(kaslr_offset),
            root,
            page_levels,
        })
    }

    fn page_levels(&self, root: PhysAddr, delta: u64) -> Option<u8> {
        let entry = self.physical.read_physical_u64(root.wrapping_add(LAST_ENTRY * 8)).ok()?;
        let Meaning::Table(next) = Entry::new(entry).meaning(PageLevel::Pgd, &SwapLayout::UNKNOWN) else { return None };
        if next == physical_address(self.level3, delta) {
            return Some(4);
        }
        (Some(next) == self.level4.map(|table| physical_address(table, delta))).then_some(5)
    }
}

/// Where the byte at the link-time address `link` is, if the image is at `delta`.
pub(crate) const fn physical_address(link: VirtAddr, delta: u64) -> PhysAddr {
    PhysAddr::new(link.get().wrapping_sub(IMAGE_BASE).wrapping_add(delta))
}

#[cfg(test)]
mod tests;
