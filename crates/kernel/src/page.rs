//! `struct page`: what the kernel knows of one page frame.
//!
//! Frames are numbered; their `struct page`s form an array at `vmemmap_base`. A compound page (a transparent huge page,
//! say) has a head, whose flags, lock and reference count stand for all of it, and tails, which only point to the head:
//! bit 0 of `compound_head` marks a tail. Since 7.1 what tails hold is called `compound_info` and may be a mask.
//!
//! Source: `include/linux/mm_types.h`, `include/linux/page-flags.h`.

use vmcore_memory::{Pfn, ReadError, ReadVirtual, VirtAddr};

use crate::LayoutError;
use crate::layout::{Field, Resolver};

/// The flags, by the enumerators of `enum pageflags`: first what a wait for a page is about, then what kind of page it is.
/// Bits that mean something else to each user of a page (`PG_owner_priv_1`, `PG_checked`) are left out.
const FLAGS: [&str; 21] = [
    "PG_locked",
    "PG_writeback",
    "PG_waiters",
    "PG_head",
    "PG_uptodate",
    "PG_dirty",
    "PG_lru",
    "PG_active",
    "PG_referenced",
    "PG_workingset",
    "PG_swapbacked",
    "PG_unevictable",
    "PG_mlocked",
    "PG_anon_exclusive",
    "PG_hwpoison",
    "PG_reclaim",
    "PG_private",
    "PG_private_2",
    "PG_reserved",
    "PG_slab",
    "PG_error",
];

/// Offsets in `struct page`, and the numbers of the flags.
pub(crate) struct PageLayout {
    size: u64,
    flags: Field,
    compound_head: Field,
    refcount: Field,
    mapcount: Option<Field>,
    mapping: Option<Field>,
    flag_bits: Vec<(&'static str, u32)>,
}

impl PageLayout {
    pub(crate) fn resolve(types: Resolver<'_>) -> Result<Self, LayoutError> {
        let flag_bits = FLAGS.into_iter().filter_map(|name| {
            let bit = types.types().enumerator(name)?;
            Some((name, u32::try_from(bit).ok().filter(|&bit| bit < 64)?))
        });
        Ok(Self {
            size: types.size_of("page")?,
            // Wrapped in memdesc_flags_t by kernel commit 53fbef56e07d (6.18).
            flags: types.first(&[("page", "flags.f"), ("page", "flags")])?,
            // Renamed by kernel commit fc3f334ce2b9 (7.1).
            compound_head: types.first(&[("page", "compound_info"), ("page", "compound_head")])?,
            refcount: types.first(&[("page", "_refcount.counter"), ("page", "_refcount")])?,
            mapcount: types.optional("page", "_mapcount.counter"),
            mapping: types.optional("page", "mapping"),
            flag_bits: flag_bits.collect(),
        })
    }

    /// `sizeof(struct page)`, in bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The `struct page` of a frame.
    pub(crate) fn address(&self, vmemmap: VirtAddr, pfn: Pfn) -> Option<VirtAddr> {
        pfn.get().checked_mul(self.size).and_then(|offset| vmemmap.checked_add(offset))
    }

    /// The frame of a `struct page`.
    pub(crate) fn pfn(&self, vmemmap: VirtAddr, page: VirtAddr) -> Option<Pfn> {
        let offset = page.get().checked_sub(vmemmap.get())?;
        offset.is_multiple_of(self.size).then(|| Pfn::new(offset / self.size))
    }

    /// The head of the tail at `address` by its link; `None` where the link does not mark a tail.
    ///
    /// The link is the head's address or, where the size of `struct page` is a power of two, it may be a mask that makes
    /// the head's address of the tail's (kernel commit d6746190bbf3, 7.1, with the optimization of huge pages' `struct
    /// page`s). No head lies where its address would look like a mask: ones, then zeros.
    fn head(&self, address: VirtAddr, link: u64) -> Option<VirtAddr> {
        if link & 1 == 0 {
            return None;
        }
        let link = link & !1;
        let is_mask = self.size.is_power_of_two() && link.leading_ones() + link.trailing_zeros() == u64::BITS;
        Some(VirtAddr::new(if is_mask { address.get() & link } else { link }))
    }

    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        vmemmap: Option<VirtAddr>,
        address: VirtAddr,
    ) -> Result<Page, ReadError> {
        let flags = self.flags.read(memory, address)?;
        let link = self.compound_head.read(memory, address)?;
        let is_set = |bit: &u32| flags >> bit & 1 != 0;
        Ok(Page {
            address,
            pfn: vmemmap.and_then(|vmemmap| self.pfn(vmemmap, address)),
            flags,
            flag_names: self.flag_bits.iter().filter(|(_, bit)| is_set(bit)).map(|(name, _)| *name).collect(),
            refcount: self.refcount.read_i32(memory, address)?,
            mapcount: self.mapcount.and_then(|field| field.read_i32(memory, address).ok()),
            mapping: self.mapping.and_then(|field| field.read(memory, address).ok()),
            compound_head_raw: link,
            head: self.head(address, link),
        })
    }
}

/// One page as it was when the machine stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The address of its `struct page`.
    pub address: VirtAddr,
    /// Its frame, where the address lies in the array.
    pub pfn: Option<Pfn>,
    /// The raw `flags`.
    pub flags: u64,
    /// The enumerators of those flags that are of interest here and set.
    pub flag_names: Vec<&'static str>,
    /// `_refcount`. 0 for the tail of a compound page.
    pub refcount: i32,
    /// `_mapcount`: one less than the number of mappings.
    pub mapcount: Option<i32>,
    /// `mapping`, with its low tag bits: bit 0 marks anonymous memory.
    pub mapping: Option<u64>,
    /// The raw `compound_head` or `compound_info`; a list pointer in a head or an order-0 page.
    pub compound_head_raw: u64,
    /// The head's `struct page`, where this is a tail.
    pub head: Option<VirtAddr>,
}

impl Page {
    /// Whether the flag with this enumerator is set.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flag_names.contains(&flag)
    }

    /// Whether it is a tail of a compound page.
    #[must_use]
    pub const fn is_tail(&self) -> bool {
        self.head.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const VMEMMAP: VirtAddr = VirtAddr::new(0xffff_ea00_0000_0000);

    impl PageLayout {
        /// `struct page` of 6.1.
        pub(crate) fn for_tests() -> Self {
            Self {
                size: 64,
                flags: Field { offset: 0, size: 8 },
                compound_head: Field { offset: 8, size: 8 },
                refcount: Field { offset: 0x34, size: 4 },
                mapcount: Some(Field { offset: 0x30, size: 4 }),
                mapping: Some(Field { offset: 0x18, size: 8 }),
                flag_bits: vec![("PG_locked", 0), ("PG_waiters", 7), ("PG_reserved", 12), ("PG_head", 16)],
            }
        }

        /// Writes the `struct page` at `address` of a page that the kernel reserved at boot.
        pub(crate) fn put_reserved(&self, memory: &mut TestMemory, address: u64) {
            memory.put_u64(address + self.flags.offset, 1 << 12);
            memory.put_u32(address + self.refcount.offset, 1);
        }
    }

    fn layout() -> PageLayout {
        PageLayout::for_tests()
    }

    #[test]
    fn frames_and_addresses_are_the_same_thing() {
        let layout = layout();
        let address = layout.address(VMEMMAP, Pfn::new(0x39a36)).unwrap();
        assert_eq!(address, VMEMMAP.wrapping_add(0x39a36 * 64));
        assert_eq!(layout.pfn(VMEMMAP, address), Some(Pfn::new(0x39a36)));
        assert_eq!(layout.pfn(VMEMMAP, address.wrapping_add(8)), None, "not at the start of a page");
        assert_eq!(layout.pfn(VMEMMAP, VirtAddr::new(0x1000)), None);
        assert_eq!(layout.address(VMEMMAP, Pfn::new(u64::MAX)), None);
    }

    #[test]
    fn a_locked_head_and_its_tail() {
        let layout = layout();
        let head = layout.address(VMEMMAP, Pfn::new(0x39a00)).unwrap();
        let tail = layout.address(VMEMMAP, Pfn::new(0x39a36)).unwrap();
        let mut memory = TestMemory::default();
        memory.put_u64(head.get(), 1 << 63 | 1 << 16 | 1 << 7 | 1);
        memory.put_u64(head.get() + 8, 0xdead_0000_0000_0100);
        memory.put_u32(head.get() + 0x30, (-1i32).cast_unsigned());
        memory.put_u32(head.get() + 0x34, 4);
        memory.put_u64(tail.get() + 8, head.get() | 1);
        let page = layout.read(&memory, Some(VMEMMAP), head).unwrap();
        assert!(page.has("PG_locked") && page.has("PG_head") && !page.has("PG_lru"));
        assert_eq!((page.refcount, page.mapcount, page.is_tail()), (4, Some(-1), false));
        let page = layout.read(&memory, Some(VMEMMAP), tail).unwrap();
        assert_eq!((page.head, page.refcount, page.pfn), (Some(head), 0, Some(Pfn::new(0x39a36))));
        assert!(page.flag_names.is_empty());
    }

    #[test]
    fn a_link_may_be_a_mask() {
        let layout = layout();
        let head = layout.address(VMEMMAP, Pfn::new(0x39a00)).unwrap();
        let tail = layout.address(VMEMMAP, Pfn::new(0x39a36)).unwrap();
        // Of 512 pages of 64 bytes.
        let mask = !(512 * 64 - 1) | 1;
        assert_eq!(layout.head(tail, mask), Some(head));
        assert_eq!(layout.head(tail, head.get() | 1), Some(head));
        assert_eq!(layout.head(tail, mask & !1), None, "not marked as a tail");
        // A struct page of another size has no masks: their heads would not be aligned.
        let odd = PageLayout { size: 56, ..layout };
        assert_eq!(odd.head(tail, mask), Some(VirtAddr::new(mask & !1)));
    }

    #[test]
    fn a_page_outside_the_dump_is_an_error() {
        assert!(layout().read(&TestMemory::default(), Some(VMEMMAP), VMEMMAP).is_err());
    }
}
