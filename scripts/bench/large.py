"""Makes two dumps of machines that are much larger than the dump they are made of.

usage: large.py elf VMCORE OUT      the segments of an ELF core, and sparse ones up to 1 TiB
       large.py kdump VMCORE OUT    the pages of a kdump-compressed dump, and bitmaps for 12 TiB

All that is new is memory that nobody asks for: what the kernel of VMCORE says stays true, so every
command gives the same answer. The files are sparse and take little more disk than VMCORE.
"""

import os
import shutil
import struct
import subprocess
import sys

PAGE = 4096
TIB = 1 << 40
ELF_BYTES = TIB
KDUMP_BYTES = 12 * TIB
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def elf(source: str, target: str) -> None:
    """A terabyte in segments of 64 GiB, as machines with many memory nodes have it."""
    copy(source, target)
    with open(target, "r+b") as file:
        header = bytearray(file.read(64))
        (start,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        assert size == PROGRAM_HEADER.size, "not an ELF core of 64 bits"
        file.seek(start)
        programs = file.read(size * count)
        loads = [PROGRAM_HEADER.unpack_from(programs, at) for at in range(0, len(programs), size)]
        top = max(load[4] + load[6] for load in loads if load[0] == 1)
        physical = -(-top // (1 << 30)) << 30
        offset = -(-os.path.getsize(target) // PAGE) * PAGE
        table = bytearray(programs)
        end = offset + ELF_BYTES
        step = 64 << 30
        while offset < end:
            table += PROGRAM_HEADER.pack(1, 7, offset, 0, physical, step, step, 0)
            physical += step
            offset += step
        # The table no longer fits where it was.
        struct.pack_into("<Q", header, 32, offset)
        struct.pack_into("<H", header, 56, len(table) // size)
        file.seek(0)
        file.write(header)
        file.seek(offset)
        file.write(table)


def kdump(source: str, target: str) -> None:
    """Version 6, whose number of frames has 64 bits. The new frames are in neither bitmap."""
    with open(source, "rb") as file:
        main = bytearray(file.read(PAGE))
        assert main[:8] == b"KDUMP   ", "not a kdump-compressed dump"
        sub_blocks, bitmap_blocks = struct.unpack_from("<II", main, 432)
        sub = bytearray(file.read(sub_blocks * PAGE))
        half = bitmap_blocks // 2 * PAGE
        bitmaps = [file.read(half), file.read(half)]
        frames = KDUMP_BYTES // PAGE
        new_half = frames // 8
        new_table = PAGE * (1 + sub_blocks) + 2 * new_half
        moved = new_table - PAGE * (1 + sub_blocks) - 2 * half
        struct.pack_into("<I", main, 8, 6)
        struct.pack_into("<I", main, 436, 2 * new_half // PAGE)
        struct.pack_into("<I", main, 440, min(frames, 0xFFFF_FFFF))
        struct.pack_into("<Q", sub, 96, frames)
        pages = sum(byte.bit_count() for byte in bitmaps[1])
        table = bytearray(file.read(pages * 24))
        for at in range(0, len(table), 24):
            (place,) = struct.unpack_from("<Q", table, at)
            struct.pack_into("<Q", table, at, place + moved)
        with open(target, "wb") as out:
            out.write(main + sub)
            out.write(bitmaps[0])
            out.seek(PAGE * (1 + sub_blocks) + new_half)
            out.write(bitmaps[1])
            out.seek(new_table)
            out.write(table)
            shutil.copyfileobj(file, out, 1 << 20)


def copy(source: str, target: str) -> None:
    """Holes stay holes."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    os.chmod(target, 0o600)


{"elf": elf, "kdump": kdump}[sys.argv[1]](sys.argv[2], sys.argv[3])
