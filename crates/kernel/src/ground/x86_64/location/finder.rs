//! Whether a kernel is at one place in memory: the proof.

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::{PhysAddr, ReadError, ReadPhysical, VirtAddr};

use super::{ALIGNMENT, KernelLocation, root_symbol};
use crate::KernelError;
use crate::arch::x86_64::image::MAX_IMAGE_SIZE;
use crate::arch::x86_64::image::physical_address;
use crate::contents::Contents;
use crate::identity::Signature;
use crate::layout::{Field, Resolver};
use crate::paging::PhysicalMask;

/// The index of the last entry of a page table, which maps the kernel image at the top level.
const LAST_ENTRY: u64 = 511;
const PRESENT: u64 = 1;
const HUGE: u64 = 1 << 7;

/// Looks at one place in memory after the other.
pub(super) struct Finder<'a> {
    pub(super) physical: &'a dyn ReadPhysical,
    pub(super) signature: &'a Signature,
    pub(super) mask: PhysicalMask,
    pub(super) root: VirtAddr,
    pub(super) level3: VirtAddr,
    /// Kernels without `CONFIG_X86_5LEVEL` have none.
    pub(super) level4: Option<VirtAddr>,
    pub(super) init_task: VirtAddr,
    pub(super) group_leader: Field,
}

/// What memory says of a place.
#[derive(Debug, PartialEq)]
pub(super) enum Proof {
    /// The kernel runs there.
    Kernel(KernelLocation),
    /// The kernel's image is there, but what should show that it runs is something else.
    NotRunning(&'static str),
    /// Something else is there.
    Other(Contents, PhysAddr),
    /// What would tell cannot be read.
    Unreadable(ReadError),
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        physical: &'a dyn ReadPhysical,
        vmlinux: &Vmlinux,
        signature: &'a Signature,
        mask: PhysicalMask,
    ) -> Result<Self, KernelError> {
        let symbol = |name| vmlinux.symbols().address(name).ok_or(KernelError::MissingSymbol(name));
        Ok(Self {
            physical,
            signature,
            mask,
            root: root_symbol(vmlinux)?,
            level3: symbol("level3_kernel_pgt")?,
            level4: symbol("level4_kernel_pgt").ok(),
            init_task: symbol("init_task")?,
            group_leader: Resolver::new(vmlinux.types()).field("task_struct", "group_leader")?,
        })
    }

    /// The kernel, if it is at `delta` and its signature can be read.
    pub(super) fn location_at(&self, delta: u64) -> Option<KernelLocation> {
        if self.signature.first().is_some() && self.signature.compare(self.physical, delta) != Some(true) {
            return None;
        }
        match self.prove(delta) {
            Proof::Kernel(location) => Some(location),
            Proof::NotRunning(_) | Proof::Other(..) | Proof::Unreadable(_) => None,
        }
    }

    /// What memory says of `delta`. A signature that is not in the dump proves nothing, either way.
    pub(super) fn prove(&self, delta: u64) -> Proof {
        let signature = self.signature.compare(self.physical, delta);
        if let (Some(false), Some(first)) = (signature, self.signature.first()) {
            let at = physical_address(first, delta);
            return Proof::Other(Contents::of(self.physical, at), at);
        }
        let found = self.running(delta);
        match (found, signature) {
            (Ok(Ok(location)), _) => Proof::Kernel(location),
            (Ok(Err(what)), Some(_)) => Proof::NotRunning(what),
            (Ok(Err(_)), None) => {
                let at = physical_address(self.root, delta);
                Proof::Other(Contents::of(self.physical, at), at)
            }
            (Err(error), _) => Proof::Unreadable(error),
        }
    }

    /// The kernel that runs with its image at `delta`, or what is not as in one.
    fn running(&self, delta: u64) -> Result<Result<KernelLocation, &'static str>, ReadError> {
        let root = physical_address(self.root, delta);
        let entry = self.physical.read_physical_u64(root.wrapping_add(LAST_ENTRY * 8))?;
        let Some((page_levels, bit)) = self.page_levels(entry, delta) else {
            return Ok(Err("the last entry of its top page table does not lead to its own tables"));
        };
        let leader = physical_address(self.group_leader.address(self.init_task), delta);
        let leader = self.physical.read_physical_u64(leader)?;
        let kaslr_offset = leader.wrapping_sub(self.init_task.get());
        if !kaslr_offset.is_multiple_of(ALIGNMENT) || kaslr_offset >= MAX_IMAGE_SIZE {
            return Ok(Err("its first task is not its own group leader"));
        }
        let phys_base = delta.wrapping_sub(kaslr_offset);
        Ok(Ok(KernelLocation { kaslr_offset, phys_base, root, page_levels, mask: self.mask.without(bit) }))
    }

    /// How many levels the page tables have whose last entry at the top is `entry`, and the bit of encryption in it.
    fn page_levels(&self, entry: u64, delta: u64) -> Option<(u8, u64)> {
        if entry & PRESENT == 0 || entry & HUGE != 0 {
            return None;
        }
        let bit = |table: VirtAddr| self.mask.bit_between(entry, physical_address(table, delta));
        let four = bit(self.level3).map(|bit| (4, bit));
        four.or_else(|| Some((5, bit(self.level4?)?)))
    }
}
