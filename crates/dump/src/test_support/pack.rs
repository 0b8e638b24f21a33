//! Compresses and packs whole files, for the tests.

use std::io::Write;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    vmcore_zstd::compress(bytes)
}

pub(crate) fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(0);
    let mut out = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    // As the program does.
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(true).block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// An archive as somebody makes of a directory of kdump.
pub(crate) fn tar(bytes: &[u8]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_entry_type(kind);
        header.set_mode(0o600);
        header.set_cksum();
        out.append_data(&mut header, name, contents).unwrap();
    };
    add("127.0.0.1/", tar::EntryType::Directory, &[]);
    add("127.0.0.1/vmcore-dmesg.txt", tar::EntryType::Regular, b"[    0.000000] Linux version 6.1.0\n");
    add("127.0.0.1/empty", tar::EntryType::Regular, b"");
    let program = [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".as_slice(), &[0; 600]].concat();
    add("127.0.0.1/vmlinux", tar::EntryType::Regular, &program);
    add("127.0.0.1/dmesg.gz", tar::EntryType::Regular, &gzip(b"[    0.000000] Linux version 6.1.0\n"));
    // Of such a log the first block is longer than what tells other files apart.
    let lines =
        (0..20_000_u64).map(|number| format!("[{number:5}.{:06}] a line\n", number.wrapping_mul(7919) % 1_000_000));
    let long = lines.collect::<String>().into_bytes();
    add("127.0.0.1/dmesg.zst", tar::EntryType::Regular, &zstd(&long));
    add("127.0.0.1/dmesg.bz2", tar::EntryType::Regular, &bzip2(&long));
    add("127.0.0.1/vmcore", tar::EntryType::Regular, bytes);
    add("127.0.0.1/kexec-dmesg.log", tar::EntryType::Regular, b"more text\n");
    out.into_inner().unwrap()
}
