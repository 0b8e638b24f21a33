//! A piece of bytes, by what a file says of its place.

/// `len` bytes of `bytes` from `offset` on.
#[inline]
pub(crate) fn piece(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}
