//! What can be read of a kernel without any debug information: its names and its log, by VMCOREINFO alone.
//!
//! VMCOREINFO exists for programs that have nothing else (`makedumpfile --dump-dmesg`, `vmcore-dmesg`):
//!
//! ```text
//! NUMBER(phys_base)           where the image is in physical memory
//! SYMBOL(swapper_pg_dir)      the kernel's page tables: a large log buffer is not in the image
//! NUMBER(pgtable_l5_enabled)  whether they have five levels
//! SYMBOL(log_buf), SYMBOL(prb), SIZE(...), OFFSET(...)   the log (see `printk::by_vmcoreinfo`)
//! SYMBOL(init_uts_ns)         the names of the machine
//! ```
//!
//! `crash --minimal` calls this mode so.

#[cfg(test)]
mod tests;

use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Architecture, ReadPhysical, ReadVirtual, VirtAddr};

use crate::address_space::AddressSpace;
use crate::ground::arm64::Ground;
use crate::paging::{PageTables, PhysicalMask};
use crate::panic::{PanicInfo, panic_by_log};
use crate::uptime::uptime_by_log;
use crate::{Gap, LogRecord, Utsname, identity, printk};

/// As much of a `struct uts_namespace` as is looked through for the names, in bytes.
const NAMESPACE_SIZE: usize = 512;
/// The length of each name in a `struct new_utsname`, in bytes.
const NAME_SIZE: usize = 65;

/// A kernel of which nothing but VMCOREINFO is known.
pub struct MinimalKernel<'a> {
    info: &'a Vmcoreinfo,
    memory: AddressSpace<'a>,
    page_levels: u8,
}

/// Why not even that much can be read.
#[derive(Debug, thiserror::Error)]
pub enum MinimalError {
    /// There is no VMCOREINFO at all.
    #[error("the dump has no VMCOREINFO")]
    NoVmcoreinfo,
    /// VMCOREINFO lacks what all else rests on.
    #[error("VMCOREINFO has no {0}")]
    Missing(&'static str),
    /// It is of a kernel that cannot be read.
    #[error(transparent)]
    Kernel(#[from] crate::KernelError),
}

impl<'a> MinimalKernel<'a> {
    /// Opens the kernel that VMCOREINFO describes.
    ///
    /// # Errors
    ///
    /// [`MinimalError`] where VMCOREINFO does not say where the kernel is.
    pub fn open(dump: &'a Dump) -> Result<Self, MinimalError> {
        let info = dump.vmcoreinfo().ok_or(MinimalError::NoVmcoreinfo)?;
        if dump.architecture() == Architecture::Arm64 {
            let ground = Ground::read(info)?;
            let memory = ground.memory(dump, None);
            let page_levels = u8::try_from(ground.geometry.levels()).unwrap_or_default();
            return Ok(Self { info, memory, page_levels });
        }
        Self::new(info, dump, PhysicalMask::of_memory_up_to(dump.memory_end()))
    }

    fn new(info: &'a Vmcoreinfo, physical: &'a dyn ReadPhysical, mask: PhysicalMask) -> Result<Self, MinimalError> {
        let root = info.symbol("swapper_pg_dir").ok_or(MinimalError::Missing("SYMBOL(swapper_pg_dir)"))?;
        // In VMCOREINFO since 4.10; before, it was 0 without KASLR.
        let phys_base = info.number("phys_base").unwrap_or_default().cast_unsigned();
        let levels = if info.number("pgtable_l5_enabled").is_some_and(|number| number != 0) { 5 } else { 4 };
        let mask = mask.without(info.number("sme_mask").unwrap_or_default().cast_unsigned());
        let image = AddressSpace::image_only(physical, phys_base);
        let root = image.translate(root).map_err(|_| MinimalError::Missing("usable SYMBOL(swapper_pg_dir)"))?;
        Ok(Self { info, memory: image.with_tables(PageTables::x86_64(root, levels, mask)), page_levels: levels })
    }

    /// VMCOREINFO.
    #[must_use]
    pub const fn vmcoreinfo(&self) -> &'a Vmcoreinfo {
        self.info
    }

    /// 4 or 5.
    #[must_use]
    pub const fn page_levels(&self) -> u8 {
        self.page_levels
    }

    /// The records in the kernel's log buffer, oldest first. Before 5.10 they are numbered from the oldest one on: how many
    /// there were before is not in VMCOREINFO.
    #[must_use]
    pub fn log(&self, gaps: &mut Vec<Gap>) -> Vec<LogRecord> {
        printk::by_vmcoreinfo::read(&self.memory, self.info, gaps).unwrap_or_else(|gap| {
            gaps.push(gap);
            Vec::new()
        })
    }

    /// How the kernel died, as far as its log says.
    #[must_use]
    pub fn panic(&self, log: &[LogRecord]) -> PanicInfo {
        panic_by_log(log)
    }

    /// How long the machine had been up when it last printed something, in nanoseconds. The true time is that or more.
    #[must_use]
    pub fn uptime_ns(&self, log: &[LogRecord]) -> Option<u64> {
        uptime_by_log(log)
    }

    /// The names of the machine. Where in `init_uts_ns` they are is in VMCOREINFO since 5.11 (kernel commit ca4a9241cc5e);
    /// before, they are recognized: by the name of the system, and by the release, which VMCOREINFO has too.
    #[must_use]
    pub fn utsname(&self) -> Option<Utsname> {
        let namespace = self.info.symbol("init_uts_ns")?;
        let release = self.info.osrelease()?;
        if let Some(offset) = self.info.offset("uts_namespace.name") {
            return self.names_at(namespace.wrapping_add(offset), release);
        }
        (0..NAMESPACE_SIZE as u64).step_by(4).find_map(|offset| self.names_at(namespace.wrapping_add(offset), release))
    }

    /// `struct new_utsname`: `sysname`, `nodename`, `release`, `version`, `machine`.
    fn names_at(&self, address: VirtAddr, release: &str) -> Option<Utsname> {
        let name = |index: usize| {
            let address = address.wrapping_add((index * NAME_SIZE) as u64);
            let bytes = self.memory.read_c_string(address, NAME_SIZE).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        if name(0)? != "Linux" || name(2)? != release {
            return None;
        }
        Some(Utsname {
            release: release.to_owned(),
            version: name(3).unwrap_or_default(),
            machine: name(4).unwrap_or_default(),
            nodename: name(1).unwrap_or_default(),
        })
    }

    /// The build-id; kernels before 5.9 do not say it.
    #[must_use]
    pub fn build_id(&self) -> Option<String> {
        self.info.build_id().map(|id| identity::hex(&id))
    }
}
