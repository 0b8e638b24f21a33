//! The bytes of a dump file at their offsets, however they are stored.

use std::borrow::Cow;

use crate::mmap::Mapping;

/// A dump file as its format sees it: one run of bytes.
#[derive(Debug)]
pub(crate) enum FileBytes {
    /// The file itself.
    Mapped(Mapping),
}

impl FileBytes {
    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.len() as u64,
        }
    }

    /// `len` bytes at `offset`, borrowed where they lie in one piece; `None` where the file does not have them all.
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Mapped(map) => piece(map, offset, len).map(Cow::Borrowed),
        }
    }

    /// As many bytes at `offset` as the file has, at most `len`.
    pub(crate) fn prefix(&self, offset: u64, len: u64) -> Cow<'_, [u8]> {
        let len = len.min(self.len().saturating_sub(offset));
        self.slice(offset, len).unwrap_or_default()
    }

    /// The first offset from `offset` on, that included, that the file has no byte for.
    pub(crate) fn missing_after(&self, offset: u64) -> u64 {
        match self {
            Self::Mapped(map) => offset.max(map.len() as u64),
        }
    }

    /// Fills `buf` from `offset` on; `None` where the file does not have all of it.
    #[inline]
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        match self {
            Self::Mapped(map) => {
                buf.copy_from_slice(piece(map, offset, buf.len() as u64)?);
                Some(())
            }
        }
    }
}

#[inline]
fn piece(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}
