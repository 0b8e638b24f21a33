"""Ways to damage what a file is made of, each aimed at one structure: program headers, notes, page tables, links, pages.

Each takes the bytes, all places of its kind and a random generator, as `mutations.py` does for one place.
"""

import struct
import zlib
from random import Random

from mutations import WORDS, Place

PAGE = 4096


def segments(data: bytearray, places: list[Place], rng: Random) -> None:
    """Program headers that overlap, lie, or overflow. The place is the table."""
    start, length = rng.choice(places)
    count = length // 56
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = start + 56 * rng.randrange(count)
        # p_offset, p_vaddr, p_paddr, p_filesz, p_memsz
        field = rng.choice([8, 16, 24, 32, 40])
        other = start + 56 * rng.randrange(count)
        (old,) = struct.unpack_from("<Q", data, at + field)
        (their,) = struct.unpack_from("<Q", data, other + field)
        new = rng.choice([their, their + PAGE, their - PAGE, old + rng.choice([1, 8, PAGE]), -old, rng.choice(WORDS)])
        struct.pack_into("<Q", data, at + field, new % (1 << 64))
    if rng.randrange(4) == 0:
        struct.pack_into("<H", data, 56, rng.choice([0, 1, 0xFFFE, 0xFFFF, count + 1]))


def note_sizes(data: bytearray, places: list[Place], rng: Random) -> None:
    """Absurd sizes of names and contents. The place is all notes."""
    start, length = rng.choice(places)
    headers, at = [], start
    while at + 12 <= start + length:
        headers.append(at)
        name, desc, _ = struct.unpack_from("<III", data, at)
        at += 12 + -(-name // 4) * 4 + -(-desc // 4) * 4
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.choice(headers) + rng.choice([0, 4, 4, 8])
        (old,) = struct.unpack_from("<I", data, at)
        new = rng.choice([rng.choice(WORDS), old - 1, old + 1, old * 2, old + 0x7FFFFFFF, rng.getrandbits(32)])
        struct.pack_into("<I", data, at, new % (1 << 32))


def table_entries(data: bytearray, places: list[Place], rng: Random) -> None:
    """Page-table entries that lead back, elsewhere or nowhere. The places are tables."""
    start, length = rng.choice(places)
    used = [at for at in range(start, start + length - 7, 8) if data[at : at + 8] != bytes(8)]
    if not used:
        return
    for at in rng.sample(used, min(len(used), rng.choice([1, 1, 2, 8, 512]))):
        (old,) = struct.unpack_from("<Q", data, at)
        (their,) = struct.unpack_from("<Q", data, rng.choice(used))
        new = rng.choice([
            their,
            old ^ 1,  # present
            old ^ 1 << 7,  # a large page, or no more
            old ^ 1 << rng.randrange(64),
            old & 0xFFF | rng.getrandbits(40) << 12,
            old & 0xFFF | 0x000F_FFFF_FFFF_F000,
            rng.choice(WORDS),
        ])
        struct.pack_into("<Q", data, at, new)


def relink(data: bytearray, places: list[Place], rng: Random) -> None:
    """Links of trees and lists that lead to other members: cycles, joins, orphans. Each place is a link."""
    for at, _ in rng.sample(places, min(len(places), rng.choice([1, 1, 2, 5, 20]))):
        other, _ = rng.choice(places)
        (their,) = struct.unpack_from("<Q", data, other)
        # The lowest bit of a parent is its color.
        struct.pack_into("<Q", data, at, rng.choice([their, their & ~1, their, 0]))


def bombs(data: bytearray, places: list[Place], rng: Random) -> None:
    """Pages of a kdump-compressed dump that unpack to far more than a page. The place is the table of descriptors."""
    start, length = rng.choice(places)
    kind = rng.choice(sorted(BOMBS))
    bomb = BOMBS[kind]
    at = len(data)
    data += bomb
    for _ in range(rng.choice([1, 50, length // 24])):
        descriptor = start + 24 * rng.randrange(length // 24)
        size = rng.choice([len(bomb), len(bomb), PAGE - 1, 0xFFFFFFFF])
        struct.pack_into("<QII", data, descriptor, at, size, kind)


def _zlib_bomb() -> bytes:
    return zlib.compress(bytes(16 << 20), 9)


def _snappy_bomb() -> bytes:
    """Says 2 GiB, and copies 64 bytes again and again."""
    length = bytes([0x80, 0x80, 0x80, 0x80, 0x08])
    return length + bytes([0, 0x41]) + bytes([0xFE, 1, 0]) * 4000


def _lzo_bomb() -> bytes:
    """A literal, then a match whose length goes on for 255 bytes for each zero."""
    return bytes([17 + 4]) + b"AAAA" + bytes([0x20]) + bytes(4000) + bytes([1, 0, 0]) + bytes([0x11, 0, 0])


def _zstd_bomb() -> bytes:
    """A window of 128 MiB, and blocks of 128 KiB of one byte each."""
    block = (0x20000 << 3 | 1 << 1).to_bytes(3, "little") + b"A"
    last = (0x20000 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"
    return b"\x28\xb5\x2f\xfd" + bytes([0x00, 17 << 3]) + block * 1000 + last


# By the flag of a page's descriptor.
BOMBS = {1: _zlib_bomb(), 2: _lzo_bomb(), 4: _snappy_bomb(), 0x20: _zstd_bomb()}
