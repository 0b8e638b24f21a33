//! The words of a stack, for what lies in its frames without any debug information saying where.

use vmcore_memory::{PAGE_SIZE, VirtAddr, le_u64};

use crate::Stack;

/// How much of a stack is searched: no kernel stack is larger.
const MAX_STACK: u64 = 64 << 10;
/// The registers that `__switch_to_asm` saved lie just below the first frame.
const SAVED_BELOW: u64 = 64;

/// The aligned words from `low` to `high`, with their addresses; 64 KiB at most. `read` fills a buffer with what is at an
/// address, and says whether it could: pages that cannot be read are left out.
pub fn words_between(
    low: VirtAddr,
    high: VirtAddr,
    read: impl Fn(VirtAddr, &mut [u8]) -> bool,
) -> Vec<(VirtAddr, u64)> {
    let low = low.get() & !7;
    let high = high.get().min(low.saturating_add(MAX_STACK));
    let mut words = Vec::new();
    let mut at = low;
    while at < high {
        let end = high.min((at & !(PAGE_SIZE - 1)).saturating_add(PAGE_SIZE));
        let mut chunk = vec![0; usize::try_from(end - at).unwrap_or_default()];
        if read(VirtAddr::new(at), &mut chunk) {
            let word = |offset: usize| Some((VirtAddr::new(at.wrapping_add(offset as u64)), le_u64(&chunk, offset)?));
            words.extend((0..chunk.len()).step_by(8).filter_map(word));
        }
        at = end;
    }
    words
}

/// Where the words begin that a task saved when it was scheduled out: below the first frame of its stack. `None` for a
/// stack without frames.
#[must_use]
pub fn saved_words_begin(stack: &Stack) -> Option<VirtAddr> {
    Some(stack.frames.first()?.sp.wrapping_sub(SAVED_BELOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(low: u64, high: u64, missing: u64) -> Vec<u64> {
        let read = |at: VirtAddr, _: &mut [u8]| at.get() & !0xfff != missing;
        words_between(VirtAddr::new(low), VirtAddr::new(high), read).iter().map(|(at, _)| at.get()).collect()
    }

    #[test]
    fn whole_aligned_words_of_the_pages_that_can_be_read() {
        assert_eq!(addresses(0x1ff3, 0x2010, 0), [0x1ff0, 0x1ff8, 0x2000, 0x2008]);
        assert_eq!(addresses(0x1ff0, 0x2014, 0x1000), [0x2000, 0x2008]);
        assert!(addresses(0x2000, 0x1000, 0).is_empty());
        assert_eq!(addresses(u64::MAX - 15, u64::MAX, 0), [u64::MAX - 15]);
        assert_eq!(addresses(0x1000, 1 << 40, 0).len(), 8192);
    }
}
