"""Writes inputs for the fuzzers to begin with: small dumps of every format, made of parts of a real one.

usage: seeds.py CORPUS
"""

import struct
import sys
from pathlib import Path

import forms
import seed_tables

DATA = Path(__file__).resolve().parents[2] / "testdata" / "6.1-cloud-amd64"


def small(core: bytes, pages: int) -> bytes:
    """An ELF core with the notes and the first pages of another."""
    (start,) = struct.unpack_from("<Q", core, 32)
    notes_at, notes_len = forms.notes(core)
    kept = forms.loads(core)[:pages]
    end = start + 56 * (1 + len(kept))
    headers, body = bytearray(core[:64]), bytearray(core[notes_at : notes_at + notes_len])
    struct.pack_into("<H", headers, 56, 1 + len(kept))
    headers += struct.pack("<IIQQQQQQ", 4, 0, end, 0, 0, notes_len, notes_len, 4)
    for physical, offset, _ in kept:
        at = end + len(body)
        headers += struct.pack("<IIQQQQQQ", 1, 7, at, 0, physical, 4096, 4096, 0)
        body += core[offset : offset + 4096]
    return bytes(headers + body)


def span(core: bytes) -> tuple[int, int]:
    """Where the notes are."""
    at, size = forms.notes(core)
    return at, at + size


def main() -> None:
    corpus = Path(sys.argv[1])
    core = (DATA / "thp-livelock.vmcore").read_bytes()
    qemu = (DATA / "soft-lockup.vmcore").read_bytes()
    # The frames of the first pages are low, so the bitmaps stay small.
    seeds = {"elf": small(core, 3), "elf-qemu": small(qemu, 3)}
    seeds["kdump"] = forms.kdump(seeds["elf"])[0]
    for name in ("elf", "kdump"):
        seeds[f"flattened-{name}"] = forms.flattened(seeds[name])[0]
    notes = {name: seed[slice(*span(seed))] for name, seed in seeds.items() if name.startswith("elf")}
    at, size = forms.notes(core)
    text = core.index(b"OSRELEASE", at, at + size)
    for target, name, data in [
        *(("dump", name, data) for name, data in seeds.items()),
        *(("flattened", name, data) for name, data in seeds.items() if name.startswith("flattened")),
        *(("notes", name, data) for name, data in notes.items()),
        ("kdump", "real", seeds["kdump"]),
        ("vmcoreinfo", "real", core[text : at + size]),
        ("printk_lockless", "four", seed_tables.printk_lockless()),
        ("printk_legacy", "without-caller", seed_tables.printk_legacy(False)),
        ("printk_legacy", "with-caller", seed_tables.printk_legacy(True)),
        ("kallsyms", "up-to-6.3", seed_tables.kallsyms(False)),
        ("kallsyms", "since-6.4", seed_tables.kallsyms(True)),
        ("btf", "small", seed_tables.btf()),
        ("profile", "small", seed_tables.profile()),
        ("vmlinux", "small", seed_tables.profile()),
    ]:
        (corpus / target).mkdir(parents=True, exist_ok=True)
        (corpus / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
