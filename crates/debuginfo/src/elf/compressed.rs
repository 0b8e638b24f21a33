//! Compressed sections, in either of the two forms that are in use.
//!
//! ```text
//! SHF_COMPRESSED   u32 type (1 zlib, 2 zstd) | u32 reserved | u64 uncompressed size | u64 alignment | stream
//! .zdebug_*        "ZLIB" | u64 uncompressed size, big-endian | zlib stream; before 2012, and still `zlib-gnu`
//! ```
//! Sources: System V gABI, "Section Compression"; `bfd/compress.c` of GNU binutils for the older form.

use object::{
    elf,
    read::{CompressedData, CompressionFormat},
};
use vmcore_memory::{le_u32, le_u64};

const HEADER_SIZE: usize = 24;
const OLD_MAGIC: &[u8] = b"ZLIB";
const OLD_HEADER_SIZE: usize = 12;
/// The most that a section is restored to, in bytes: a `.debug_info` of a kernel with everything built in is smaller.
const MAX_RESTORED: u64 = 2 << 30;
/// No zlib or zstd stream of ELF data shrinks by more; a size that claims it would only exhaust memory.
const MAX_RATIO: u64 = 4096;

/// How a section is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// `SHF_COMPRESSED`.
    Flagged,
    /// By its name, `.zdebug_*`.
    Named,
}

impl Compression {
    /// The name that the section would have uncompressed, and how it is compressed.
    pub(super) fn of(name: String, flags: u64) -> (String, Option<Self>) {
        if flags & elf::SHF_COMPRESSED.0 != 0 {
            return (name, Some(Self::Flagged));
        }
        match name.strip_prefix(".zdebug_") {
            Some(rest) => (format!(".debug_{rest}"), Some(Self::Named)),
            None => (name, None),
        }
    }

    /// The restored contents of a section; `None` where it is damaged, of an unknown kind or absurdly large.
    pub(super) fn restore(self, section: &[u8]) -> Option<Vec<u8>> {
        let (format, uncompressed_size, data) = match self {
            Self::Flagged => {
                let format = match le_u32(section, 0)? {
                    1 => CompressionFormat::Zlib,
                    2 => CompressionFormat::Zstandard,
                    _ => return None,
                };
                (format, le_u64(section, 8)?, section.get(HEADER_SIZE..)?)
            }
            Self::Named => {
                let size = section.strip_prefix(OLD_MAGIC)?.first_chunk()?;
                (CompressionFormat::Zlib, u64::from_be_bytes(*size), section.get(OLD_HEADER_SIZE..)?)
            }
        };
        let plausible = (data.len() as u64).saturating_mul(MAX_RATIO).min(MAX_RESTORED);
        if uncompressed_size > plausible {
            return None;
        }
        let restored = CompressedData { format, data, uncompressed_size }.decompress().ok()?;
        Some(restored.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression as Level, write::ZlibEncoder};

    use super::*;

    fn stream(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_older_form_is_told_by_name_and_restored() {
        let (name, compression) = Compression::of(".zdebug_info".into(), 0);
        assert_eq!((name.as_str(), compression), (".debug_info", Some(Compression::Named)));
        assert_eq!(Compression::of(".debug_info".into(), 0).1, None);
        let section = [b"ZLIB".as_slice(), &300u64.to_be_bytes(), &stream(&[7; 300])].concat();
        assert_eq!(Compression::Named.restore(&section).unwrap(), [7; 300]);
        for damage in [0, 11, 14] {
            let mut damaged = section.clone();
            damaged[damage] ^= 0x40;
            assert_ne!(Compression::Named.restore(&damaged), Some(vec![7; 300]), "byte {damage}");
        }
        let huge = [b"ZLIB".as_slice(), &u64::MAX.to_be_bytes(), &stream(&[7; 300])].concat();
        assert_eq!(Compression::Named.restore(&huge), None, "not even tried");
        assert_eq!(Compression::Named.restore(b"ZLIB"), None);
    }
}
