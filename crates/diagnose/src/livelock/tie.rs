//! What can tie a splitter to what a spinner waits for.

use vmcore_memory::VirtAddr;

use super::spinner::Candidate;
use super::waited_page::HUGE_PAGE;

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
    pub(super) fn by_range(spinner: &Candidate) -> Option<Self> {
        Some(Self::range(spinner.mm?, spinner.spinner.address?.get()))
    }

    /// Its process.
    pub(super) fn by_mm(spinner: &Candidate) -> Option<Self> {
        spinner.mm.map(Self::SameMm)
    }

    /// The range that an address of a process is in.
    pub(super) const fn range(mm: VirtAddr, address: u64) -> Self {
        Self::Range(mm, address & !(HUGE_PAGE - 1))
    }
}
