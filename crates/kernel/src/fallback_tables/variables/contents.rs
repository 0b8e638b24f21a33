//! What of the image lies behind `_stext` without a gap: its code and all that is never written, in every kernel.

use vmcore_memory::{PAGE_SIZE, VirtAddr, le_u32};

use crate::address_space::AddressSpace;

/// As much as is looked through, in bytes: some 30 MiB are usual.
const MAX_CONTENTS: u64 = 128 << 20;

/// Bytes of the image, and the run-time address of the first.
pub(super) struct Contents {
    start: VirtAddr,
    bytes: Vec<u8>,
}

impl Contents {
    #[cfg(test)]
    pub(super) const fn new(start: VirtAddr, bytes: Vec<u8>) -> Self {
        Self { start, bytes }
    }

    /// From `start` on, at a page's beginning, as far as memory goes on as linear as the image is.
    pub(super) fn read(memory: &AddressSpace<'_>, start: VirtAddr) -> Self {
        let mut bytes = Vec::new();
        let first = memory.translate(start).ok();
        let mut page = [0; PAGE_SIZE as usize];
        for offset in (0..MAX_CONTENTS).step_by(page.len()) {
            let expected = first.and_then(|first| first.checked_add(offset));
            let found = start.checked_add(offset).and_then(|at| memory.translate(at).ok());
            let Some(at) = expected.filter(|_| found == expected) else { break };
            if memory.physical().read_physical(at, &mut page).is_err() {
                break;
            }
            bytes.extend(page);
        }
        Self { start, bytes }
    }

    /// All bytes from the run-time address `at` on.
    pub(super) fn from(&self, at: VirtAddr) -> Option<&[u8]> {
        let offset = at.get().checked_sub(self.start.get())?;
        self.bytes.get(usize::try_from(offset).ok()?..)
    }

    /// Every word with its run-time address.
    pub(super) fn words(&self) -> impl Iterator<Item = (VirtAddr, u32)> {
        let addresses = (0..).step_by(4).map(|offset| self.start.wrapping_add(offset));
        addresses.zip(self.bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)))
    }

    pub(super) fn word(&self, at: VirtAddr) -> Option<u32> {
        le_u32(self.from(at)?, 0)
    }

    /// The bytes from `at` on, up to the next zero.
    pub(super) fn c_string(&self, at: VirtAddr, max: usize) -> Option<&[u8]> {
        let bytes = self.from(at)?;
        let bytes = bytes.get(..max).unwrap_or(bytes);
        let end = bytes.iter().position(|&byte| byte == 0)?;
        bytes.get(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::image::IMAGE_BASE;
    use crate::test_memory::TestMemory;

    #[test]
    fn they_end_where_memory_does() {
        let mut physical = TestMemory::default();
        physical.put(0x5000, b"code");
        physical.put(0x6ff8, b"constant");
        physical.put(0x8000, b"behind a hole");
        let start = VirtAddr::new(IMAGE_BASE + 0x1000);
        let contents = Contents::read(&AddressSpace::image_only(&physical, 0x4000), start);
        assert_eq!(contents.bytes.len(), 0x2000);
        assert_eq!(contents.word(start), Some(u32::from_le_bytes(*b"code")));
        assert_eq!(contents.c_string(start, 8), Some(&b"code"[..]));
        assert_eq!(contents.c_string(start, 4), None, "too long");
        assert_eq!(contents.c_string(start.wrapping_add(0x1ff8), 99), None, "it does not end");
        assert_eq!(contents.words().count(), 0x800);
        assert_eq!(contents.from(start.wrapping_sub(1)), None);
        let nowhere = Contents::read(&AddressSpace::image_only(&physical, 0x4000), VirtAddr::new(IMAGE_BASE));
        assert_eq!(nowhere.words().count(), 0);
    }
}
