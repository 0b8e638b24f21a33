"""Writes a kdump-compressed dump again with another compression of its pages.

usage: recompress.py snappy|zstd|lzo|zlib IN OUT

For what no makedumpfile of Debian's can write: snappy. The compressors are the C libraries that
makedumpfile itself links (libsnappy, libzstd, liblzo2, zlib), so what they write does not come from
whoever reads it here. IN has plain or zlib pages (makedumpfile without a compression, or -c, or
QEMU's kdump-zlib). As makedumpfile does it, a page that would not get smaller stays plain, and pages
that shared their bytes (zeroes) still do. Source of the format: makedumpfile's IMPLEMENTATION and
diskdump_mod.h.
"""

import ctypes
import mmap
import struct
import sys
import zlib
from ctypes import byref, c_size_t, c_void_p

PAGE = 4096
ZLIB, LZO, SNAPPY, ZSTD = 0x1, 0x2, 0x4, 0x20
CODECS = 0x27
DESCRIPTOR = struct.Struct("<QIIQ")
STATUS_AT = 424
BLOCKS_AT = 432


def snappy():
    library = ctypes.CDLL("libsnappy.so.1")
    room = ctypes.create_string_buffer(2 * PAGE)

    def compress(page):
        length = c_size_t(len(room))
        if library.snappy_compress(page, c_size_t(PAGE), room, byref(length)) != 0:
            sys.exit("recompress: snappy_compress failed")
        return room.raw[: length.value]

    return compress


def zstd():
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compress.restype = c_size_t
    room = ctypes.create_string_buffer(2 * PAGE)

    def compress(page):
        length = library.ZSTD_compress(
            room, c_size_t(len(room)), page, c_size_t(PAGE), 1
        )
        return room.raw[:length]

    return compress


def lzo():
    library = ctypes.CDLL("liblzo2.so.2")
    room = ctypes.create_string_buffer(2 * PAGE)
    work = ctypes.create_string_buffer(1 << 17)

    def compress(page):
        length = c_size_t(len(room))
        arguments = (page, c_size_t(PAGE), room, byref(length), c_void_p(ctypes.addressof(work)))
        if library.lzo1x_1_compress(*arguments) != 0:
            sys.exit("recompress: lzo1x_1_compress failed")
        return room.raw[: length.value]

    return compress


COMPRESSORS = {
    "snappy": (SNAPPY, snappy),
    "zstd": (ZSTD, zstd),
    "lzo": (LZO, lzo),
    "zlib": (ZLIB, lambda: lambda page: zlib.compress(page, 1)),
}


def main() -> None:
    flag, make = COMPRESSORS[sys.argv[1]]
    compress = make()
    with open(sys.argv[2], "rb") as file:
        old = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if old[:8] != b"KDUMP   ":
        sys.exit(f"recompress: {sys.argv[2]} is not kdump-compressed")
    sub_blocks, bitmap_blocks = struct.unpack_from("<II", old, BLOCKS_AT)
    bitmap_at = (1 + sub_blocks) * PAGE
    table_at = bitmap_at + bitmap_blocks * PAGE
    dumped = old[bitmap_at + bitmap_blocks // 2 * PAGE : table_at]
    pages = int.from_bytes(dumped, "little").bit_count()

    table = bytearray()
    new_place: dict[int, tuple[int, int, int]] = {}
    next_at = table_at + pages * DESCRIPTOR.size
    counts = {0: 0, flag: 0}
    with open(sys.argv[3], "wb") as out:
        header = bytearray(old[:table_at])
        struct.pack_into("<I", header, STATUS_AT, flag)
        out.write(header)
        out.seek(next_at)
        for number in range(pages):
            at, size, flags, page_flags = DESCRIPTOR.unpack_from(old, table_at + number * DESCRIPTOR.size)
            if at not in new_place:
                page = old[at : at + size]
                if flags & CODECS == ZLIB:
                    page = zlib.decompress(page)
                elif flags & CODECS:
                    sys.exit(f"recompress: page {number} has the compression {flags:#x}")
                packed, kind = compress(page), flag
                if len(packed) >= PAGE:
                    packed, kind = page, 0
                counts[kind] += 1
                out.write(packed)
                new_place[at] = (next_at, len(packed), kind)
                next_at += len(packed)
            table += DESCRIPTOR.pack(*new_place[at], page_flags)
        out.seek(table_at)
        out.write(table)
    print(f"{counts[flag]} pages compressed with {sys.argv[1]}, {counts[0]} plain, {pages} in all", file=sys.stderr)


main()
