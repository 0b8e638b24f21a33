//! Debug files as distributions install them: compressed as a whole, by gzip, xz or zstd. Modules are unpacked in memory,
//! a vmlinux to a file without a name, which is gone when the process ends.

use std::fs::File;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use vmcore_zstd::{Decoder, Frames};

/// The largest file that is unpacked, in bytes: several times the largest module with debug information.
const MAX_UNPACKED: u64 = 1 << 30;
/// KiB that unpacking xz may use: `xz -9` needs 65 MiB, and a header can ask for 4 GiB.
const XZ_MEMORY: u32 = 256 << 10;

/// The largest vmlinux that is unpacked, in bytes: several times the largest with debug information.
const MAX_VMLINUX: u64 = 8 << 30;

/// The unpacked bytes of `file`; `None` for a file that is not compressed.
pub(crate) fn unpack(file: &[u8]) -> Option<io::Result<Vec<u8>>> {
    Some(reader(file)?.and_then(read))
}

/// A temporary file with the unpacked bytes of `file`; `None` for a file that is not compressed.
pub(crate) fn unpack_to_file(file: &[u8]) -> Option<io::Result<File>> {
    let unpacked = |reader: Box<dyn Read + '_>| {
        let mut out = tempfile::tempfile()?;
        let len = io::copy(&mut reader.take(MAX_VMLINUX + 1), &mut out)?;
        if len > MAX_VMLINUX { Err(io::Error::other("it has more than 8 GiB")) } else { Ok(out) }
    };
    Some(reader(file)?.and_then(unpacked))
}

fn reader(file: &[u8]) -> Option<io::Result<Box<dyn Read + '_>>> {
    let reader: Box<dyn Read + '_> = if file.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(file))
    } else if file.starts_with(b"\xfd7zXZ\0") {
        Box::new(XzReader::new_mem_limit(file, true, XZ_MEMORY))
    } else if file.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(Frames::new(file, Decoder::new(MAX_UNPACKED)))
    } else {
        return None;
    };
    Some(Ok(reader))
}

fn read(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    reader.take(MAX_UNPACKED + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        return Err(io::Error::other("it has more than 1 GiB"));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn all_frames_of_a_zstd_file_are_unpacked_and_compared_with_their_checksums() {
        let frame = vmcore_zstd::compress;
        let contents: Vec<u8> =
            (0..5000u32).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        let skipped = [b"\x50\x2a\x4d\x18\x04\0\0\0skip".as_slice(), &frame(b" the end")].concat();
        let packed = [frame(&contents), skipped].concat();
        assert_eq!(unpack(&packed).unwrap().unwrap(), [contents.as_slice(), b" the end"].concat());

        let mut damaged = frame(&contents);
        damaged[5000] ^= 1;
        assert!(unpack(&damaged).unwrap().unwrap_err().to_string().contains("checksum"));
        assert!(unpack(&packed[..packed.len() - 20]).unwrap().is_err());
    }

    #[test]
    fn gzip_is_unpacked_and_damage_is_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[7; 1000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(unpack(&packed).unwrap().unwrap(), [7; 1000]);
        assert!(unpack(&packed[..packed.len() - 9]).unwrap().is_err());
        assert!(unpack(b"\xfd7zXZ\0nonsense").unwrap().is_err());
        assert!(unpack(b"\x28\xb5\x2f\xfd").unwrap().is_err());
        assert!(unpack(b"\x7fELF").is_none());
        let mut file = unpack_to_file(&packed).unwrap().unwrap();
        let mut found = Vec::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found, [7; 1000]);
        assert!(unpack_to_file(b"\x7fELF").is_none());
    }
}
