//! Where the array of `struct page` lies.
//!
//! ```text
//! 5.18 and later   VMCOREINFO says it: VMEMMAP_START (kernel commit 2369f171d5c5), or the array itself, vmemmap
//! 5.11 and later   -(1 << (VA_BITS - PAGE_SHIFT + STRUCT_PAGE_MAX_SHIFT)) (8c96400d6a39)
//! 5.4 to 5.10      -VMEMMAP_SIZE - 2 MiB (14c127c957c1), one struct page for each page of the direct map; up to 5.9 in the
//!                  variable vmemmap, moved where the machine has fewer bits than the kernel (c8b6d2ccf9b1)
//! before 5.4       PAGE_OFFSET - (1 << (VA_BITS - PAGE_SHIFT - 1 + STRUCT_PAGE_MAX_SHIFT)), PAGE_OFFSET being the upper
//!                  half of the kernel's addresses
//! ```
//!
//! All but the variable, and `vmemmap` in VMCOREINFO, begin with the page that the direct map begins with. What VMCOREINFO
//! does not say is believed where it has the kernel image's own pages: they are reserved and have one reference, from
//! boot on.
//!
//! Source: `arch/arm64/include/asm/memory.h`, `pgtable.h`, `arch/arm64/mm/init.c`.

use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{Pfn, ReadVirtual, VirtAddr};

use crate::page::PageLayout;

/// `VA_BITS_MIN` of a kernel for 52 bits: what it has on a machine without them.
const MIN_LARGE_VA_BITS: u32 = 48;

/// The array of `struct page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vmemmap {
    /// Where it begins, with the page that the direct map begins with.
    OfTheFirst(VirtAddr),
    /// Where the page of frame 0 would be.
    OfFrameZero(VirtAddr),
}

impl Vmemmap {
    pub(super) fn described(info: &Vmcoreinfo) -> Option<Self> {
        let start = info.number("VMEMMAP_START").map(|start| Self::OfTheFirst(VirtAddr::new(start.cast_unsigned())));
        start.or_else(|| info.symbol("vmemmap").map(Self::OfFrameZero))
    }

    /// Where the `struct page` of frame 0 would be. `first` is the frame that the direct map begins with, below 0 modulo
    /// 2^64, and `size` that of a `struct page` in bytes.
    pub(super) const fn frame_zero(self, first: u64, size: u64) -> VirtAddr {
        match self {
            Self::OfFrameZero(address) => address,
            Self::OfTheFirst(address) => address.wrapping_sub(first.wrapping_mul(size)),
        }
    }

    /// Where kernels have it that do not say so, the newest first.
    fn computed(va_bits: u32, page_shift: u32, size: u64) -> [Self; 3] {
        const GAP: u64 = 2 << 20;
        // STRUCT_PAGE_MAX_SHIFT
        let page_struct_shift = size.checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
        let span = |bits: u32| 1u64.checked_shl((bits + page_struct_shift).saturating_sub(page_shift)).unwrap_or(0);
        let of_direct_map = span(va_bits).wrapping_sub(span(va_bits.min(MIN_LARGE_VA_BITS) - 1));
        let upper_half = u64::MAX << (va_bits - 1);
        let starts = [
            span(va_bits).wrapping_neg(),
            of_direct_map.wrapping_neg().wrapping_sub(GAP),
            upper_half.wrapping_sub(span(va_bits - 1)),
        ];
        starts.map(|start| Self::OfTheFirst(VirtAddr::new(start)))
    }
}

/// What is known of a kernel whose array is looked for.
pub(super) struct Search<'a, M: ?Sized> {
    pub(super) memory: &'a M,
    pub(super) layout: &'a PageLayout,
    pub(super) va_bits: u32,
    pub(super) page_shift: u32,
    /// The frame that the direct map begins with.
    pub(super) first_frame: u64,
    /// Frames of the kernel image that are in use for ever.
    pub(super) image: &'a [Pfn],
}

impl<M: ReadVirtual + ?Sized> Search<'_, M> {
    /// Where the `struct page` of frame 0 would be, by the kernel's `variable` or else as kernels compute it; `None` where
    /// nothing there looks like the image's pages.
    pub(super) fn find(&self, variable: Option<VirtAddr>) -> Option<VirtAddr> {
        let size = self.layout.size();
        let variable = variable.and_then(|at| self.memory.read_u64(at).ok()).map(VirtAddr::new);
        let computed = Vmemmap::computed(self.va_bits, self.page_shift, size);
        let places = variable.map(Vmemmap::OfFrameZero).into_iter().chain(computed);
        places.map(|place| place.frame_zero(self.first_frame, size)).find(|&start| self.has_image(start))
    }

    fn has_image(&self, vmemmap: VirtAddr) -> bool {
        let is_reserved = |&frame: &Pfn| {
            let address = vmemmap.wrapping_add(frame.get().wrapping_mul(self.layout.size()));
            let page = self.layout.read(self.memory, Some(vmemmap), address);
            page.is_ok_and(|page| page.has("PG_reserved") && page.refcount == 1 && page.head.is_none())
        };
        !self.image.is_empty() && self.image.iter().all(is_reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    /// As in 5.10 and 4.19 with pages of 4 KiB and 48 bits, in a machine with memory from `0x4000_0000` on.
    const FIRST_FRAME: u64 = 0x4_0000;
    const IMAGE: [Pfn; 2] = [Pfn::new(0x4_1234), Pfn::new(0x4_2345)];

    fn search(memory: &TestMemory, variable: Option<u64>) -> Option<u64> {
        let layout = PageLayout::for_tests();
        let search =
            Search { memory, layout: &layout, va_bits: 48, page_shift: 12, first_frame: FIRST_FRAME, image: &IMAGE };
        search.find(variable.map(VirtAddr::new)).map(VirtAddr::get)
    }

    /// Reserved pages of the image in an array with the page of frame 0 at `start`.
    fn memory(start: u64) -> TestMemory {
        let mut memory = TestMemory::default();
        for frame in IMAGE {
            let page = PageLayout::for_tests();
            page.put_reserved(&mut memory, start.wrapping_add(frame.get() * page.size()));
        }
        memory
    }

    #[test]
    fn where_kernels_have_it() {
        let computed =
            |va_bits, page_shift| Vmemmap::computed(va_bits, page_shift, 64).map(|place| place.frame_zero(0, 64).get());
        // The second is that of a real 5.10.
        assert_eq!(computed(48, 12), [0xffff_fc00_0000_0000, 0xffff_fdff_ffe0_0000, 0xffff_7e00_0000_0000]);
        assert_eq!(computed(39, 12), [0xffff_fffe_0000_0000, 0xffff_fffe_ffe0_0000, 0xffff_ffbf_0000_0000]);
        assert_eq!(computed(42, 16), [0xffff_ffff_0000_0000, 0xffff_ffff_7fe0_0000, 0xffff_fdff_8000_0000]);
        assert_eq!(computed(52, 16)[0], 0xffff_fc00_0000_0000);
        // A structure of 56 bytes is given room for 64.
        assert_eq!(Vmemmap::computed(48, 12, 56), Vmemmap::computed(48, 12, 64));
    }

    #[test]
    fn the_place_that_has_the_images_pages_is_taken() {
        for start in [0xffff_fc00_0000_0000u64, 0xffff_fdff_ffe0_0000, 0xffff_7e00_0000_0000] {
            let frame_zero = start - FIRST_FRAME * 64;
            assert_eq!(search(&memory(frame_zero), None), Some(frame_zero));
        }
        let (variable, frame_zero) = (0xffff_8000_1150_0000, 0xffff_f9ff_fee0_0000);
        let mut memory = memory(frame_zero);
        assert_eq!(search(&memory, Some(variable)), None, "the variable cannot be read");
        memory.put_u64(variable, frame_zero);
        assert_eq!(search(&memory, Some(variable)), Some(frame_zero));
        memory.put_u64(variable, frame_zero + 64);
        assert_eq!(search(&memory, Some(variable)), None, "one page further on nothing is reserved");
    }

    #[test]
    fn pages_that_the_image_cannot_have_are_believed_nowhere() {
        let frame_zero = 0xffff_fc00_0000_0000 - FIRST_FRAME * 64;
        assert_eq!(search(&TestMemory::default(), None), None);
        let mut memory = memory(frame_zero);
        // The second page is free.
        let second = frame_zero + IMAGE[1].get() * 64;
        memory.put(second, &[0; 64]);
        assert_eq!(search(&memory, None), None);
    }

    proptest::proptest! {
        #[test]
        fn any_numbers_are_survived(va_bits in 36u32..=52, page_shift in 12u32..=16, size: u64, first: u64) {
            for place in Vmemmap::computed(va_bits, page_shift, size) {
                let _ = place.frame_zero(first, size);
            }
        }
    }
}
