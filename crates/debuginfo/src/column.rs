//! Columns of numbers that were computed from a vmlinux: in memory, or as they were kept in a file.
//!
//! ```text
//! columns  for each: u64 count | its numbers, little-endian | zeroes up to a multiple of 8
//! ```
//! One that was kept is read where it is mapped: a look-up touches a page or two of it. Who keeps columns says of which
//! numbers, and in which order; a count that does not fit into the file is no column.

use std::fmt;
use std::marker::PhantomData;

use crate::bytes::Bytes;

/// Bytes of a count, and what every column's bytes are a multiple of.
const UNIT: usize = 8;

/// A number that a column can have.
pub(crate) trait Number: Copy + fmt::Debug {
    /// Its bytes, little-endian.
    const SIZE: usize;

    fn read(bytes: &[u8]) -> Option<Self>;
    fn write(self, to: &mut Vec<u8>);
}

impl Number for u32 {
    const SIZE: usize = 4;

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(*bytes.first_chunk()?))
    }

    fn write(self, to: &mut Vec<u8>) {
        to.extend(self.to_le_bytes());
    }
}

impl Number for u64 {
    const SIZE: usize = 8;

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(*bytes.first_chunk()?))
    }

    fn write(self, to: &mut Vec<u8>) {
        to.extend(self.to_le_bytes());
    }
}

/// Numbers by their places.
#[derive(Debug)]
pub(crate) enum Column<N> {
    Computed(Vec<N>),
    Kept(Bytes, PhantomData<N>),
}

impl<N> Default for Column<N> {
    fn default() -> Self {
        Self::Computed(Vec::new())
    }
}

impl<N> From<Vec<N>> for Column<N> {
    fn from(numbers: Vec<N>) -> Self {
        Self::Computed(numbers)
    }
}

impl<N: Number> Column<N> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Computed(numbers) => numbers.len(),
            Self::Kept(bytes, _) => bytes.len() / N::SIZE,
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<N> {
        match self {
            Self::Computed(numbers) => numbers.get(at).copied(),
            Self::Kept(bytes, _) => N::read(bytes.get(at.checked_mul(N::SIZE)?..)?),
        }
    }

    /// The place of the first number that is not `before`, where all that are come first.
    pub(crate) fn partition_point(&self, before: impl Fn(N) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Columns that were kept, one after the other.
pub(crate) struct Columns<'b> {
    bytes: &'b Bytes,
    at: usize,
}

impl<'b> Columns<'b> {
    pub(crate) const fn new(bytes: &'b Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next; `None` where there is none.
    pub(crate) fn next<N: Number>(&mut self) -> Option<Column<N>> {
        let count = usize::try_from(u64::read(self.bytes.get(self.at..)?)?).ok()?;
        let start = self.at.checked_add(UNIT)?;
        let len = count.checked_mul(N::SIZE)?;
        let column = self.bytes.slice(start as u64, len as u64)?;
        self.at = start.checked_add(len.checked_next_multiple_of(UNIT)?)?;
        Some(Column::Kept(column, PhantomData))
    }
}

/// Writes columns one after the other.
#[derive(Debug, Default)]
pub(crate) struct ColumnsWriter(Vec<u8>);

impl ColumnsWriter {
    pub(crate) fn add<N: Number>(&mut self, column: &Column<N>) {
        (column.len() as u64).write(&mut self.0);
        (0..column.len()).filter_map(|at| column.get(at)).for_each(|number| number.write(&mut self.0));
        self.0.resize(self.0.len().next_multiple_of(UNIT), 0);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_in_their_order() {
        let mut writer = ColumnsWriter::default();
        writer.add(&Column::from(vec![1u32, 2, u32::MAX]));
        writer.add(&Column::from(Vec::<u64>::new()));
        writer.add(&Column::from(vec![3u64, 5, 5, 9]));
        let bytes = Bytes::from(writer.into_bytes());
        let mut columns = Columns::new(&bytes);
        let first = columns.next::<u32>().unwrap();
        assert_eq!((0..4).map(|at| first.get(at)).collect::<Vec<_>>(), [Some(1), Some(2), Some(u32::MAX), None]);
        assert_eq!(columns.next::<u64>().unwrap().len(), 0);
        let last = columns.next::<u64>().unwrap();
        let points = [0, 3, 4, 5, 6, 10].map(|limit| last.partition_point(|number| number < limit));
        assert_eq!(points, [0, 0, 1, 1, 3, 4]);
        assert!(columns.next::<u32>().is_none());
    }

    #[test]
    fn what_does_not_fit_is_no_column() {
        for count in [2, 1 << 32, u64::MAX] {
            let bytes = Bytes::from([count.to_le_bytes(), [0; 8]].concat());
            assert!(Columns::new(&bytes).next::<u64>().is_none(), "{count}");
        }
    }
}
