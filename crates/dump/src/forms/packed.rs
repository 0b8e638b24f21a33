//! A dump that was compressed or packed as a whole.

use std::io::Write;

use super::{ALL, Machine, Shelf};
use crate::test_support::flatten;
use crate::test_support::pack::{bzip2, gzip, lz4, lzma, tar, xz, zstd};

/// A frame that holds no data, which `pzstd` writes first.
const SKIPPABLE: [u8; 12] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];

pub(super) fn add(machine: &Machine, shelf: &mut Shelf) {
    let elf = &machine.elf;
    let (half, rest) = elf.split_at(elf.len() / 2);
    let mut add = |name, writer, bytes: Vec<u8>| shelf.add(name, writer, ALL, &[bytes]);
    add("gzip", "`gzip`, `pigz`", gzip(elf));
    add("xz", "`xz`", xz(elf));
    add("lzma", "`xz --format=lzma`", lzma(elf));
    add("zstd", "`zstd`", zstd(elf));
    add("zstd, several frames", "`pzstd`, `cat`", [&SKIPPABLE[..], &zstd(half), &SKIPPABLE, &zstd(rest)].concat());
    add("zstd with a window of 2 GiB", "`zstd --long=31`", wide_zstd(elf));
    add("lz4", "`lz4`", lz4(elf));
    add("lz4 before frames", "`lz4 -l`", old_lz4(elf));
    add("bzip2", "`bzip2`", bzip2(elf));
    add("tar", "`tar`", tar(elf));
    add("tar.gz", "`tar -z`", gzip(&tar(elf)));
    add("tar.zst", "`tar --zstd`", zstd(&tar(elf)));
    add("tar of a compressed dump", "`gzip`, then `tar`", tar(&gzip(elf)));
    add("gzip of a flattened dump", "`makedumpfile -F \\| gzip`", gzip(&flatten(elf, 4096)));
}

/// A frame of blocks that are not compressed, in the largest window that is accepted.
fn wide_zstd(bytes: &[u8]) -> Vec<u8> {
    // A descriptor without any flag; a window of 2^(10 + 21).
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3];
    let blocks = bytes.chunks(100_000);
    let last = blocks.len() - 1;
    for (index, block) in blocks.enumerate() {
        let head = u32::from(index == last) | (block.len() as u32) << 3;
        out.extend(&head.to_le_bytes()[..3]);
        out.extend(block);
    }
    out
}

/// The signature, and blocks of 8 MiB with their compressed lengths.
fn old_lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x02, 0x21, 0x4c, 0x18];
    for block in bytes.chunks(8 << 20) {
        let packed = lz4_flex::block::compress(block);
        out.write_all(&(packed.len() as u32).to_le_bytes()).unwrap();
        out.write_all(&packed).unwrap();
    }
    out
}
