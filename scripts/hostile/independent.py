"""A second reader of ELF cores and kdump-compressed dumps, written from the formats' own documentation and nothing of the first
one: makedumpfile's IMPLEMENTATION and diskdump_mod.h, the System V ABI. Pages are unpacked by the C originals.

It is for small dumps: it has the whole file in memory, and takes no care to be fast.
"""

import ctypes
import struct
import zlib

PAGE = 4096
# Pages of one dump that are looked at: a damaged header claims any number.
MOST_PAGES = 20_000
# What is flattened further away than this, in bytes, is left out.
LARGEST = 1 << 28
DISKDUMP = b"KDUMP   "


class Refused(Exception):
    """The file is no dump that can be read."""


class Unreadable(Exception):
    """A page is not there, or cannot be unpacked."""


def library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(name)


class Originals:
    """The C libraries, by the flag of a page's descriptor."""

    def __init__(self) -> None:
        self.lzo, self.snappy, self.zstd = (library(f"lib{name}") for name in ("lzo2.so.2", "snappy.so.1", "zstd.so.1"))
        self.zstd.ZSTD_decompress.restype = ctypes.c_size_t

    def unpack(self, flags: int, data: bytes) -> bytes:
        match flags:
            case 0:
                page = data
            case 1:
                page = self._zlib(data)
            case 2:
                page = self._sized(lambda out, size: self.lzo.lzo1x_decompress_safe(data, len(data), out, size, None))
            case 4:
                page = self._sized(lambda out, size: self.snappy.snappy_uncompress(data, ctypes.c_size_t(len(data)), out, size))
            case 0x20:
                page = self._zstd(data)
            case _:
                raise Unreadable(f"flags {flags:#x}")
        if len(page) != PAGE:
            raise Unreadable(f"{len(page)} bytes")
        return page

    @staticmethod
    def _zlib(data: bytes) -> bytes:
        stream = zlib.decompressobj()
        try:
            page = stream.decompress(data, PAGE + 1)
        except zlib.error as error:
            raise Unreadable(str(error)) from error
        if not stream.eof:
            raise Unreadable("the stream does not end")
        return page

    @staticmethod
    def _sized(call) -> bytes:
        out, size = ctypes.create_string_buffer(PAGE + 1), ctypes.c_size_t(PAGE + 1)
        if call(out, ctypes.byref(size)) != 0:
            raise Unreadable("damaged")
        return out.raw[: size.value]

    def _zstd(self, data: bytes) -> bytes:
        out = ctypes.create_string_buffer(PAGE + 1)
        size = self.zstd.ZSTD_decompress(out, ctypes.c_size_t(PAGE + 1), data, ctypes.c_size_t(len(data)))
        if size > PAGE + 1:
            raise Unreadable("damaged")
        return out.raw[:size]


ORIGINALS = Originals()


class Elf:
    """An ELF core: segments of memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        if len(data) < 64 or data[:7] != b"\x7fELF\x02\x01\x01":
            raise Refused("no ELF header")
        kind, machine = struct.unpack_from("<HH", data, 16)
        table, section = struct.unpack_from("<QQ", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        if count == 0xFFFF:
            # PN_XNUM: sh_info of the first section header.
            if section + 64 > len(data):
                raise Refused("no section header")
            (count,) = struct.unpack_from("<I", data, section + 44)
        if (kind, machine, size) != (4, 62, 56):
            raise Refused("not a core of x86-64")
        # Of a file that was cut short, or says too many, those that are there.
        count = min(count, max(0, len(data) - table) // 56)
        headers = (struct.unpack_from("<IIQQQQQ", data, table + 56 * index) for index in range(count))
        self.loads = [(physical, at, size) for kind, _, at, _, physical, size, _ in headers if kind == 1]

    def pages(self):
        """Frames that lie in a segment as a whole."""
        for physical, _, size in self.loads:
            yield from range(-(-physical // PAGE), (physical + size) // PAGE)

    def page(self, frame: int) -> list[bytes]:
        """What a page may be: where segments of a damaged dump overlap, any order of them."""
        start = frame * PAGE
        loads = [load for load in self.loads if load[0] < start + PAGE and start < load[0] + load[2]]
        orders = [loads, loads[::-1], sorted(loads), sorted(loads, reverse=True)] if len(loads) > 1 else [loads]
        found = [page for order in orders if (page := self.assembled(start, order))]
        if not found:
            raise Unreadable("in no segment")
        return found

    def assembled(self, start: int, loads: list[tuple[int, int, int]]) -> bytes | None:
        """A page of what each segment has of it, the first of them first; `None` where a byte is missing."""
        page, missing = bytearray(PAGE), [(start, start + PAGE)]
        for physical, at, size in loads:
            end, left = physical + min(size, len(self.data) - at), []
            for first, last in missing:
                low, high = max(first, physical), min(last, end)
                if low >= high:
                    left.append((first, last))
                    continue
                page[low - start : high - start] = self.data[at + low - physical : at + high - physical]
                left += [(a, b) for a, b in ((first, low), (high, last)) if a < b]
            missing = left
        return None if missing else bytes(page)


class Kdump:
    """A kdump-compressed dump: a bitmap of the pages that are there, and a descriptor for each of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        if len(data) < 2 * PAGE or data[:8] != DISKDUMP:
            raise Refused("no header")
        (self.version,) = struct.unpack_from("<i", data, 8)
        self.block, sub_blocks, bitmap_blocks, self.frames = struct.unpack_from("<4I", data, 428)
        if self.block != PAGE:
            raise Refused(f"blocks of {self.block} bytes")
        if self.version >= 6:
            (self.frames,) = struct.unpack_from("<Q", data, PAGE + 96)
        first = PAGE * (1 + sub_blocks)
        half = PAGE * bitmap_blocks // 2
        self.bitmap = data[first + half : first + 2 * half]
        self.descriptors = first + 2 * half
        if self.descriptors > len(data):
            raise Refused("the bitmap goes beyond the end")
        self.places: dict[int, int] = {}
        for frame in self._set_bits():
            self.places[frame] = self.descriptors + 24 * len(self.places)

    def _set_bits(self):
        for index, byte in enumerate(self.bitmap):
            for bit in range(8) if byte else ():
                if byte >> bit & 1 and 8 * index + bit < self.frames:
                    yield 8 * index + bit

    def pages(self):
        return iter(self.places)

    def page(self, frame: int) -> list[bytes]:
        place = self.places.get(frame)
        if place is None:
            raise Unreadable("not in the bitmap")
        if place + 24 > len(self.data):
            raise Unreadable("no descriptor")
        at, size, flags, _ = struct.unpack_from("<QIIQ", self.data, place)
        if at + size > len(self.data):
            raise Unreadable("beyond the end")
        return [ORIGINALS.unpack(flags, self.data[at : at + size])]


def unflattened(data: bytes) -> bytes:
    """What makedumpfile -R would make of a flattened dump."""
    out, at = bytearray(), PAGE
    while at + 16 <= len(data):
        place, size = struct.unpack_from(">qq", data, at)
        at += 16
        # The end, or damage: makedumpfile -R goes on for as long as there is something to write.
        if place < 0 or size <= 0:
            break
        record = data[at : at + size]
        at += size
        if place + len(record) > LARGEST:
            continue
        out.extend(bytes(max(0, place + len(record) - len(out))))
        out[place : place + len(record)] = record
    return bytes(out)


def open_dump(data: bytes) -> Elf | Kdump:
    if data.startswith(b"makedumpfile\0"):
        data = unflattened(data)
    return Kdump(data) if data.startswith(DISKDUMP) else Elf(data)
