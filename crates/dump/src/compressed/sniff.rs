//! How a file was compressed, by its first bytes.

use vmcore_memory::{le_u32, le_u64};

use super::{Compression, archive};

/// The last of the sixteen signatures of a frame to be skipped, which zstd and lz4 share: u32 signature, u32 length.
const SKIPPABLE: u32 = 0x184d_2a5f;
/// Frames that are skipped to find out what follows them.
const MAX_SKIPPED: usize = 64;
/// The largest dictionary that the encoder of `xz --format=lzma` is made to use.
const MAX_LZMA_DICTIONARY: u32 = 1536 << 20;

const SIGNATURES: [(&[u8], Compression); 7] = [
    (b"\x1f\x8b", Compression::Gzip),
    (b"\xfd7zXZ\0", Compression::Xz),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    (b"\x04\x22\x4d\x18", Compression::Lz4),
    // The format before frames, as `lz4 -l` and the kernel write it.
    (b"\x02\x21\x4c\x18", Compression::Lz4),
    (b"BZh", Compression::Bzip2),
    (b"AVML\x02\0\0\0", Compression::Avml),
];

impl Compression {
    /// By the first bytes of `file`.
    pub(crate) fn detect(file: &[u8]) -> Option<Self> {
        let head = behind_skippable(file);
        let by_signature = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature));
        let found = by_signature.map(|(_, compression)| *compression);
        found.or_else(|| is_lzma(head).then_some(Self::Lzma)).or_else(|| archive::is_archive(head).then_some(Self::Tar))
    }
}

/// What follows frames that hold no data: `pzstd` writes one first.
fn behind_skippable(file: &[u8]) -> &[u8] {
    let mut rest = file;
    for _ in 0..MAX_SKIPPED {
        let Some(signature) = le_u32(rest, 0).filter(|signature| signature | 0xf == SKIPPABLE) else { break };
        debug_assert_ne!(signature, 0);
        let next = le_u32(rest, 4).and_then(|len| rest.get(usize::try_from(len).ok()?.checked_add(8)?..));
        rest = next.unwrap_or_default();
    }
    rest
}

/// The format before xz has no signature: a byte of parameters, the size of the dictionary, the unpacked size or all ones,
/// and a first byte that is always 0.
fn is_lzma(head: &[u8]) -> bool {
    let (Some(&parameters), Some(dictionary), Some(size), Some(&first)) =
        (head.first(), le_u32(head, 1), le_u64(head, 5), head.get(13))
    else {
        return false;
    };
    let round = dictionary.is_power_of_two() || (dictionary / 3).is_power_of_two() && dictionary.is_multiple_of(3);
    parameters == 0x5d
        && (4096..=MAX_LZMA_DICTIONARY).contains(&dictionary)
        && round
        && (size == u64::MAX || size < 1 << 48)
        && first == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_skippable_frames_counts() {
        let skippable = |nibble: u8, contents: &[u8]| {
            let len = u32::try_from(contents.len()).unwrap();
            [&[0x50 | nibble, 0x2a, 0x4d, 0x18], &len.to_le_bytes()[..], contents].concat()
        };
        let zstd = [skippable(0, &[1, 2, 3, 4]), skippable(15, &[]), b"\x28\xb5\x2f\xfd".to_vec()].concat();
        assert_eq!(Compression::detect(&zstd), Some(Compression::Zstd));
        let lz4 = [skippable(7, b"lz4"), b"\x04\x22\x4d\x18".to_vec()].concat();
        assert_eq!(Compression::detect(&lz4), Some(Compression::Lz4));
        assert_eq!(Compression::detect(&skippable(0, &[0; 9])), None);
        assert_eq!(Compression::detect(b"\x50\x2a\x4d\x18\xff\xff\xff\xff"), None);
    }

    #[test]
    fn lzma_has_no_signature_but_its_parameters() {
        let header = |dictionary: u32, size: u64| {
            [&[0x5d], &dictionary.to_le_bytes()[..], &size.to_le_bytes(), &[0, 1, 2]].concat()
        };
        for (dictionary, size) in [(8 << 20, u64::MAX), (3 << 20, 1000), (64 << 20, 1 << 40)] {
            assert_eq!(Compression::detect(&header(dictionary, size)), Some(Compression::Lzma));
        }
        assert_eq!(Compression::detect(&header(5 << 20, 1000)), None);
        assert_eq!(Compression::detect(&header(8 << 20, 1 << 60)), None);
    }
}
