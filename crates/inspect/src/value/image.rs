//! The bytes of an object, read once, page by page: one page that is missing costs only the members in it.

use std::ops::Range;

use vmcore_kernel::Kernel;
use vmcore_memory::{PAGE_SIZE, ReadVirtual, VirtAddr};

/// The largest object that is read: larger arrays are cut.
pub(super) const MAX_OBJECT: u64 = 1 << 20;

/// Bytes of an object, some of which may be missing.
pub(super) struct Image {
    /// Where the object is.
    pub(super) base: VirtAddr,
    bytes: Vec<u8>,
    missing: Vec<(Range<u64>, String)>,
}

impl Image {
    /// Reads `size` bytes at `base`, at most [`MAX_OBJECT`].
    pub(super) fn read(kernel: &Kernel<'_>, base: VirtAddr, size: u64) -> Self {
        let mut bytes = vec![0; usize::try_from(size.min(MAX_OBJECT)).unwrap_or_default()];
        let mut missing = Vec::new();
        let mut done = 0u64;
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let at = base.wrapping_add(done);
            let in_page = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1).min(rest.len());
            let (now, later) = rest.split_at_mut(in_page);
            let end = done.saturating_add(now.len() as u64);
            if let Err(error) = kernel.memory().read_virtual(at, now) {
                missing.push((done..end, error.to_string()));
            }
            (rest, done) = (later, end);
        }
        Self { base, bytes, missing }
    }

    /// The bytes of a member; where some of them could not be read, the reason.
    pub(super) fn get(&self, offset: u64, size: u64) -> Result<&[u8], String> {
        let end = offset.saturating_add(size);
        if let Some((_, why)) = self.missing.iter().find(|(range, _)| range.start < end && offset < range.end) {
            return Err(why.clone());
        }
        let range = usize::try_from(offset).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        self.bytes.get(range).ok_or_else(|| "it is beyond what is read of one object".to_owned())
    }
}
