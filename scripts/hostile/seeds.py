"""Writes inputs for the fuzzers to begin with: small dumps of every format, made of parts of real and synthetic ones,
sections of synthetic vmlinux files, logs, and tables made by hand.
"""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import forms
import seed_tables

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "testdata" / "6.1-cloud-amd64"
KERNELS = ["4.19", "5.10", "6.1", "6.12", "arm64-6.1", "arm64-6.12"]
# What a fuzzer reads of a seed.
MAX_LEN = 65536
# Logs that take longer make the fuzzer slow: it tries each with every line twice, as if two CPUs were in step.
LOG_LEN = 4096


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


def vmcoreinfo(notes: bytes) -> bytes:
    """The text, which is all that is left from its first line on."""
    return notes[notes.index(b"OSRELEASE") :]


def synthetic(binary: str, kernel: str) -> tuple[bytes, bytes]:
    """Dump and vmlinux of a synthetic machine."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([binary, "synth", "in-a-module", "--kernel", kernel, "-o", f"{directory}/dump"], check=True)
        return tuple((Path(directory) / "dump" / name).read_bytes() for name in ("vmcore", "vmlinux"))


def sections_of(vmlinux: bytes, *names: str) -> list[bytes]:
    """The contents of these sections, as much as a fuzzer reads; nothing for those that are not there."""
    found = forms.sections(vmlinux)
    return [found[name][:MAX_LEN] for name in names if name in found]


def dumps(cores: dict[str, bytes]) -> list[tuple[str, str, bytes]]:
    """Seeds of the targets that read dumps, of whole dumps by their names."""
    seeds = []
    for name, core in cores.items():
        # The frames of the first pages are low, so the bitmaps stay small.
        elf = small(core, 3)
        kdump = forms.kdump(elf)[0]
        notes = elf[slice(*span(elf))]
        flattened = [("elf", forms.flattened(elf)[0]), ("kdump", forms.flattened(kdump)[0])]
        seeds += [("dump", f"elf-{name}", elf), ("dump", f"kdump-{name}", kdump), ("kdump", name, kdump)]
        seeds += [(target, f"flat-{form}-{name}", data) for target in ("dump", "flattened") for form, data in flattened]
        seeds += [("notes", name, notes), ("vmcoreinfo", name, vmcoreinfo(notes))]
    return seeds


def tables(vmlinuxes: dict[str, bytes]) -> list[tuple[str, str, bytes]]:
    """Seeds of the targets that read parts of a vmlinux."""
    seeds = []
    for name, vmlinux in vmlinuxes.items():
        seeds += [("btf", name, types) for types in sections_of(vmlinux, ".BTF")]
        seeds.append(("orc", name, bytes(16) + b"".join(sections_of(vmlinux, ".orc_unwind_ip", ".orc_unwind"))))
        seeds += [("call_frames", name, bytes(8) + frames) for frames in sections_of(vmlinux, ".debug_frame")]
    return seeds


def by_hand() -> list[tuple[str, str, bytes]]:
    return [
        ("printk_lockless", "four", seed_tables.printk_lockless()),
        ("printk_legacy", "without-caller", seed_tables.printk_legacy(False)),
        ("printk_legacy", "with-caller", seed_tables.printk_legacy(True)),
        ("kallsyms", "up-to-6.3", seed_tables.kallsyms(False)),
        ("kallsyms", "since-6.4", seed_tables.kallsyms(True)),
        ("btf", "small", seed_tables.btf()),
        ("profile", "small", seed_tables.profile()),
        ("vmlinux", "small", seed_tables.profile()),
        # A word and what becomes of it, twice.
        ("verdict", "two-words", bytes(range(1, 17))),
        # A codec, how, and a page: as text, and in place of what the codec makes of it.
        *[("decoders", f"{codec}-{how}", bytes([codec, how]) + b"kernel " * 9) for codec in range(4) for how in (1, 3, 5)],
    ]


def write(corpus: Path, binary: str) -> None:
    """Writes the seeds of each target into a directory of its name."""
    if not Path(binary).is_file():
        sys.exit(f"{binary} is not there: cargo build --release")
    made = {kernel: synthetic(binary, kernel) for kernel in KERNELS}
    cores = {"real": (DATA / "thp-livelock.vmcore").read_bytes(), "qemu": (DATA / "soft-lockup.vmcore").read_bytes()}
    cores |= {kernel: core for kernel, (core, _) in made.items()}
    vmlinuxes = {"real": (DATA / "vmlinux.profile").read_bytes()}
    vmlinuxes |= {kernel: vmlinux for kernel, (_, vmlinux) in made.items()}
    logs = (ROOT / "crates" / "console" / "tests" / "logs").glob("*.log")
    console = [("console", path.stem, path.read_bytes()[-LOG_LEN:]) for path in logs]
    for target, name, data in [*dumps(cores), *tables(vmlinuxes), *console, *by_hand()]:
        (corpus / target).mkdir(parents=True, exist_ok=True)
        (corpus / target / name).write_bytes(data)

