"""Writes a kdump-compressed dump of plain pages again with pages that snappy compressed.

usage: recompress.py IN OUT

For machines whose mirror does not serve makedumpfile's source: no Debian build of it has snappy. The
compressor is the C library that makedumpfile itself links, so what it writes does not come from whoever
reads it here. As makedumpfile does it, a page that would not get smaller stays plain, and pages that
shared their bytes (zeroes) still do. Source of the format: makedumpfile's IMPLEMENTATION and
diskdump_mod.h.
"""

import ctypes
import mmap
import struct
import sys
from ctypes import byref, c_size_t

PAGE = 4096
SNAPPY = 0x4
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


def main() -> None:
    compress = snappy()
    with open(sys.argv[1], "rb") as file:
        old = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if old[:8] != b"KDUMP   ":
        sys.exit(f"recompress: {sys.argv[1]} is not kdump-compressed")
    sub_blocks, bitmap_blocks = struct.unpack_from("<II", old, BLOCKS_AT)
    bitmap_at = (1 + sub_blocks) * PAGE
    table_at = bitmap_at + bitmap_blocks * PAGE
    dumped = old[bitmap_at + bitmap_blocks // 2 * PAGE : table_at]
    pages = int.from_bytes(dumped, "little").bit_count()

    table = bytearray()
    new_place: dict[int, tuple[int, int, int]] = {}
    next_at = table_at + pages * DESCRIPTOR.size
    counts = {0: 0, SNAPPY: 0}
    with open(sys.argv[2], "wb") as out:
        header = bytearray(old[:table_at])
        struct.pack_into("<I", header, STATUS_AT, SNAPPY)
        out.write(header)
        out.seek(next_at)
        for number in range(pages):
            at, size, flags, page_flags = DESCRIPTOR.unpack_from(old, table_at + number * DESCRIPTOR.size)
            if at not in new_place:
                page = old[at : at + size]
                if flags & CODECS:
                    sys.exit(f"recompress: page {number} has the compression {flags:#x}")
                packed, kind = compress(page), SNAPPY
                if len(packed) >= PAGE:
                    packed, kind = page, 0
                counts[kind] += 1
                out.write(packed)
                new_place[at] = (next_at, len(packed), kind)
                next_at += len(packed)
            table += DESCRIPTOR.pack(*new_place[at], page_flags)
        out.seek(table_at)
        out.write(table)
    print(f"{counts[SNAPPY]} pages compressed, {counts[0]} plain, {pages} in all")


main()
