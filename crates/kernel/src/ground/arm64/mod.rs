//! Where a kernel of arm64 is, by its VMCOREINFO, and how its memory is translated.
//!
//! ```text
//! kimage_voffset   virtual minus physical address of the kernel image
//! PHYS_OFFSET      the physical address that the direct map begins with; may be below all memory, even negative
//! VA_BITS          bits of virtual addresses that the kernel was built for
//! TCR_EL1_T1SZ     64 minus those that this machine translates; not in old kernels
//! KERNELPACMASK    the bits of a kernel address that hold its authentication code
//! PAGESIZE         4, 16 or 64 KiB
//! ```
//!
//! The direct map is the lower half of the kernel's addresses, and was the upper one in old kernels; the page tables tell
//! which.
//!
//! Source: `arch/arm64/kernel/vmcore_info.c` (`crash_core.c` before 6.9), `Documentation/arch/arm64/memory.rst`.

mod claims;
mod vmemmap;

use std::ops::Range;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{Pfn, PhysAddr, ReadPhysical, VirtAddr};

use self::vmemmap::{Search, Vmemmap};
use crate::KernelError;
use crate::address_space::{AddressSpace, DirectMap, Image};
use crate::page::PageLayout;
use crate::paging::{Geometry, PageTables};

/// What VMCOREINFO says of a kernel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Run-time minus link-time address of the kernel image.
    pub(crate) kaslr_offset: u64,
    pub(crate) geometry: Geometry,
    /// The top page table, by its address in the image.
    root: VirtAddr,
    image_offset: u64,
    phys_offset: u64,
    va_bits: u32,
    vmemmap: Option<Vmemmap>,
    /// The bits of a kernel address that may hold an authentication code; 0 where the kernel uses none.
    pub(crate) pac_mask: u64,
}

impl Ground {
    /// What `info` says.
    ///
    /// # Errors
    ///
    /// [`KernelError::NotInVmcoreinfo`] with what is missing, [`KernelError::PageSize`].
    pub(crate) fn read(info: &Vmcoreinfo) -> Result<Self, KernelError> {
        let number =
            |name: &'static str| info.number(name).map(i64::cast_unsigned).ok_or(KernelError::NotInVmcoreinfo(name));
        let page_size = info.get("PAGESIZE").and_then(|size| size.parse().ok()).unwrap_or(1u64 << 12);
        if ![1 << 12, 1 << 14, 1 << 16].contains(&page_size) {
            return Err(KernelError::PageSize(page_size));
        }
        let va_bits = number("VA_BITS")?;
        let translated = info.number("TCR_EL1_T1SZ").map_or(va_bits, |size| 64u64.wrapping_sub(size.cast_unsigned()));
        // With pages of 64 KiB the top table is as large as for 52 bits whatever the machine translates: it is given the part
        // of it that it needs (`offset_ttbr1` in arch/arm64/include/asm/assembler.h), which the bits above lead to.
        let width = if page_size == 1 << 16 && va_bits == 52 && translated == 48 { 52 } else { translated };
        let bits = |value: u64| u32::try_from(value).ok();
        let geometry = bits(width).and_then(|width| Geometry::new(page_size.ilog2(), width));
        let root = info.symbol("swapper_pg_dir").ok_or(KernelError::NotInVmcoreinfo("swapper_pg_dir"))?;
        Ok(Self {
            kaslr_offset: info.kerneloffset().unwrap_or_default(),
            geometry: geometry.ok_or(KernelError::NotInVmcoreinfo("usable TCR_EL1_T1SZ"))?,
            root,
            image_offset: number("kimage_voffset")?,
            phys_offset: number("PHYS_OFFSET")?,
            va_bits: bits(va_bits)
                .filter(|bits| (36..=52).contains(bits))
                .ok_or(KernelError::NotInVmcoreinfo("usable VA_BITS"))?,
            vmemmap: Vmemmap::described(info),
            pac_mask: info.number("KERNELPACMASK").unwrap_or_default().cast_unsigned(),
        })
    }

    /// The kernel's memory; `bounds` are the run-time addresses of the image, where they are known.
    pub(crate) fn memory<'a>(&self, physical: &'a dyn ReadPhysical, bounds: Option<Range<u64>>) -> AddressSpace<'a> {
        // Without bounds the tables translate the image, as all else.
        let image = Image { range: bounds.unwrap_or(0..0), to_physical: self.image_offset.wrapping_neg() };
        let root = PhysAddr::new(self.root.get().wrapping_sub(self.image_offset));
        let tables = PageTables::arm64(root, self.geometry);
        let direct_map = self.direct_map(physical, tables, root);
        AddressSpace::new(physical, image).with_tables(tables).with_direct_map(direct_map)
    }

    /// The direct map, where the tables agree with what it should be.
    fn direct_map(&self, physical: &dyn ReadPhysical, tables: PageTables, probe: PhysAddr) -> Option<DirectMap> {
        let lower = u64::MAX << self.va_bits;
        let upper = u64::MAX << (self.va_bits - 1);
        [lower..upper, upper..u64::MAX].into_iter().find_map(|range| {
            let at = VirtAddr::new(probe.get().wrapping_sub(self.phys_offset).wrapping_add(range.start));
            let agrees = range.contains(&at.get()) && tables.translate(physical, at) == Ok(probe);
            agrees.then_some(DirectMap { range, physical: self.phys_offset })
        })
    }

    /// Where the `struct page` of frame 0 would be: by VMCOREINFO, or else where `memory` has those of the image's pages; `None`
    /// where nothing tells.
    pub(crate) fn vmemmap(
        &self,
        memory: &AddressSpace<'_>,
        vmlinux: &Vmlinux,
        layout: &PageLayout,
    ) -> Option<VirtAddr> {
        if let Some(described) = self.vmemmap {
            return Some(described.frame_zero(self.first_frame(), layout.size()));
        }
        let symbol = |name| Some(vmlinux.symbols().address(name)?.wrapping_add(self.kaslr_offset));
        let frame = |at: VirtAddr| Pfn::new(at.get().wrapping_sub(self.image_offset) >> self.geometry.page_shift());
        let image: Vec<Pfn> = symbol("_stext").into_iter().chain([self.root]).map(frame).collect();
        let search = Search {
            memory,
            layout,
            va_bits: self.va_bits,
            page_shift: self.geometry.page_shift(),
            first_frame: self.first_frame(),
            image: &image,
        };
        search.find(symbol("vmemmap"))
    }

    /// The frame that the direct map begins with; below 0 modulo 2^64.
    const fn first_frame(&self) -> u64 {
        (self.phys_offset.cast_signed() >> self.geometry.page_shift()).cast_unsigned()
    }

    /// What to add to a link-time address of the image for its physical address.
    pub(crate) const fn image_delta(&self) -> u64 {
        self.kaslr_offset.wrapping_sub(self.image_offset)
    }

    /// The image's bounds at run time, by the symbols of `vmlinux`.
    pub(crate) fn bounds(&self, vmlinux: &Vmlinux) -> Option<Range<u64>> {
        let at = |name| Some(vmlinux.symbols().address(name)?.wrapping_add(self.kaslr_offset).get());
        Some(at("_text").or_else(|| at("_stext"))?..at("_end")?).filter(|range| range.start < range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    /// As a 6.1 kernel with KASLR in a machine with 1 GiB at 0x40000000 has it.
    const INFO: &str = "PAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffa1f46c97b000\nNUMBER(VA_BITS)=48\n\
        NUMBER(VMEMMAP_START)=0xfffffc0000000000\nNUMBER(kimage_voffset)=0xffffa1f42b400000\n\
        NUMBER(PHYS_OFFSET)=0x40000000\nNUMBER(TCR_EL1_T1SZ)=0x10\nKERNELOFFSET=21f463600000\n\
        NUMBER(KERNELPACMASK)=0xffff000000000000\n";
    const ROOT: u64 = 0x4157_b000;

    fn ground(info: &str) -> Result<Ground, KernelError> {
        Ground::read(&Vmcoreinfo::parse(info.as_bytes()))
    }

    /// Where VMCOREINFO says that the `struct page` of frame 0 would be.
    fn array_of(ground: &Ground) -> u64 {
        ground.vmemmap.unwrap().frame_zero(ground.first_frame(), 64).get()
    }

    /// Tables that map the gigabyte from 0x40000000 on, linearly from `start` on.
    fn memory(start: u64) -> TestMemory {
        let mut memory = TestMemory::default();
        memory.put_u64(ROOT + (start >> 39 & 0x1ff) * 8, 0x5000_0003);
        memory.put_u64(0x5000_0000 + (start >> 30 & 0x1ff) * 8, 0x0068_0000_4000_0701);
        memory.put(0x4200_0000, b"in the direct map");
        memory
    }

    #[test]
    fn what_a_real_note_says() {
        let ground = ground(INFO).unwrap();
        assert_eq!((ground.kaslr_offset, ground.pac_mask), (0x21f4_6360_0000, 0xffff << 48));
        assert_eq!((ground.geometry.va_bits(), ground.geometry.levels()), (48, 4));
        assert_eq!(array_of(&ground), 0xffff_fc00_0000_0000 - 0x4_0000 * 64);
    }

    #[test]
    fn the_direct_map_is_where_the_tables_have_it() {
        let ground = ground(INFO).unwrap();
        for start in [0xffff_0000_0000_0000, 0xffff_8000_0000_0000] {
            let memory = memory(start);
            let space = ground.memory(&memory, None);
            assert_eq!(space.direct_map_address(PhysAddr::new(0x4200_0000)), Some(VirtAddr::new(start + 0x200_0000)));
            assert_eq!(space.translate(VirtAddr::new(start + 0x200_0000)), Ok(PhysAddr::new(0x4200_0000)));
        }
        // Tables that map it nowhere are no reason to believe in one.
        let space = ground.memory(&TestMemory::default(), None).direct_map_address(PhysAddr::new(0x4200_0000));
        assert_eq!(space, None);
    }

    #[test]
    fn pages_of_16_and_64_kib() {
        let with = |page_size: &str, va_bits: &str, unused: &str| {
            let info = INFO.replace("PAGESIZE=4096", &format!("PAGESIZE={page_size}"));
            let info = info.replace("VA_BITS)=48", &format!("VA_BITS)={va_bits}"));
            ground(&info.replace("T1SZ)=0x10", &format!("T1SZ)={unused}"))).unwrap()
        };
        let shape =
            |ground: &Ground| (ground.geometry.page_shift(), ground.geometry.va_bits(), ground.geometry.levels());
        assert_eq!(shape(&with("16384", "47", "0x11")), (14, 47, 3));
        assert_eq!(shape(&with("16384", "52", "0xc")), (14, 52, 4));
        // A kernel for 52 bits where the machine has no LPA2.
        assert_eq!(shape(&with("16384", "52", "0x11")), (14, 47, 3));
        assert_eq!(shape(&with("65536", "42", "0x16")), (16, 42, 2));
        assert_eq!(shape(&with("65536", "48", "0x10")), (16, 48, 3));
        // The top table is the one for 52 bits all the same.
        assert_eq!(shape(&with("65536", "52", "0x10")), (16, 52, 3));
        assert_eq!(array_of(&with("65536", "48", "0x10")), 0xffff_fc00_0000_0000 - 0x4000 * 64);
    }

    /// Three levels of 2048 entries each, the top one of 4: a page of 16 KiB, and a block of 32 MiB.
    #[test]
    fn tables_with_pages_of_16_kib_are_walked() {
        let info = INFO.replace("PAGESIZE=4096", "PAGESIZE=16384").replace("VA_BITS)=48", "VA_BITS)=47");
        let ground = ground(&info.replace("T1SZ)=0x10", "T1SZ)=0x11")).unwrap();
        let start = 0xffff_8000_0000_0000u64;
        let (page, block) = (start + (5 << 36) + (7 << 25) + (9 << 14), start + (5 << 36) + (8 << 25));
        let mut memory = TestMemory::default();
        memory.put_u64(ROOT + 5 * 8, 0x5000_0003);
        memory.put_u64(0x5000_0000 + 7 * 8, 0x5000_4003);
        memory.put_u64(0x5000_4000 + 9 * 8, 0x0068_0000_4423_c703);
        memory.put_u64(0x5000_0000 + 8 * 8, 0x0068_0000_4600_0701);
        let space = ground.memory(&memory, None);
        assert_eq!(space.translate(VirtAddr::new(page + 0x3456)), Ok(PhysAddr::new(0x4423_f456)));
        assert_eq!(space.translate(VirtAddr::new(block + 0x1ff_f000)), Ok(PhysAddr::new(0x47ff_f000)));
        assert!(space.translate(VirtAddr::new(page + 0x4000)).is_err());
    }

    /// A machine without large addresses uses the last 64 of 1024 entries for the kernel's half.
    #[test]
    fn tables_for_52_bits_on_a_machine_of_48() {
        let info = INFO.replace("PAGESIZE=4096", "PAGESIZE=65536").replace("VA_BITS)=48", "VA_BITS)=52");
        let ground = ground(&info).unwrap();
        let mut memory = TestMemory::default();
        memory.put_u64(ROOT + (1024 - 64 + 32) * 8, 0x5000_0003);
        memory.put_u64(0x5000_0000 + 3 * 8, 0x0068_0000_4000_0701);
        let space = ground.memory(&memory, None);
        let address = 0xffff_8000_0000_0000 + (3 << 29) + 0x1234_5678;
        assert_eq!(space.translate(VirtAddr::new(address)), Ok(PhysAddr::new(0x5234_5678)));
    }

    #[test]
    fn what_is_missing_or_not_supported_is_said() {
        let without = |name: &str| {
            let text: Vec<_> = INFO.lines().filter(|line| !line.contains(name)).collect();
            self::ground(&text.join("\n")).unwrap_err().to_string()
        };
        for name in ["swapper_pg_dir", "VA_BITS", "kimage_voffset", "PHYS_OFFSET"] {
            assert!(without(name).contains(name), "{}", without(name));
        }
        let odd = self::ground(&INFO.replace("PAGESIZE=4096", "PAGESIZE=8192")).unwrap_err().to_string();
        assert!(odd.contains("8 KiB"), "{odd}");
        let wild = self::ground(&INFO.replace("T1SZ)=0x10", "T1SZ)=0x50")).unwrap_err().to_string();
        assert!(wild.contains("TCR_EL1_T1SZ"), "{wild}");
    }
}
