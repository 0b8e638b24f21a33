//! Bitmaps with one bit per page frame, and the number of set bits before any of them.
//!
//! A page's descriptor is found by its rank: how many frames before it are in the dump. Counting from the start would
//! make every read cost as much as the machine is large, so counts are kept for every 1024 frames: 4 bytes each, next
//! to 8 bytes for every million, which is 13 MiB for 12 TiB of memory. What is left to count is 128 bytes.
//!
//! The counts are made when the first page is wanted, by as many threads as the pool has, each reading its part in
//! larger pieces outside the mapping.

use std::thread;

use crate::bytes::FileBytes;

/// Frames per count. Their bits are two cache lines.
const BLOCK: u64 = 1024;
const BLOCK_BYTES: usize = (BLOCK / 8) as usize;
/// Blocks per 64-bit count: few enough that the counts between fit in 32 bits.
const BLOCKS_PER_SUPER: usize = 1024;
/// How much of the bitmap is read at a time: what stays in a core's own cache. Reading 800 MiB of bitmaps took 0.08 s of
/// processor time like this, and 0.32 s a MiB at a time.
const CHUNK_BYTES: usize = 1 << 17;
/// Most of a bitmap is long runs of one value, which are compared this much at a time before single bits are looked at.
const PIECE_BYTES: usize = 4096;
const ZEROES: &[u8] = &[0; PIECE_BYTES];
const ONES: &[u8] = &[0xff; PIECE_BYTES];
/// A thread is not worth starting for less.
const MIN_BYTES_PER_THREAD: u64 = 4 << 20;
const MAX_THREADS: usize = 16;

/// A bitmap in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bitmap {
    /// Where its first byte is.
    pub(super) offset: u64,
    /// How many bits it has.
    pub(super) bits: u64,
}

/// The file ends before this offset of it, where a bitmap should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) u64);

impl Bitmap {
    /// The bit of frame `pfn`; clear beyond the end.
    pub(super) fn get(&self, file: &FileBytes, pfn: u64) -> Result<bool, Missing> {
        if pfn >= self.bits {
            return Ok(false);
        }
        let at = self.offset + pfn / 8;
        let mut byte = [0];
        file.read(at, &mut byte).ok_or(Missing(at))?;
        let [byte] = byte;
        Ok(byte >> (pfn % 8) & 1 == 1)
    }

    /// One past its last byte in the file.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes()
    }

    fn bytes(&self) -> u64 {
        self.bits.div_ceil(8)
    }

    /// The number of set bits, of those that are in the file.
    pub(super) fn count(&self, file: &FileBytes) -> u64 {
        Ranks::new(file, *self).total()
    }

    /// Calls `run(start, end)` for each run of set bits, in order, until it returns `false` or the file ends.
    pub(super) fn runs(&self, file: &FileBytes, mut run: impl FnMut(u64, u64) -> bool) {
        let mut start = None;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut done = 0;
        let present = file.present(self.offset, self.bytes());
        while done < present {
            let len = chunk_len(present - done);
            let Some(chunk) = chunk.get_mut(..len) else { return };
            if file.read_apart(self.offset + done, chunk).is_none() {
                break;
            }
            for (index, piece) in chunk.chunks(PIECE_BYTES).enumerate() {
                // Pieces that only continue what is.
                if piece == if start.is_some() { ONES } else { ZEROES } {
                    continue;
                }
                let first = (done + (index * PIECE_BYTES) as u64) * 8;
                for (pfn, set) in (first..).zip(bits(piece)).take_while(|&(pfn, _)| pfn < self.bits) {
                    match start {
                        None if set => start = Some(pfn),
                        Some(first) if !set => {
                            start = None;
                            if !run(first, pfn) {
                                return;
                            }
                        }
                        _ => {}
                    }
                }
            }
            done += len as u64;
        }
        if let Some(first) = start {
            run(first, self.bits.min(done * 8));
        }
    }
}

/// How many bits are set before each block of frames.
#[derive(Debug)]
pub(super) struct Ranks {
    bitmap: Bitmap,
    /// Set bits before the block, from the start of its superblock on.
    blocks: Vec<u32>,
    /// Set bits before the superblock.
    supers: Vec<u64>,
    total: u64,
    /// Where the file ends before the bitmap does, if so: no frame beyond has a known rank.
    missing: Option<Missing>,
}

impl Ranks {
    /// Counts the bits of `bitmap`.
    pub(super) fn new(file: &FileBytes, bitmap: Bitmap) -> Self {
        // Blocks that are not in the file need no counts; a wrong length must not cost memory.
        let present = file.present(bitmap.offset, bitmap.bytes());
        let block_count = usize::try_from(present.div_ceil(BLOCK_BYTES as u64)).unwrap_or(0);
        let mut blocks = vec![0; block_count];
        let readable = count_blocks(file, bitmap, present, &mut blocks);

        // From counts to sums.
        let mut supers = Vec::with_capacity(block_count.div_ceil(BLOCKS_PER_SUPER));
        let mut total = 0;
        for blocks in blocks.chunks_mut(BLOCKS_PER_SUPER) {
            supers.push(total);
            let mut in_super = 0;
            for block in blocks {
                in_super += std::mem::replace(block, in_super);
            }
            total += u64::from(in_super);
        }
        let missing = (readable < bitmap.bytes()).then_some(Missing(bitmap.offset + readable));
        Self { bitmap, blocks, supers, total, missing }
    }

    /// The number of set bits, of those that are in the file.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Where the bitmap ends too early, if it does.
    pub(super) fn missing(&self) -> Option<Missing> {
        self.missing
    }

    /// The number of set bits before that of frame `pfn`.
    pub(super) fn before(&self, file: &FileBytes, pfn: u64) -> Result<u64, Missing> {
        let pfn = pfn.min(self.bitmap.bits);
        if let Some(missing) = self.missing
            && self.bitmap.offset + pfn / 8 >= missing.0
        {
            return Err(missing);
        }
        let block = usize::try_from(pfn / BLOCK).unwrap_or(usize::MAX);
        let counted = self.supers.get(block / BLOCKS_PER_SUPER).zip(self.blocks.get(block));
        let Some((&in_supers, &in_blocks)) = counted else { return Ok(self.total) };
        let at = self.bitmap.offset + pfn / BLOCK * BLOCK_BYTES as u64;
        let bits = pfn % BLOCK;
        let bytes = file.slice(at, bits.div_ceil(8)).ok_or(Missing(at))?;
        Ok(in_supers + u64::from(in_blocks) + count_ones(&bytes, bits))
    }
}

/// Counts the bits of each block of the first `present` bytes of the bitmap; returns how many bytes could be read.
fn count_blocks(file: &FileBytes, bitmap: Bitmap, present: u64, blocks: &mut [u32]) -> u64 {
    // As many as the pool has, which the user may have asked to be one.
    let allowed = rayon::current_num_threads().clamp(1, MAX_THREADS) as u64;
    let threads = (present / MIN_BYTES_PER_THREAD).clamp(1, allowed);
    // Each thread has a whole number of blocks.
    let share = usize::try_from((blocks.len() as u64).div_ceil(threads).max(1)).unwrap_or(usize::MAX);
    let count_share = |index: usize, blocks: &mut [u32]| {
        let start = (index * share * BLOCK_BYTES) as u64;
        let len = present.saturating_sub(start).min((blocks.len() * BLOCK_BYTES) as u64);
        let valid = bitmap.bits - (start * 8).min(bitmap.bits);
        start + count_range(file, bitmap.offset + start, len, valid, blocks)
    };
    let ends: Vec<u64> = if threads == 1 {
        vec![count_share(0, blocks)]
    } else {
        thread::scope(|scope| {
            let shares = blocks.chunks_mut(share).enumerate();
            let workers: Vec<_> =
                shares.map(|(index, blocks)| scope.spawn(move || count_share(index, blocks))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or(0)).collect()
        })
    };
    // The first share that was cut short ends it all.
    let wanted = |index: usize| present.min(((index + 1) * share * BLOCK_BYTES) as u64);
    let cut = ends.iter().enumerate().find(|&(index, &end)| end < wanted(index));
    cut.map_or(present, |(_, &end)| end)
}

/// Counts `len` bytes of the bitmap at `offset`, of which the first `valid` bits count; returns how many could be read.
fn count_range(file: &FileBytes, offset: u64, len: u64, valid: u64, blocks: &mut [u32]) -> u64 {
    let mut chunk = vec![0; chunk_len(len)];
    let mut done = 0;
    for blocks in blocks.chunks_mut(CHUNK_BYTES / BLOCK_BYTES) {
        let Some(chunk) = chunk.get_mut(..chunk_len(len - done)) else { break };
        if file.read_apart(offset + done, chunk).is_none() {
            break;
        }
        let pieces = blocks.chunks_mut(PIECE_BYTES / BLOCK_BYTES).zip(chunk.chunks(PIECE_BYTES));
        for (index, (blocks, piece)) in pieces.enumerate() {
            let first_bit = (done + (index * PIECE_BYTES) as u64) * 8;
            let valid = valid.saturating_sub(first_bit);
            if piece == ZEROES {
                blocks.fill(0);
            } else if piece == ONES && valid >= PIECE_BYTES as u64 * 8 {
                blocks.fill(BLOCK as u32);
            } else {
                for ((block, bytes), before) in blocks.iter_mut().zip(piece.chunks(BLOCK_BYTES)).zip(0..) {
                    let bits = valid.saturating_sub(before * BLOCK).min(BLOCK);
                    *block = u32::try_from(count_ones(bytes, bits)).unwrap_or_default();
                }
            }
        }
        done += chunk.len() as u64;
    }
    done
}

fn chunk_len(left: u64) -> usize {
    usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)
}

/// Each bit of `bytes`, the lowest of each byte first.
fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|&byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
}

/// The set ones of the first `bits` bits of `bytes`.
fn count_ones(bytes: &[u8], bits: u64) -> u64 {
    let whole = usize::try_from(bits / 8).unwrap_or(usize::MAX).min(bytes.len());
    let (whole, rest) = bytes.split_at(whole);
    let (words, tail) = whole.as_chunks::<8>();
    let words: u32 = words.iter().map(|&word| u64::from_le_bytes(word).count_ones()).sum();
    let tail: u32 = tail.iter().map(|byte| byte.count_ones()).sum();
    let last = rest.first().map_or(0, |&byte| (byte & !(0xff << (bits % 8) as u32)).count_ones());
    u64::from(words) + u64::from(tail) + u64::from(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mmap::Mapping;
    use crate::stored::Stored;
    use crate::test_support::file;

    fn mapped(bytes: &[u8]) -> FileBytes {
        FileBytes::Plain(Stored::Mapped(Mapping::open(file(bytes).path()).unwrap()))
    }

    fn bit(bytes: &[u8], pfn: u64) -> bool {
        bytes[pfn as usize / 8] >> (pfn % 8) & 1 == 1
    }

    #[test]
    fn ranks_across_threads_and_superblocks() {
        // 9 MiB of bits: several threads, many superblocks.
        let mut state = 1u64;
        let bytes: Vec<u8> = (0..9 << 20)
            .map(|index: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if index % 70_000 < 30_000 { (state >> 56) as u8 } else { 0xff }
            })
            .collect();
        let file = mapped(&bytes);
        let bitmap = Bitmap { offset: 0, bits: bytes.len() as u64 * 8 - 3 };
        let ranks = Ranks::new(&file, bitmap);
        let mut expected = 0;
        for pfn in 0..bitmap.bits {
            if pfn % 4099 == 0 {
                assert_eq!(ranks.before(&file, pfn), Ok(expected), "{pfn}");
            }
            expected += u64::from(bit(&bytes, pfn));
        }
        assert_eq!((ranks.total(), ranks.missing()), (expected, None));
        assert_eq!(ranks.before(&file, u64::MAX), Ok(expected));
        assert_eq!(bitmap.count(&file), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn against_counting_one_by_one(
            runs in prop::collection::vec((prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 1..3000usize), 1..9),
            offset in 0..9u64,
            bits in 0..100_000u64,
        ) {
            let bytes: Vec<u8> = runs.into_iter().flat_map(|(byte, len)| vec![byte; len]).collect();
            let file = mapped(&bytes);
            let bitmap = Bitmap { offset, bits };
            let ranks = Ranks::new(&file, bitmap);
            let mut runs = Vec::new();
            bitmap.runs(&file, |start, end| { runs.push(start..end); true });
            let mut in_run = vec![false; bits as usize];
            for run in &runs {
                in_run[run.start as usize..run.end as usize].fill(true);
            }

            let in_file = bits.min((bytes.len() as u64).saturating_sub(offset) * 8);
            let set: Vec<bool> = (0..bits).map(|pfn| pfn < in_file && bit(&bytes, offset * 8 + pfn)).collect();
            prop_assert!(in_run == set, "runs differ");
            let mut expected = 0;
            for (pfn, &set) in set.iter().enumerate() {
                let (pfn, is_known) = (pfn as u64, (pfn as u64) < in_file);
                if pfn % 61 == 0 || pfn.abs_diff(in_file) < 9 {
                    let before = if is_known { Ok(expected) } else { Err(Missing(offset.max(bytes.len() as u64))) };
                    prop_assert_eq!(ranks.before(&file, pfn), before);
                    let get = if is_known { Ok(set) } else { Err(Missing(offset + pfn / 8)) };
                    prop_assert_eq!(bitmap.get(&file, pfn), get);
                }
                expected += u64::from(set);
            }
            prop_assert_eq!(ranks.missing().is_some(), in_file < bits);
            prop_assert_eq!(ranks.total(), expected);
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
