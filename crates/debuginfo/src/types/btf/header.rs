//! The header of a BTF blob: where its parts are.
//!
//! ```text
//! u16 magic 0xeb9f | u8 version 1 | u8 flags | u32 header length
//! u32 types offset, length | u32 strings offset, length      (offsets from the header's end)
//! u32 layouts offset, length                                 (since 7.3, where the header is long enough)
//! ```
//! Layouts are one `struct btf_layout` for each kind that was known to whoever wrote the blob: how long its types are.

use std::ops::Range;

use vmcore_memory::{le_u16, le_u32};

use super::BtfError;
use crate::bytes::Bytes;

pub(super) const MAGIC: u16 = 0xeb9f;
const MAGIC_SWAPPED: u16 = 0x9feb;
/// The length of a header without layouts.
pub(super) const MIN_HEADER_SIZE: u32 = 24;
/// The length of one with layouts.
pub(super) const HEADER_SIZE: u32 = 32;

/// Bytes of the layouts of all kinds that a type's head has room for.
const MAX_LAYOUTS: usize = 128 * 4;

/// What a blob is made of.
pub(super) struct Parts {
    pub(super) types: Bytes,
    pub(super) strings: Bytes,
    /// Empty where the blob has none.
    pub(super) layouts: Vec<u8>,
}

impl Parts {
    pub(super) fn of(blob: &Bytes) -> Result<Self, BtfError> {
        let places = Places::of(blob)?;
        let slice = |what, range: &Range<u64>| {
            let found = blob.slice(range.start, range.end - range.start);
            found.ok_or_else(|| truncated(blob, what, range))
        };
        let types = slice("the type section", &places.types)?;
        let strings = slice("the string section", &places.strings)?.into_memory();
        let layouts = places.layouts(blob)?;
        Ok(Self { types, strings, layouts: layouts.get(..MAX_LAYOUTS).unwrap_or(layouts).to_vec() })
    }
}

/// Where the parts are, as ranges of the blob, which may not be all there.
pub(super) struct Places {
    types: Range<u64>,
    strings: Range<u64>,
    layouts: Option<Range<u64>>,
}

impl Places {
    pub(super) fn of(blob: &[u8]) -> Result<Self, BtfError> {
        let available = blob.len() as u64;
        let header = BtfError::Truncated { what: "the header", needed: MIN_HEADER_SIZE.into(), available };
        match le_u16(blob, 0) {
            Some(MAGIC) => {}
            Some(MAGIC_SWAPPED) => return Err(BtfError::BigEndian),
            Some(found) => return Err(BtfError::BadMagic { found }),
            None => return Err(header),
        }
        match blob.get(2) {
            Some(1) => {}
            Some(&found) => return Err(BtfError::UnknownVersion { found }),
            None => return Err(header),
        }
        let word = |offset| le_u32(blob, offset).map(u64::from).ok_or_else(|| header.clone());
        let base = word(4)?;
        // Sums of three u32 cannot overflow a u64.
        let section = |at| Ok::<_, BtfError>(base + word(at)?..base + word(at)? + word(at + 4)?);
        let layouts = if base >= u64::from(HEADER_SIZE) { Some(section(24)?) } else { None };
        Ok(Self { types: section(8)?, strings: section(16)?, layouts })
    }

    pub(super) fn types<'a>(&self, blob: &'a [u8]) -> Result<&'a [u8], BtfError> {
        slice(blob, "the type section", &self.types)
    }

    pub(super) fn strings<'a>(&self, blob: &'a [u8]) -> Result<&'a [u8], BtfError> {
        slice(blob, "the string section", &self.strings)
    }

    /// Empty where there are none.
    pub(super) fn layouts<'a>(&self, blob: &'a [u8]) -> Result<&'a [u8], BtfError> {
        self.layouts.as_ref().map_or(Ok(&[]), |layouts| slice(blob, "the layout section", layouts))
    }
}

fn slice<'a>(blob: &'a [u8], what: &'static str, range: &Range<u64>) -> Result<&'a [u8], BtfError> {
    let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    place.and_then(|(start, end)| blob.get(start..end)).ok_or_else(|| truncated(blob, what, range))
}

fn truncated(blob: &[u8], what: &'static str, range: &Range<u64>) -> BtfError {
    BtfError::Truncated { what, needed: range.end, available: blob.len() as u64 }
}
