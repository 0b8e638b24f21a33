//! The bytes of a dump file at their offsets, however they are stored.

use std::borrow::Cow;
use std::ops::Range;

use crate::flattened::Flattened;
use crate::stored::Stored;

/// A dump file as its format sees it: one run of bytes. Formats need not know how it is stored.
#[derive(Debug)]
pub(crate) enum FileBytes {
    /// The file itself.
    Plain(Stored),
    /// A file in the flattened format. Offsets are those that the file would have if it were rearranged.
    Flattened(Flattened),
}

impl FileBytes {
    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Plain(file) => file.len(),
            Self::Flattened(flattened) => flattened.len(),
        }
    }

    /// Whether the file ends where its writer wanted it to end, as far as the way of storing it tells.
    pub(crate) fn ends_properly(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Flattened(flattened) => flattened.has_end_mark(),
        }
    }

    /// `len` bytes at `offset`, borrowed where they lie in one piece in a mapping; `None` where the file does not have them
    /// all.
    #[inline]
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Plain(file) => file.slice(offset, len),
            Self::Flattened(flattened) => flattened.slice(offset, len),
        }
    }

    /// As many bytes at `offset` as the file has, at most `len`.
    pub(crate) fn prefix(&self, offset: u64, len: u64) -> Cow<'_, [u8]> {
        self.slice(offset, self.present(offset, len)).unwrap_or_default()
    }

    /// How many of the `len` bytes at `offset` the file has before the first that is missing.
    pub(crate) fn present(&self, offset: u64, len: u64) -> u64 {
        match self {
            Self::Plain(file) => file.present(offset, len),
            Self::Flattened(flattened) => flattened.present(offset, len),
        }
    }

    /// The first offset from `offset` on, that included, that the file has no byte for.
    pub(crate) fn missing_after(&self, offset: u64) -> u64 {
        offset + self.present(offset, u64::MAX)
    }

    /// Fills `buf` from `offset` on; `None` where the file does not have all of it.
    #[inline]
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        match self {
            Self::Plain(file) => file.read(offset, buf),
            Self::Flattened(flattened) => flattened.read(offset, buf),
        }
    }

    /// Says whether all bytes are going to be read, from the first to the last.
    pub(crate) fn advise(&self, pass: bool) {
        match self {
            Self::Plain(file) => file.advise(pass),
            Self::Flattened(flattened) => flattened.file().advise(pass),
        }
    }

    /// Says that what lies around each byte that is read will be read as well.
    pub(crate) fn read_around(&self) {
        match self {
            Self::Plain(file) => file.read_around(),
            Self::Flattened(flattened) => flattened.file().read_around(),
        }
    }

    /// Whether the file has grown since it was opened.
    pub(crate) fn has_grown(&self) -> bool {
        match self {
            Self::Plain(file) => file.has_grown(),
            Self::Flattened(flattened) => flattened.file().has_grown(),
        }
    }

    /// Gives back the memory that the file takes in this process.
    pub(crate) fn give_back(&self) {
        match self {
            Self::Plain(file) => file.give_back(),
            Self::Flattened(flattened) => flattened.file().give_back(),
        }
    }

    /// The parts of `range` that are no holes of a sparse file.
    pub(crate) fn data_ranges(&self, range: Range<u64>) -> Vec<Range<u64>> {
        match self {
            Self::Plain(file) => file.data_ranges(range),
            Self::Flattened(_) => vec![range],
        }
    }

    /// As [`FileBytes::read`], for passes over large parts of the file that should not stay in memory.
    pub(crate) fn read_apart(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        match self {
            Self::Plain(file) => file.read_apart(offset, buf),
            Self::Flattened(flattened) => flattened.read_apart(offset, buf),
        }
    }
}
