//! Compressed sections (`SHF_COMPRESSED`): an `Elf64_Chdr`, then a zlib or zstd stream.
//!
//! ```text
//! u32 type (1 zlib, 2 zstd) | u32 reserved | u64 uncompressed size | u64 alignment | stream
//! ```
//! Source: System V gABI, "Section Compression".

use object::read::{CompressedData, CompressionFormat};
use vmcore_memory::{le_u32, le_u64};

const HEADER_SIZE: usize = 24;
/// The most that a section is restored to, in bytes: a `.debug_info` of a kernel with everything built in is smaller.
const MAX_RESTORED: u64 = 2 << 30;
/// No zlib or zstd stream of ELF data shrinks by more; a size that claims it would only exhaust memory.
const MAX_RATIO: u64 = 4096;

/// The restored contents of a compressed section; `None` where it is damaged, of an unknown kind or absurdly large.
pub(super) fn restore(section: &[u8]) -> Option<Vec<u8>> {
    let format = match le_u32(section, 0)? {
        1 => CompressionFormat::Zlib,
        2 => CompressionFormat::Zstandard,
        _ => return None,
    };
    let uncompressed_size = le_u64(section, 8)?;
    let data = section.get(HEADER_SIZE..)?;
    let plausible = (data.len() as u64).saturating_mul(MAX_RATIO).min(MAX_RESTORED);
    if uncompressed_size > plausible {
        return None;
    }
    let restored = CompressedData { format, data, uncompressed_size }.decompress().ok()?;
    Some(restored.into_owned())
}
