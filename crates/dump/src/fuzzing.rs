//! The decoders of pages, for a fuzzer that holds them against others. Not part of the interface.

/// A page by itself: `flags` and bytes as a descriptor has them; `None` for flags that name no codec.
///
/// # Errors
///
/// What is wrong with the bytes, in one line.
#[must_use]
pub fn decode(flags: u32, bytes: &[u8]) -> Option<Result<[u8; 4096], String>> {
    crate::kdump::decode(flags, bytes)
}
