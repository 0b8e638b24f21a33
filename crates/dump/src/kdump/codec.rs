//! The compressions that a page can have, each bounded by the size of a page.

use std::cell::RefCell;
use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use vmcore_zstd::{Decoder, Frames};

#[cfg(feature = "fuzzing")]
use crate::page_cache::Page;

/// How a page is stored, by the flags of its descriptor (`DUMP_DH_COMPRESSED_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Plain,
    Zlib,
    Lzo,
    Snappy,
    Zstd,
}

/// A page compresses within a window of its own size; anything near this is not a page.
const MAX_ZSTD_WINDOW: u64 = 8 << 20;

thread_local! {
    // Both decoders have large tables, which are worth keeping from page to page.
    static ZLIB: RefCell<Decompress> = RefCell::new(Decompress::new(true));
    static ZSTD: RefCell<Decoder> = RefCell::new(Decoder::new(MAX_ZSTD_WINDOW));
}

/// Unpacks the frames of a page; how many bytes they give.
fn unpack_zstd(decoder: &mut Decoder, bytes: &[u8], page: &mut [u8]) -> Result<usize, String> {
    let mut frames = Frames::new(bytes, decoder);
    let mut len = 0;
    while let Some(room) = page.get_mut(len..).filter(|room| !room.is_empty()) {
        match frames.read(room).map_err(|error| error.to_string())? {
            0 => return Ok(len),
            read => len += read,
        }
    }
    // What is compared at the end of a frame, is so when more is asked for.
    match frames.read(&mut [0]).map_err(|error| error.to_string())? {
        0 => Ok(len),
        _ => Err("it is longer than a page".to_owned()),
    }
}

impl Codec {
    /// The codec that `flags` names; `None` for several or unknown ones.
    pub(super) fn from_flags(flags: u32) -> Option<Self> {
        match flags {
            0 => Some(Self::Plain),
            0x1 => Some(Self::Zlib),
            0x2 => Some(Self::Lzo),
            0x4 => Some(Self::Snappy),
            0x20 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Restores a page from `bytes`, which must give exactly one page.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, in one line.
    pub(super) fn decode(self, bytes: &[u8], page: &mut [u8]) -> Result<(), String> {
        let len = match self {
            Self::Plain => {
                page.get_mut(..bytes.len()).ok_or("it is longer than a page")?.copy_from_slice(bytes);
                bytes.len()
            }
            Self::Zlib => ZLIB.with_borrow_mut(|decoder| {
                decoder.reset(true);
                match decoder.decompress(bytes, page, FlushDecompress::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(decoder.total_out()).map_err(|error| error.to_string()),
                    Ok(_) => Err("zlib: the stream does not end with the page".to_owned()),
                    Err(error) => Err(format!("zlib: {error}")),
                }
            })?,
            Self::Lzo => lzokay::decompress::decompress(bytes, page).map_err(|error| format!("lzo: {error}"))?,
            Self::Snappy => {
                snap::raw::Decoder::new().decompress(bytes, page).map_err(|error| format!("snappy: {error}"))?
            }
            Self::Zstd => ZSTD
                .with_borrow_mut(|decoder| unpack_zstd(decoder, bytes, page))
                .map_err(|error| format!("zstd: {error}"))?,
        };
        if len != page.len() {
            return Err(format!("it gives {len} bytes instead of {}", page.len()));
        }
        Ok(())
    }
}

/// A page by itself: `flags` and bytes as a descriptor has them; `None` for flags that name no codec.
#[cfg(feature = "fuzzing")]
pub(crate) fn decode(flags: u32, bytes: &[u8]) -> Option<Result<Page, String>> {
    let mut page: Page = [0; _];
    Some(Codec::from_flags(flags)?.decode(bytes, &mut page).map(|()| page))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vmcore_memory::PAGE_SIZE;

    use super::*;
    use crate::test_support::{compress, page};

    const ALL: [(Codec, u32); 5] =
        [(Codec::Plain, 0), (Codec::Zlib, 1), (Codec::Lzo, 2), (Codec::Snappy, 4), (Codec::Zstd, 0x20)];

    fn decode(codec: Codec, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = [0xee; PAGE_SIZE as usize];
        codec.decode(bytes, &mut out).map(|()| out.to_vec())
    }

    #[test]
    fn every_codec_restores_a_page() {
        let mut half = page(1);
        half[2000..].fill(7);
        for (codec, flags) in ALL {
            assert_eq!(Codec::from_flags(flags), Some(codec));
            for original in [page(1), vec![0; 4096], half.clone()] {
                assert!(decode(codec, &compress(flags, &original)) == Ok(original), "{codec:?}");
            }
        }
        assert_eq!((Codec::from_flags(3), Codec::from_flags(0x40)), (None, None));
    }

    #[test]
    fn too_much_or_too_little_is_refused() {
        for (codec, flags) in ALL {
            for len in [0, 1, 4095, 4097, 100_000] {
                let error = decode(codec, &compress(flags, &vec![b'a'; len])).unwrap_err();
                assert!(!error.contains('\n'), "{error}");
            }
        }
    }

    /// Any change of a zstd page that still unpacks to a page is caught by its checksum.
    #[test]
    fn a_wrong_checksum_is_no_page() {
        let mut original = page(1);
        original[2000..].fill(7);
        let packed = compress(0x20, &original);
        assert_eq!(decode(Codec::Zstd, &packed), Ok(original));
        let mut damaged = packed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(decode(Codec::Zstd, &damaged), Err("zstd: the checksum of a frame is wrong".to_owned()));
        // In a literal of the first half, which is not compressible.
        let mut damaged = packed;
        damaged[1000] ^= 1;
        assert_eq!(decode(Codec::Zstd, &damaged), Err("zstd: the checksum of a frame is wrong".to_owned()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn damaged_pages_never_panic(
            seed in any::<u64>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut original = page(seed);
            original[500..3000].fill(0);
            for (codec, flags) in ALL {
                let mut bytes = compress(flags, &original);
                for (at, value) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *value;
                }
                let _ = decode(codec, &bytes);
                let _ = decode(codec, &bytes[..cut.index(bytes.len())]);
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (codec, _) in ALL {
                let _ = decode(codec, &bytes);
                // With a valid start, so that more than the frame header is looked at.
                let _ = decode(codec, &[b"\x28\xb5\x2f\xfd", bytes.as_slice()].concat());
            }
        }
    }
}
