"""The other forms that a dump can have, made of a small ELF core: kdump-compressed and flattened.

makedumpfile cannot make them of a reduced dump: it needs the kernel's whole memory map.
"""

import struct
import zlib

PAGE = 4096


def loads(core: bytes) -> list[tuple[int, int, int]]:
    """Physical address, file offset and size of every PT_LOAD."""
    found = []
    for at in header_offsets(core):
        kind, _, offset, _, physical, size = struct.unpack_from("<IIQQQQ", core, at)
        if kind == 1:
            found.append((physical, offset, size))
    return found


def notes(core: bytes) -> tuple[int, int]:
    """File offset and size of the notes."""
    for at in header_offsets(core):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", core, at)
        if kind == 4:
            return offset, size
    raise ValueError("the core has no notes")


def header_offsets(core: bytes) -> range:
    (start,) = struct.unpack_from("<Q", core, 32)
    (count,) = struct.unpack_from("<H", core, 56)
    return range(start, start + 56 * count, 56)


def _vmcoreinfo(core: bytes, at: int, size: int) -> tuple[int, int]:
    """Offset in the notes, and size, of the VMCOREINFO text."""
    start = core.index(b"VMCOREINFO\0", at, at + size)
    (length,) = struct.unpack_from("<I", core, start - 8)
    return start + 12 - at, length


def kdump(core: bytes) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """A kdump-compressed dump (version 6, zlib), and where its parts are."""
    pages = {}
    for physical, offset, size in loads(core):
        for at in range(0, size - size % PAGE, PAGE):
            pages[(physical + at) // PAGE] = core[offset + at : offset + at + PAGE]
    frames = max(pages) + 1
    notes_at, notes_len = notes(core)
    info_at, info_len = _vmcoreinfo(core, notes_at, notes_len)
    sub_blocks = -(-(104 + notes_len) // PAGE)
    bitmap_len = -(-frames // 8 // PAGE) * PAGE + PAGE
    header = bytearray(PAGE * (1 + sub_blocks))
    struct.pack_into("<8sI", header, 0, b"KDUMP   ", 6)
    header[12:17], header[272:278] = b"Linux", b"x86_64"
    struct.pack_into("<5I", header, 424, 0, PAGE, sub_blocks, 2 * bitmap_len // PAGE, frames)
    place = PAGE + 104
    struct.pack_into("<II", header, PAGE + 8, 31, 0)
    struct.pack_into("<QQ", header, PAGE + 32, place + info_at, info_len)
    struct.pack_into("<QQ", header, PAGE + 48, place, notes_len)
    struct.pack_into("<Q", header, PAGE + 96, frames)
    header[place : place + notes_len] = core[notes_at : notes_at + notes_len]
    bitmap = bytearray(bitmap_len)
    for frame in pages:
        bitmap[frame // 8] |= 1 << frame % 8
    descriptors_at = len(header) + 2 * bitmap_len
    data_at = descriptors_at + 24 * len(pages)
    descriptors, data = bytearray(), bytearray()
    for frame in sorted(pages):
        packed = zlib.compress(pages[frame], 1)
        flags, stored = (1, packed) if len(packed) < PAGE else (0, pages[frame])
        descriptors += struct.pack("<QIIQ", data_at + len(data), len(stored), flags, 0)
        data += stored
    parts = {
        "header": (0, len(header)),
        "bitmap": (len(header), 2 * bitmap_len),
        "descriptors": (descriptors_at, len(descriptors)),
        "bombs": (descriptors_at, len(descriptors)),
        "data": (data_at, len(data)),
    }
    return bytes(header) + 2 * bytes(bitmap) + bytes(descriptors + data), parts


def kdump_parts(data: bytes) -> dict[str, tuple[int, int]]:
    """Where the parts of a kdump-compressed dump are that this project wrote."""
    _, block, sub_blocks, bitmap_blocks, _ = struct.unpack_from("<5I", data, 424)
    bitmap = (block * (1 + sub_blocks), block * bitmap_blocks)
    descriptors_at = sum(bitmap)
    half = bitmap[1] // 2
    pages = sum(byte.bit_count() for byte in data[bitmap[0] + half : descriptors_at])
    data_at = descriptors_at + 24 * pages
    return {
        "header": (0, bitmap[0]),
        "bitmap": bitmap,
        "descriptors": (descriptors_at, 24 * pages),
        "bombs": (descriptors_at, 24 * pages),
        "data": (data_at, len(data) - data_at),
    }


def _section_headers(elf: bytes) -> list[tuple[int, ...]]:
    (table,) = struct.unpack_from("<Q", elf, 40)
    count, names = struct.unpack_from("<HH", elf, 60)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, table + 64 * index) for index in range(count)]
    # That of the section with the names comes first.
    return [headers[names], *headers]


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode(errors="replace")


def sections(elf: bytes) -> dict[str, bytes]:
    """The contents of the sections of an ELF file, by their names."""
    names, *headers = _section_headers(elf)
    there = [header for header in headers if header[1] not in (0, 8)]
    return {_text(elf, names[4] + header[0]): elf[header[4] : header[4] + header[5]] for header in there}


def symbols(elf: bytes) -> dict[str, int]:
    """The symbols of an ELF file, by their names."""
    _, *headers = _section_headers(elf)
    found = {}
    for _, kind, _, _, offset, size, link, *_ in headers:
        if kind == 2:
            names = headers[link][4]
            for name, _, _, _, value, _ in struct.iter_unpack("<IBBHQQ", elf[offset : offset + size]):
                found[_text(elf, names + name)] = value
    return found


def flattened(image: bytes) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The flattened form of any dump, and where its parts are."""
    out = bytearray(b"makedumpfile".ljust(16, b"\0") + struct.pack(">QQ", 1, 1)).ljust(PAGE, b"\0")
    for at in range(0, len(image), 3 * PAGE):
        record = image[at : at + 3 * PAGE]
        out += struct.pack(">QQ", at, len(record)) + record
    out += b"\xff" * 16
    return bytes(out), {"header": (0, 2 * PAGE), "data": (PAGE, len(out) - PAGE)}
