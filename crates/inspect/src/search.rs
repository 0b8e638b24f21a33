//! A value or text looked for in all memory, as `search` shows it: who holds a pointer to this lock, this page, this
//! task?

use memchr::memmem;
use vmcore_kernel::Kernel;
use vmcore_memory::{PhysAddr, VirtAddr, le_uint};

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needle {
    /// A number at an address that is a multiple of its width.
    Value {
        /// The number.
        value: u64,
        /// Bits that do not count.
        mask: u64,
        /// Bytes: 2, 4 or 8.
        width: usize,
    },
    /// Bytes anywhere, not over the end of a page.
    Text(Vec<u8>),
}

/// A place where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// In physical memory.
    pub physical: PhysAddr,
    /// In the kernel's direct map.
    pub address: Option<VirtAddr>,
    /// The number, or 0 for text.
    pub value: u64,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchResult {
    /// Where it was found, by physical address.
    pub hits: Vec<Hit>,
    /// Whether there were more than were asked for.
    pub more: bool,
    /// Pages that were looked at.
    pub pages: u64,
}

/// Looks through all memory that is in the dump; at most `limit` places are given.
#[must_use]
pub fn search(kernel: &Kernel<'_>, needle: &Needle, limit: usize) -> SearchResult {
    let in_page = |start: PhysAddr, bytes: &[u8]| -> Vec<Hit> {
        let hit = |(offset, value): (usize, u64)| {
            let physical = start.checked_add(offset as u64)?;
            Some(Hit { physical, address: kernel.memory().direct_map_address(physical), value })
        };
        find(needle, bytes).into_iter().filter_map(hit).collect()
    };
    let (mut hits, pages) = kernel.scan_pages(limit, in_page);
    let more = hits.len() > limit;
    hits.truncate(limit);
    SearchResult { hits, more, pages }
}

/// Offsets in `bytes`, with the number there.
fn find(needle: &Needle, bytes: &[u8]) -> Vec<(usize, u64)> {
    match needle {
        Needle::Value { value, mask, width } => {
            let width = (*width).max(1);
            let matching = |(index, word): (usize, &[u8])| {
                let found = le_uint(word, 0, width)?;
                ((found ^ value) & !mask & low_mask(width) == 0).then_some((index.checked_mul(width)?, found))
            };
            bytes.chunks_exact(width).enumerate().filter_map(matching).collect()
        }
        Needle::Text(text) if text.is_empty() => Vec::new(),
        Needle::Text(text) => overlapping(text, bytes).map(|at| (at, 0)).collect(),
    }
}

/// Where `text` is in `bytes`, also where one begins inside another.
fn overlapping<'b>(text: &'b [u8], bytes: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let mut from = 0usize;
    std::iter::from_fn(move || {
        let at = from.checked_add(memmem::find(bytes.get(from..)?, text)?)?;
        from = at.checked_add(1)?;
        Some(at)
    })
}

const fn low_mask(width: usize) -> u64 {
    if width >= 8 { u64::MAX } else { (1 << (width * 8)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_and_masked_and_texts_are_not() {
        let mut bytes = vec![0; 32];
        bytes[8..16].copy_from_slice(&0x1234_5678_9abc_def0u64.to_le_bytes());
        bytes[17..20].copy_from_slice(b"abc");
        let value = |value, mask, width| find(&Needle::Value { value, mask, width }, &bytes);
        assert_eq!(value(0x1234_5678_9abc_def0, 0, 8), [(8, 0x1234_5678_9abc_def0)]);
        assert_eq!(value(0x1234_5678_9abc_d000, 0xfff, 8), [(8, 0x1234_5678_9abc_def0)]);
        assert_eq!(value(0x1234_5678, 0, 4), [(12, 0x1234_5678)]);
        assert_eq!(value(0x9abc, 0, 2), [(10, 0x9abc)]);
        assert_eq!(find(&Needle::Text(b"abc".to_vec()), &bytes), [(17, 0)]);
        assert_eq!(find(&Needle::Text(Vec::new()), &bytes), []);
        assert_eq!(find(&Needle::Text(b"aa".to_vec()), b"aaa"), [(0, 0), (1, 0)]);
    }
}
