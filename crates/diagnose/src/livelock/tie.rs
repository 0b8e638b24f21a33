//! What can tie a splitter to what a spinner waits for.

use vmcore_memory::VirtAddr;

use super::spinner::Candidate;
use crate::Reader;

/// How a splitter is tied to what a spinner waits for, from strong to weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tie {
    /// The head's `struct page` is in its stack frames.
    Head(VirtAddr),
    /// It belongs to the same process, and an address in the spinner's huge page, which begins there, is in its stack
    /// frames.
    Range(VirtAddr, u64),
    /// It belongs to the same process.
    SameMm(VirtAddr),
}

impl Tie {
    /// Whether it ties the two by the page, and not only by the process.
    pub(super) const fn is_strong(self) -> bool {
        matches!(self, Self::Head(_) | Self::Range(..))
    }

    /// The page that a spinner waits for, as a tie.
    pub(super) fn by_head(spinner: &Candidate) -> Option<Self> {
        spinner.spinner.head_page.map(Self::Head)
    }

    /// The range of its process.
    pub(super) fn by_range(spinner: &Candidate, reader: &dyn Reader) -> Option<Self> {
        Some(Self::range(spinner.mm?, spinner.spinner.address?.get(), reader.huge_page_size()))
    }

    /// Its process.
    pub(super) fn by_mm(spinner: &Candidate) -> Option<Self> {
        spinner.mm.map(Self::SameMm)
    }

    /// The range of `huge_page` bytes that an address of a process is in.
    pub(super) const fn range(mm: VirtAddr, address: u64, huge_page: u64) -> Self {
        Self::Range(mm, address & !(huge_page - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::nothing_is_there;

    /// A machine whose pages have so many bits of offset.
    struct Pages(u32);

    impl Reader for Pages {
        nothing_is_there! { pages addresses members memory }

        fn page_shift(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn a_huge_page_is_as_large_as_the_kernels_pages_make_it() {
        let sizes = [12, 14, 16].map(|shift| Pages(shift).huge_page_size());
        assert_eq!(sizes, [2 << 20, 32 << 20, 512 << 20]);
        let (mm, start) = (VirtAddr::new(0xffff_0000_0123_4000), 0xffff_a200_0000);
        let [small, large, _] = sizes.map(|size| Tie::range(mm, start + (17 << 20), size));
        assert_eq!(large, Tie::range(mm, start, sizes[1]), "both in one of 32 MiB");
        assert_ne!(small, Tie::range(mm, start, sizes[0]));
    }
}
