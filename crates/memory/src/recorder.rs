//! Noting which pages an analysis reads, so that just those can be kept.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::{PAGE_SIZE, Pfn, PhysAddr, ReadError, ReadPhysical};

/// Physical memory that remembers the frames of every successful read.
pub struct PageRecorder<'a> {
    inner: &'a dyn ReadPhysical,
    pages: Mutex<BTreeSet<Pfn>>,
}

impl<'a> PageRecorder<'a> {
    /// Puts a recorder in front of `inner`.
    #[must_use]
    pub fn new(inner: &'a dyn ReadPhysical) -> Self {
        Self { inner, pages: Mutex::new(BTreeSet::new()) }
    }

    /// The frames read so far, ascending.
    #[must_use]
    pub fn pages(&self) -> Vec<Pfn> {
        // A reader that panicked has not left the set half-changed.
        let pages = self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pages.iter().copied().collect()
    }

    fn record(&self, address: PhysAddr, len: usize) {
        let Some(last) = (len as u64).checked_sub(1).and_then(|last| address.checked_add(last)) else { return };
        let mut pages = self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pages.extend((address.pfn().get()..=last.pfn().get()).map(Pfn::new));
    }
}

impl ReadPhysical for PageRecorder<'_> {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read_physical(address, buf)?;
        self.record(address, buf.len());
        Ok(())
    }
}

/// The bytes of one frame, or `None` where the memory does not have the whole of it.
pub fn read_page<M: ReadPhysical + ?Sized>(memory: &M, pfn: Pfn) -> Option<Vec<u8>> {
    let mut page = vec![0; PAGE_SIZE as usize];
    memory.read_physical(pfn.phys_addr()?, &mut page).ok()?;
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four pages from address 0 on.
    struct Small;

    impl ReadPhysical for Small {
        fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let end = address.get().saturating_add(buf.len() as u64);
            if end > 4 * PAGE_SIZE { Err(ReadError::NotInDump { address }) } else { Ok(()) }
        }
    }

    #[test]
    fn only_pages_that_were_read_are_kept() {
        let recorder = PageRecorder::new(&Small);
        recorder.read_physical(PhysAddr::new(0x1ffc), &mut [0; 8]).unwrap();
        recorder.read_physical(PhysAddr::new(0x10), &mut []).unwrap();
        recorder.read_physical(PhysAddr::new(0x5000), &mut [0; 8]).unwrap_err();
        assert_eq!(recorder.pages(), [Pfn::new(1), Pfn::new(2)]);
    }
}
