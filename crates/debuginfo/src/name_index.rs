//! A hash index from names to small numbers, without a copy of any name.
//!
//! A kernel has 150 000 symbols and 30 000 named types, of which an analysis asks for a hundred. So the index is built
//! in one pass that hashes each name where it lies and stores two words per entry: chains of entries, one chain per
//! bucket. The names themselves are only compared at lookup, by the caller, who knows where they are.

use crate::column::{Column, Columns, ColumnsWriter};

/// Entries that are chained by the hash of their names. An entry is any `u32` below the capacity but [`NONE`].
#[derive(Debug)]
pub(crate) struct NameIndex {
    /// First entry of each bucket; the number of buckets is a power of two.
    heads: Column<u32>,
    /// For each entry the next one of its bucket.
    next: Column<u32>,
}

const NONE: u32 = u32::MAX;

impl NameIndex {
    /// An index over entries below `capacity`, filled from `names`. Entries that should be found first must come
    /// *last*. Each entry may come once; entries at or above `capacity` are left out.
    pub(crate) fn build<'data>(capacity: usize, names: impl Iterator<Item = (u32, &'data [u8])>) -> Self {
        let buckets = capacity.next_power_of_two().max(16);
        let (mut heads, mut nexts) = (vec![NONE; buckets], vec![NONE; capacity]);
        for (entry, name) in names {
            let bucket = bucket(name, buckets);
            let place = usize::try_from(entry).ok().and_then(|entry| nexts.get_mut(entry));
            if let (Some(next), Some(head)) = (place, heads.get_mut(bucket)) {
                *next = *head;
                *head = entry;
            }
        }
        Self { heads: heads.into(), next: nexts.into() }
    }

    /// One that was kept; `None` where it is none over `capacity` entries.
    pub(crate) fn kept(capacity: usize, columns: &mut Columns<'_>) -> Option<Self> {
        let (heads, next) = (columns.next::<u32>()?, columns.next::<u32>()?);
        (heads.len().is_power_of_two() && next.len() == capacity).then_some(Self { heads, next })
    }

    /// Keeps it, for [`NameIndex::kept`].
    pub(crate) fn keep(&self, to: &mut ColumnsWriter) {
        to.add(&self.heads);
        to.add(&self.next);
    }

    /// Entries that may have this name, those given last first. The caller compares the names.
    pub(crate) fn candidates(&self, name: &[u8]) -> impl Iterator<Item = u32> + '_ {
        let mut entry = self.heads.get(bucket(name, self.heads.len())).unwrap_or(NONE);
        // A chain that comes round, in one that was kept, has an end as well.
        let mut left = self.next.len();
        std::iter::from_fn(move || {
            let found = (entry != NONE && left > 0).then_some(entry)?;
            left -= 1;
            entry = usize::try_from(found).ok().and_then(|at| self.next.get(at)).unwrap_or(NONE);
            Some(found)
        })
    }
}

fn bucket(name: &[u8], buckets: usize) -> usize {
    (hash(name) as usize) & buckets.saturating_sub(1)
}

/// Multiply-and-rotate over eight bytes at a time. Not proof against chosen names, which could only make a lookup slow.
pub(crate) fn hash(name: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = name.len() as u64;
    let (words, rest) = name.as_chunks::<8>();
    for word in words {
        state = (state.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    for &byte in rest {
        state = (state.rotate_left(5) ^ u64::from(byte)).wrapping_mul(FACTOR);
    }
    state ^ (state >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_entry_of_a_name_in_reverse_order() {
        let names: Vec<Vec<u8>> = (0..1000u32).map(|i| format!("name_{}", i % 400).into_bytes()).collect();
        let entries = names.iter().enumerate().map(|(entry, name)| (entry as u32, name.as_slice()));
        let index = NameIndex::build(names.len(), entries);
        for (entry, name) in names.iter().enumerate() {
            let found: Vec<u32> = index.candidates(name).filter(|&found| names[found as usize] == *name).collect();
            assert!(found.contains(&(entry as u32)));
            assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
        }
        assert!(!index.candidates(b"other").any(|found| names[found as usize] == b"other"));
    }

    #[test]
    fn entries_outside_the_capacity_are_left_out() {
        let index = NameIndex::build(1, [(0, b"a".as_slice()), (1, b"a"), (NONE, b"a")].into_iter());
        assert_eq!(index.candidates(b"a").collect::<Vec<_>>(), [0]);
        assert_eq!(NameIndex::build(0, std::iter::empty()).candidates(b"").count(), 0);
    }
}
