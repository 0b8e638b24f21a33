"""Ways to damage a file. Each takes the bytes, a place (offset, length) and a random generator, and is deterministic."""

import struct
from random import Random

Place = tuple[int, int]

# Values that break arithmetic, bounds and conventions.
WORDS = [0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFF, 0x1000, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
         1 << 32, 1 << 40, 1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 8, (1 << 64) - 1]


def flip_bits(data: bytearray, place: Place, rng: Random) -> None:
    start, length = place
    for _ in range(rng.choice([1, 1, 2, 8, 64, 512])):
        data[start + rng.randrange(length)] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, place: Place, rng: Random) -> None:
    start, length = place
    size = min(length, rng.choice([1, 4, 8, 64, 512, 4096, 8192, 65536]))
    at = start + rng.randrange(length - size + 1)
    kind = rng.randrange(5)
    if kind == 0:
        data[at : at + size] = bytes(size)
    elif kind == 1:
        data[at : at + size] = b"\xff" * size
    elif kind == 2:
        data[at : at + size] = rng.randbytes(size)
    elif kind == 3:
        source = rng.randrange(max(1, len(data) - size))
        data[at : at + size] = data[source : source + size]
    else:
        data[at : at + size] = (rng.randbytes(8) * (size // 8 + 1))[:size]


def set_fields(data: bytearray, place: Place, rng: Random) -> None:
    start, length = place
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        size, form = rng.choice([(2, "<H"), (4, "<I"), (8, "<Q"), (4, ">I"), (8, ">Q")])
        if length < size:
            continue
        at = start + rng.randrange(length - size + 1) // size * size
        (old,) = struct.unpack_from(form, data, at)
        new = rng.choice([rng.choice(WORDS), old + rng.choice([-1, 1, 8, 4096]), old << rng.randrange(32), old * 2])
        struct.pack_into(form, data, at, new % (1 << 8 * size))


def _kernel_words(data: bytearray, place: Place) -> list[int]:
    """Offsets of aligned words that look like addresses in the kernel's half."""
    start, length = place
    first = -(-start // 8) * 8
    # The two top bytes of such an address: the direct map and what follows, or the kernel's image and modules.
    return [at for at in range(first, start + length - 7, 8) if data[at + 7] == 0xFF and data[at + 6] != 0]


def wild_pointers(data: bytearray, place: Place, rng: Random) -> None:
    words = _kernel_words(data, place)
    if not words:
        return flip_bits(data, place, rng)
    share = rng.choice([1, 1, 3, 10, 100, len(words)])
    for at in rng.sample(words, min(share, len(words))):
        other = rng.choice(words)
        (old,) = struct.unpack_from("<Q", data, at)
        (their,) = struct.unpack_from("<Q", data, other)
        kind = rng.randrange(7)
        if kind == 0:  # swapped with another
            struct.pack_into("<Q", data, other, old)
            new = their
        elif kind == 1:  # the same as another: lists that join or loop
            new = their
        elif kind == 2:  # somewhere near: members of the wrong type
            new = old + rng.choice([-4096, -64, -8, -1, 1, 8, 64, 4096])
        elif kind == 3:  # as another, but misaligned
            new = their ^ rng.randrange(8)
        elif kind == 4:
            new = rng.choice(WORDS)
        elif kind == 5:
            new = rng.getrandbits(64)
        else:  # into the page that holds it, as far as pages are told by their pointers
            new = (old & ~0xFFF) | (at & 0xFFF)
        struct.pack_into("<Q", data, at, new % (1 << 64))


def one_value(data: bytearray, place: Place, rng: Random) -> None:
    """Points every pointer of the place at one thing: loops everywhere."""
    words = _kernel_words(data, place)
    if words:
        (target,) = struct.unpack_from("<Q", data, rng.choice(words))
        for at in words:
            struct.pack_into("<Q", data, at, target)


def truncate(data: bytearray, place: Place, rng: Random) -> None:
    start, length = place
    del data[max(1, start + rng.randrange(length)) :]


ANY = [flip_bits, overwrite, set_fields]
POINTERS = [wild_pointers, wild_pointers, one_value, flip_bits, set_fields]
