"""Small inputs made by hand: log buffers, kallsyms, and a profile, as fuzz/fuzz_targets reads them."""

import struct

START = 0xFFFFFFFF82000000


def align(data: bytearray, to: int = 8) -> int:
    data.extend(bytes(-len(data) % to))
    return len(data)


def printk_lockless() -> bytes:
    """Four records in a ring of 16 descriptors and 512 bytes of text, as the kernel's initializer begins it."""
    memory = bytearray(0x5000)
    ring, descs, infos, data = (START + at for at in (0x1000, 0x2000, 0x3000, 0x4000))
    first = (-(16 + 1) & (1 << 62) - 1) + 1 & (1 << 62) - 1
    begin = -512 & (1 << 64) - 1
    struct.pack_into("<Q", memory, 0, ring)
    struct.pack_into("<I4xQQQQ8xI4xQ", memory, 0x1000, 4, descs, infos, first + 3, first, 9, data)
    for number in range(4):
        record, text = first + number, b"record %d\n" % number
        at, end = begin % 512, begin + 8 + -(-len(text) // 8) * 8
        struct.pack_into("<Q", memory, 0x4000 + at, record)
        memory[0x4008 + at : 0x4008 + at + len(text)] = text
        slot = record % 16
        struct.pack_into("<QQQ", memory, 0x2000 + 24 * slot, 2 << 62 | record, begin, end & (1 << 64) - 1)
        struct.pack_into("<QQHBBI", memory, 0x3000 + 88 * slot, number, 1000 * number, len(text), 0, 6 << 5, 1)
        begin = end & (1 << 64) - 1
    return bytes(memory)


def printk_legacy(has_caller: bool) -> bytes:
    """Records with and without a dictionary, and one that goes on at the start of the buffer."""
    memory, size, at = bytearray(0x2100), 0x100, 0
    memory[0] = has_caller
    header = 20 if has_caller else 16
    for number, (text, entry) in enumerate([(b"first", b""), (b"second", b"SUBSYSTEM=pci\0DEVICE=+pci:0\0"), (b"x" * 99, b"")]):
        length = -(-(header + len(text) + len(entry)) // 4) * 4
        struct.pack_into("<QHHHBB", memory, 0x2000 + at, number, length, len(text), len(entry), 0, 6 << 5 | 2)
        body = 0x2000 + at + header
        memory[body : body + len(text) + len(entry)] = text + entry
        at += length
    struct.pack_into("<QIII", memory, 0x1000, 0x2000, size, 0, at)
    struct.pack_into("<QQ", memory, 0x1018, 0, 3)
    return bytes(memory)


def kallsyms(since_6_4: bool, symbols: int = 300) -> bytes:
    """Tables in one of their two orders."""
    base, data = START, bytearray(b"\xcc" * 999)
    tokens = [b"%c" % code if chr(code).isalpha() and code < 128 else b"_%d" % code for code in range(256)]
    index = [sum(len(token) + 1 for token in tokens[:code]) for code in range(256)]
    names, markers = bytearray(), []
    for symbol in range(symbols):
        if symbol % 256 == 0:
            markers.append(len(names))
        names += bytes([3]) + b"Tf" + bytes([symbol % 256])

    def table(content: bytes) -> None:
        align(data)
        data.extend(content)

    def values() -> None:
        table(struct.pack(f"<{symbols}i", *(-1 - 16 * symbol for symbol in range(symbols))))
        table(struct.pack("<Q", base))

    if not since_6_4:
        values()
    table(struct.pack("<I", symbols))
    table(bytes(names))
    table(struct.pack(f"<{len(markers)}I", *markers))
    table(b"".join(token + b"\0" for token in tokens))
    table(struct.pack("<256H", *index))
    if since_6_4:
        values()
    align(data)
    return bytes(data)


def btf() -> bytes:
    """The types of one integer and of a structure with one member."""
    strings = b"\0int\0list_head\0next\0"
    types = struct.pack("<4I", 1, 1 << 24, 4, 32) + struct.pack("<6I", 5, 4 << 24 | 1, 8, 15, 1, 0)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


def profile() -> bytes:
    """An ELF executable with symbols, a build-id, a banner and BTF."""
    banner = b"Linux version 6.1.0 (a@b) (gcc) #1 SMP\n\0"
    note = struct.pack("<3I", 4, 20, 3) + b"GNU\0" + bytes(range(20))
    names = b"\0_text\0linux_banner\0"
    symbol = lambda name, section, value, size: struct.pack("<IBBHQQ", name, 0x11, 0, section, value, size)
    symbols = symbol(0, 0, 0, 0) + symbol(1, 1, START, 4096) + symbol(7, 2, START + 0x1000, len(banner))
    section_names = b"\0.text\0.rodata.linux_banner\0.notes\0.BTF\0.symtab\0.strtab\0.shstrtab\0"
    sections = [
        (".text", 8, 6, START, b"", 4096, 0, 0),
        (".rodata.linux_banner", 1, 2, START + 0x1000, banner, 0, 0, 0),
        (".notes", 7, 2, START + 0x2000, note, 0, 0, 0),
        (".BTF", 1, 0, 0, btf(), 0, 0, 0),
        (".symtab", 2, 0, 0, symbols, 0, 6, 24),
        (".strtab", 3, 0, 0, names, 0, 0, 0),
        (".shstrtab", 3, 0, 0, section_names, 0, 0, 0),
    ]
    data, headers = bytearray(64), bytearray(64)
    for name, kind, flags, address, content, size, link, entry in sections:
        at = align(data)
        data.extend(content)
        headers += struct.pack(
            "<IIQQQQIIQQ", section_names.index(name.encode() + b"\0"), kind, flags, address, at, size or len(content), link, 1, 8, entry
        )
    table = align(data)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, len(sections) + 1, len(sections))
    data[:64] = header
    return bytes(data + headers)
