//! Whether memory agrees with what VMCOREINFO says.
//!
//! A hypervisor keeps what the guest announced before it was started again, and the page of an earlier kernel can still be in memory. With
//! KASLR the image is at the same place in physical memory each time, or nearly so, and elsewhere in virtual memory.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{PhysAddr, ReadError, ReadPhysical, VirtAddr};

use super::Ground;
use crate::KernelError;
use crate::layout::Resolver;
use crate::paging::PageTables;

/// KASLR moves the image by multiples of this (`MIN_KIMG_ALIGN`, `arch/arm64/include/asm/boot.h`; less without KASLR).
const ALIGNMENT: u64 = 1 << 16;
/// Symbols of the image that VMCOREINFO has, all of them mapped.
const SYMBOLS: [&str; 3] = ["swapper_pg_dir", "init_uts_ns", "_stext"];

impl Ground {
    /// Whether the page tables map the image to where VMCOREINFO has it; `None` where they cannot be read.
    pub(crate) fn is_mapped(&self, info: &Vmcoreinfo, physical: &dyn ReadPhysical) -> Option<bool> {
        let tables = PageTables::arm64(self.in_image(self.root), self.geometry);
        let symbols = SYMBOLS.iter().filter_map(|name| info.symbol(name));
        let found = symbols.map(|at| match tables.translate(physical, at) {
            Ok(found) => Some(found == self.in_image(at)),
            Err(ReadError::NotMapped { .. } | ReadError::NonCanonical { .. }) => Some(false),
            Err(_) => None,
        });
        // One that is mapped as it should be is enough: tables of another kernel do that for none.
        found.reduce(|one, other| if one == Some(true) || other == Some(true) { Some(true) } else { one.and(other) })?
    }

    /// The physical address of what the image has at `at`.
    fn in_image(&self, at: VirtAddr) -> PhysAddr {
        PhysAddr::new(at.get().wrapping_sub(self.image_offset))
    }

    /// Checks the KASLR offset against the first task, which is its own group leader. What cannot be read says nothing.
    ///
    /// # Errors
    ///
    /// [`KernelError::OtherBoot`] where memory has another.
    pub(crate) fn check_boot(&self, vmlinux: &Vmlinux, physical: &dyn ReadPhysical) -> Result<(), KernelError> {
        let Some(linked) = vmlinux.symbols().address("init_task") else { return Ok(()) };
        let task = linked.wrapping_add(self.kaslr_offset);
        let leader = Resolver::new(vmlinux.types()).field("task_struct", "group_leader")?;
        let Ok(found) = physical.read_physical_u64(self.in_image(leader.address(task))) else { return Ok(()) };
        // What else is there says nothing: it may not be in the dump.
        let is_elsewhere =
            VirtAddr::new(found).is_kernel_half() && found.wrapping_sub(task.get()).is_multiple_of(ALIGNMENT);
        if found == task.get() || !is_elsewhere {
            return Ok(());
        }
        Err(KernelError::OtherBoot { claimed: task, found: VirtAddr::new(found) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const INFO: &str = "PAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffa1f46c97b000\nSYMBOL(_stext)=ffffa1f46b410000\n\
        NUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffffa1f42b400000\nNUMBER(PHYS_OFFSET)=0x40000000\n\
        NUMBER(TCR_EL1_T1SZ)=0x10\n";
    const ROOT: u64 = 0x4157_b000;

    fn is_mapped(info: &str, memory: &TestMemory) -> Option<bool> {
        let info = Vmcoreinfo::parse(info.as_bytes());
        Ground::read(&info).unwrap().is_mapped(&info, memory)
    }

    #[test]
    fn the_note_of_another_boot_is_not_mapped() {
        // The gigabyte from 0x40000000 on, 2 MiB by 2 MiB from the start of the image on.
        let mut memory = TestMemory::default();
        for page in 0..512 * 4 / 8 {
            memory.put_u64(ROOT + page * 16, 0);
        }
        let text = 0xffff_a1f4_6b40_0000u64;
        memory.put_u64(ROOT + (text >> 39 & 0x1ff) * 8, 0x5000_0003);
        memory.put_u64(0x5000_0000 + (text >> 30 & 0x1ff) * 8, 0x5000_1003);
        for block in 0..16 {
            memory.put_u64(0x5000_1000 + ((text >> 21 & 0x1ff) + block) * 8, 0x0068_0000_4000_0701 + (block << 21));
        }
        assert_eq!(is_mapped(INFO, &memory), Some(true));
        // By another boot the image was 2 GiB further up, at the same place in memory.
        let stale = INFO.replace("a1f46", "a1f4e").replace("a1f42b4", "a1f4ab4");
        assert_eq!(is_mapped(&stale, &memory), Some(false));
        assert_eq!(is_mapped(INFO, &TestMemory::default()), None);
    }
}
