//! Checked little-endian fields of a byte slice: `None` instead of a panic where the slice is too short.

macro_rules! le {
    ($(#[$doc:meta])* $name:ident, $ty:ty) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(bytes: &[u8], offset: usize) -> Option<$ty> {
            let end = offset.checked_add(size_of::<$ty>())?;
            Some(<$ty>::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
        }
    };
}

le! {
    /// The `u16` at `offset` bytes into `bytes`.
    le_u16, u16
}
le! {
    /// The `u32` at `offset` bytes into `bytes`.
    le_u32, u32
}
le! {
    /// The `u64` at `offset` bytes into `bytes`.
    le_u64, u64
}
le! {
    /// The `i64` at `offset` bytes into `bytes`.
    le_i64, i64
}

/// The unsigned integer of `size` bytes (1, 2, 4 or 8) at `offset` bytes into `bytes`; `None` for any other size.
#[must_use]
pub fn le_uint(bytes: &[u8], offset: usize, size: usize) -> Option<u64> {
    match size {
        1 => bytes.get(offset).copied().map(u64::from),
        2 => le_u16(bytes, offset).map(u64::from),
        4 => le_u32(bytes, offset).map(u64::from),
        8 => le_u64(bytes, offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_exactly_at_the_slice_end() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(le_u16(&bytes, 7), Some(0x0908));
        assert_eq!(le_u16(&bytes, 8), None);
        assert_eq!(le_u64(&bytes, 1), Some(0x0908_0706_0504_0302));
        assert_eq!(le_u64(&bytes, 2), None);
        assert_eq!(le_u32(&bytes, usize::MAX), None);
        assert_eq!(le_uint(&bytes, 8, 1), Some(9));
        assert_eq!(le_uint(&bytes, 0, 3), None);
    }
}
