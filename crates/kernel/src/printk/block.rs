//! Where a record's text is in the data ring of `struct printk_ringbuffer`.
//!
//! ```text
//! data block:  unsigned long id | text ... | padding to the size of id
//! ```
//!
//! A descriptor gives the block's logical positions `begin` and `next`, which only ever grow; the low `size_bits` bits
//! are the index in the ring, the others count wraps. A block that would cross the end of the ring leaves the rest of it
//! unused and lies at index 0. Since 6.19 (kernel commit 67e1b0052f6b) a block that ends exactly at the end does not
//! wrap; before, none ended there. Positions with bit 0 set say that there is no block.
//!
//! Source: `get_data` in `kernel/printk/printk_ringbuffer.c`.

/// `sizeof(unsigned long)`: the id before each text, and what blocks are aligned to.
pub(super) const ID_SIZE: u64 = 8;
/// `EMPTY_LINE_LPOS`, formerly `NO_LPOS`: there is no text because it is empty.
const EMPTY_LINE: u64 = 3;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The text is empty.
    Empty,
    /// There was no room for the text (`FAILED_LPOS`).
    Lost,
    /// The block's id is at `index` in the ring; there is room for `capacity` bytes of text behind it.
    At {
        /// Bytes from the start of the ring.
        index: u64,
        /// Bytes, padding included.
        capacity: u64,
    },
}

/// The block from `begin` to `next` in a ring of `1 << size_bits` bytes; `None` where no writer can have made it.
pub(super) fn locate(begin: u64, next: u64, size_bits: u32) -> Option<Block> {
    let is_dataless = |lpos: u64| lpos & 1 != 0;
    if is_dataless(begin) && is_dataless(next) {
        return Some(if begin == EMPTY_LINE && next == EMPTY_LINE { Block::Empty } else { Block::Lost });
    }
    let size = 1u64.checked_shl(size_bits)?;
    let index = |lpos: u64| lpos & (size - 1);
    let wrap = |lpos: u64| lpos >> size_bits;
    // `next` is behind the block and may be in the next wrap when the block is not.
    let last = next.wrapping_sub(1);
    let (start, len) = if wrap(begin) == wrap(last) {
        (index(begin), next.wrapping_sub(begin))
    } else if wrap(begin.wrapping_add(size)) == wrap(last) {
        (0, index(next))
    } else {
        return None;
    };
    let is_aligned = (start | len).is_multiple_of(ID_SIZE);
    let capacity = len.checked_sub(ID_SIZE).filter(|_| is_aligned && len <= size - start)?;
    Some(Block::At { index: start, capacity })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of 4 KiB.
    const BITS: u32 = 12;
    /// `BLK0_LPOS`: the first position of all, one ring before the overflow.
    const FIRST: u64 = 0u64.wrapping_sub(1 << BITS);

    fn at(index: u64, capacity: u64) -> Option<Block> {
        Some(Block::At { index, capacity })
    }

    #[test]
    fn blocks_in_one_wrap() {
        assert_eq!(locate(FIRST, FIRST + 24, BITS), at(0, 16));
        assert_eq!(locate(0x5010, 0x5030, BITS), at(0x10, 0x18));
    }

    #[test]
    fn a_block_that_does_not_fit_lies_at_the_start() {
        assert_eq!(locate(0x5ff0, 0x6020, BITS), at(0, 0x18));
        assert_eq!(locate(FIRST + 0xff0, 0x20, BITS), at(0, 0x18), "positions overflow");
    }

    #[test]
    fn a_block_may_end_at_the_end() {
        assert_eq!(locate(0x5fe0, 0x6000, BITS), at(0xfe0, 0x18));
        assert_eq!(locate(FIRST + 0xfe0, 0, BITS), at(0xfe0, 0x18), "positions overflow");
    }

    #[test]
    fn records_without_a_block() {
        assert_eq!(locate(3, 3, BITS), Some(Block::Empty));
        assert_eq!(locate(1, 1, BITS), Some(Block::Lost));
    }

    #[test]
    fn impossible_blocks() {
        for (begin, next) in [
            (0x5010, 0x5010),
            (0x5000, 0x5000),
            (0x5018, 0x5010),
            (0x5010, 0x7010),
            (0x5011, 0x5020),
            (0x5010, 0x5021),
            (0x5010, 0x5014),
            (0x5ff0, 0x6004),
            (0x5ff0, 0x7000),
        ] {
            assert_eq!(locate(begin, next, BITS), None, "{begin:#x} {next:#x}");
        }
        assert_eq!(locate(0, 8, 64), None);
    }
}
