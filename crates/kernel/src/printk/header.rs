//! What the record headers of both buffers have in common: `struct printk_info` and `struct printk_log`.
//!
//! ```text
//! u64 ts_nsec | u16 text_len | u8 facility | u8 flags:5, level:3 | u32 caller_id
//! ```
//!
//! A header is read as a whole, then taken apart: half of it is bit-fields.

use vmcore_memory::le_uint;

use super::Caller;
use crate::LayoutError;
use crate::layout::Resolver;

/// The largest structure that describes a record, in bytes; `struct printk_info` has 88.
pub(super) const MAX_RECORD_SIZE: u64 = 4096;

/// The size of a structure that describes a record, in bytes.
pub(super) fn record_size(types: Resolver<'_>, name: &str) -> Result<u64, LayoutError> {
    let size = types.size_of(name)?;
    let is_possible = (1..=MAX_RECORD_SIZE).contains(&size);
    is_possible
        .then_some(size)
        .ok_or_else(|| LayoutError { wanted: format!("struct {name} of a possible size, not of {size} bytes") })
}

/// A scalar member, bit-field or not, of a structure whose bytes are at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) offset: u64,
    /// Bytes to load.
    pub(super) size: u64,
    /// The lowest bit of what was loaded.
    pub(super) shift: u32,
    /// How many bits count.
    pub(super) width: u32,
}

impl Scalar {
    pub(super) fn optional(types: Resolver<'_>, type_name: &str, path: &str) -> Option<Self> {
        let member = types.types().member(type_name, path)?;
        Some(Self {
            offset: member.offset,
            size: member.size,
            shift: member.bit_offset.and_then(|bit| u32::try_from(bit).ok()).unwrap_or_default(),
            width: member.bit_size.unwrap_or(u64::BITS),
        })
    }

    pub(super) fn resolve(types: Resolver<'_>, type_name: &str, path: &str) -> Result<Self, LayoutError> {
        Self::optional(types, type_name, path).ok_or_else(|| LayoutError { wanted: format!("{type_name}.{path}") })
    }

    /// The member's value, zero-extended; 0 where it is not in `bytes`, which only a damaged layout can cause.
    pub(super) fn get(self, bytes: &[u8]) -> u64 {
        let load = || le_uint(bytes, usize::try_from(self.offset).ok()?, usize::try_from(self.size).ok()?);
        let mask = u64::MAX.checked_shr(u64::BITS.saturating_sub(self.width)).unwrap_or_default();
        load().and_then(|unit| unit.checked_shr(self.shift)).unwrap_or_default() & mask
    }

    /// A member of `size` whole bytes.
    pub(super) const fn bytes(offset: u64, size: u64) -> Self {
        Self { offset, size, shift: 0, width: 64 }
    }

    /// `width` bits of one byte, from bit `shift` on.
    pub(super) const fn bits(offset: u64, shift: u32, width: u32) -> Self {
        Self { offset, size: 1, shift, width }
    }
}

/// Offsets in a record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeaderLayout {
    pub(super) timestamp: Scalar,
    pub(super) text_len: Scalar,
    pub(super) level: Scalar,
    pub(super) facility: Option<Scalar>,
    pub(super) flags: Option<Scalar>,
    pub(super) caller_id: Option<Scalar>,
}

impl HeaderLayout {
    pub(super) fn resolve(types: Resolver<'_>, type_name: &str) -> Result<Self, LayoutError> {
        Ok(Self {
            timestamp: Scalar::resolve(types, type_name, "ts_nsec")?,
            text_len: Scalar::resolve(types, type_name, "text_len")?,
            level: Scalar::resolve(types, type_name, "level")?,
            // The first kernels with records kept only the level.
            facility: Scalar::optional(types, type_name, "facility"),
            flags: Scalar::optional(types, type_name, "flags"),
            caller_id: Scalar::optional(types, type_name, "caller_id"),
        })
    }

    pub(super) fn read(&self, bytes: &[u8]) -> Header {
        let get = |field: Option<Scalar>| field.map(|field| field.get(bytes));
        let byte = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        let caller_id = get(self.caller_id).and_then(|id| u32::try_from(id).ok());
        Header {
            timestamp_ns: self.timestamp.get(bytes),
            text_len: self.text_len.get(bytes),
            level: byte(self.level.get(bytes)),
            facility: byte(get(self.facility).unwrap_or_default()),
            flags: get(self.flags).unwrap_or_default(),
            caller: caller_id.map(Caller::from_raw),
        }
    }
}

/// A record header, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) timestamp_ns: u64,
    /// Bytes of text.
    pub(super) text_len: u64,
    pub(super) level: u8,
    pub(super) facility: u8,
    /// `LOG_NEWLINE` and the like.
    pub(super) flags: u64,
    pub(super) caller: Option<Caller>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_fields_share_a_byte() {
        let bytes = [0, 0b101_01000];
        assert_eq!(Scalar::bits(1, 0, 5).get(&bytes), 0b01000);
        assert_eq!(Scalar::bits(1, 5, 3).get(&bytes), 0b101);
        assert_eq!(Scalar::bytes(0, 2).get(&bytes), 0xa800);
    }

    #[test]
    fn what_is_outside_reads_as_zero() {
        assert_eq!(Scalar::bytes(1, 2).get(&[1, 2]), 0);
        assert_eq!(Scalar::bytes(u64::MAX, 8).get(&[1, 2]), 0);
        assert_eq!(Scalar { offset: 0, size: 1, shift: 200, width: 0 }.get(&[1]), 0);
    }
}
