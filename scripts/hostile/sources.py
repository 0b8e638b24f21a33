"""What the campaign damages: real dumps and their profile, synthetic dumps of every generation of kernels in every form,
their vmlinux files, console logs, scenarios; and where in each of them the structures are that an analysis walks."""

import gzip
import json
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import forms
import proof
from mutations import Place

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "testdata" / "6.1-cloud-amd64"
ARM64 = ROOT / "testdata" / "6.12-cloud-arm64"
SCENARIOS = ["thp-livelock", "soft-lockup", "sysrq", "thp-busy"]
KERNELS = ["4.19", "5.10", "6.1", "6.12", "arm64-6.1", "arm64-6.12"]
# Where links are looked for, from the start of a task or a run queue.
OBJECT = 8192


@dataclass
class File:
    """A file to damage, and its interesting places."""

    name: str
    # "dump", "vmlinux", "log" or "scenario".
    role: str
    data: bytes
    places: dict[str, list[Place]]
    # What goes with it: the vmlinux of a dump, the dump of a vmlinux.
    partner: Path | None = None
    # Addresses to translate, and the thread id whose address space they are in.
    addresses: list[str] = field(default_factory=list)
    pid: str = "1"
    # What the verdict on the livelock rests on, if it is one.
    words: list[proof.Word] = field(default_factory=list)


class Reader:
    """Asks the program itself where things are in a dump that is whole."""

    def __init__(self, binary: Path, run: Callable, dump: Path, vmlinux: Path) -> None:
        self.binary, self.run, self.dump, self.vmlinux = binary, run, dump, vmlinux
        self.core = dump.read_bytes()
        self.segments = forms.loads(self.core)
        self.walks: dict[int, dict] = {}

    def query(self, *command: str) -> dict:
        words = [str(self.binary), command[0], str(self.dump), str(self.vmlinux), *command[1:], "--format", "json", "-q"]
        return json.loads(self.run(words).stdout)

    def offset(self, physical: str | int | None) -> int | None:
        """Where a physical address is in the file."""
        number = int(physical, 16) if isinstance(physical, str) else physical
        if number is None:
            return None
        return next((at + number - start for start, at, size in self.segments if start <= number < start + size), None)

    def page(self, physical: str | None) -> list[Place]:
        at = self.offset(int(physical, 16) & ~0xFFF) if physical else None
        return [] if at is None else [(at, 4096)]

    def translate(self, address: str) -> dict:
        """As `vtop`, but asked once for each page."""
        number = int(address, 16)
        page, offset = number & ~0xFFF, number & 0xFFF
        if page not in self.walks:
            self.walks[page] = self.query("vtop", hex(page))
        walk = self.walks[page]
        physical = int(walk["physical"], 16) + offset if walk["physical"] else self.linear(number)
        return {**walk, "physical": hex(physical) if physical is not None else None}

    def linear(self, address: int) -> int | None:
        """Where an address of the image or of the direct map of arm64 is: a small dump has not all of their tables."""
        at = self.core.find(b"NUMBER(kimage_voffset)=")
        if at < 0:
            return None
        info = dict(re.findall(rb"NUMBER\((\w+)\)=(\S+)", self.core[max(at - 4096, 0) : at + 4096]))
        image = address - int(info[b"kimage_voffset"], 0)
        direct = address - (1 << 64) + (1 << int(info[b"VA_BITS"])) + int(info[b"PHYS_OFFSET"], 0)
        return next((place for place in (image, direct) if self.offset(place) is not None), None)


def places_of(reader: Reader) -> dict[str, list[Place]]:
    """Where in the file the structures are that an analysis walks."""
    core = reader.core
    tasks, tables, queues, stacks, objects = set(), set(), set(), set(), set()

    def note(kind: set, address: str) -> None:
        walk = reader.translate(address)
        kind.update(reader.page(walk["physical"]))
        for level in walk["levels"]:
            tables.update(reader.page(level["entry_address"]))

    everybody = reader.query("ps")["tasks"]
    # Those of a run queue are noted below.
    for task in everybody[:: max(1, len(everybody) // 30)]:
        note(tasks, task["task"])
    for cpu in reader.query("runq")["cpus"]:
        note(queues, cpu["runqueue"])
        for address in [cpu["runqueue"], *(queued["task"] for queued in cpu["queued"])]:
            note(queues, address)
            note(queues, hex(int(address, 16) + 4096))
            objects.add(int(address, 16))
    for stack in reader.query("bt")["stacks"]:
        for frame in stack["frames"]:
            note(stacks, frame["sp"])
    log = {(at // 4096 * 4096, 4096) for text in (b"Linux version ", b"Kernel panic - not") for at in find_all(core, text)}
    first, size = forms.notes(core)
    headers = forms.header_offsets(core)
    table = (headers.start, len(headers) * 56)
    segments = reader.segments
    return {
        "anywhere": [(0, len(core))],
        "headers": [(0, 64), table],
        "program headers": [table],
        "notes": [(first, size)],
        "note sizes": [(first, size)],
        "tasks": sorted(tasks),
        "page tables": sorted(tables),
        "run queues": sorted(queues),
        "tree and list links": links(core, sorted(queues | tasks), objects),
        "per-CPU offsets": variable(reader, "__per_cpu_offset", 8 * 8),
        "modules": pointed(reader, "modules", 16),
        "stacks": sorted(stacks),
        "log": sorted(log),
        "log descriptors": pointed(reader, "printk_rb_static", 88) + pointed(reader, "log_buf", 8),
        "pointers": [(at, size) for _, at, size in segments],
        "all pointers": [(segments[0][1], sum(size for _, _, size in segments))],
    }


def links(core: bytes, pages: list[Place], objects: set[int]) -> list[Place]:
    """Words that point into one of the objects: tree nodes, list members."""
    found = []
    for start, length in pages:
        for at in range(start, start + length - 7, 8):
            (word,) = struct.unpack_from("<Q", core, at)
            if any(first < word < first + OBJECT for first in objects if word >> 47):
                found.append((at, 8))
    return found


def variable(reader: Reader, name: str, size: int) -> list[Place]:
    """Where a variable of the kernel is."""
    address = forms.symbols(reader.vmlinux.read_bytes()).get(name)
    if address is None:
        return []
    moved = address + int(reader.query("info")["kernel"]["kaslr_offset"] or "0", 16)
    at = reader.offset(reader.translate(hex(moved))["physical"])
    return [] if at is None else [(at, size)]


def pointed(reader: Reader, name: str, size: int) -> list[Place]:
    """A variable, and the pages that its words point to."""
    places = variable(reader, name, size)
    for at, length in places[:1]:
        for word in struct.unpack_from(f"<{length // 8}Q", reader.core, at):
            if word >> 47:
                places += reader.page(reader.translate(hex(word))["physical"])
    return places


def find_all(data: bytes, what: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(what), data)]


def vmlinux_places(data: bytes) -> dict[str, list[Place]]:
    (table,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    places = {"vmlinux headers": [(0, 64), (table, 64 * count)], "vmlinux sections": [], "vmlinux section starts": []}
    for index in range(count):
        _, kind, _, _, offset, size = struct.unpack_from("<IIQQQQ", data, table + 64 * index)
        if kind not in (0, 8) and size:
            places["vmlinux sections"].append((offset, size))
            places["vmlinux section starts"].append((offset, min(size, 64)))
    return places


def core_file(name: str, reader: Reader, pid: str) -> File:
    stacks = reader.query("bt")["stacks"]
    addresses = [stacks[0]["task"], stacks[0]["frames"][0]["pc"], "7f0000203140", "ffff888000000000"]
    words = proof.words(reader)
    return File(name, "dump", reader.core, places_of(reader), reader.vmlinux, addresses, pid, words)


def prefixed(kind: str, parts: dict[str, Place]) -> dict[str, list[Place]]:
    return {f"{kind} {name}": [place] for name, place in parts.items()}


def real(binary: Path, run: Callable) -> list[File]:
    """The dumps that come with the source, three of their forms, and their profile."""
    profile = DATA / "vmlinux.profile"
    files = [core_file(name, Reader(binary, run, DATA / f"{name}.vmcore", profile), "147") for name in SCENARIOS]
    for name, pid in [("thp-livelock", "196"), ("sysrq", "1")]:
        reader = Reader(binary, run, ARM64 / f"{name}.vmcore", ARM64 / "vmlinux.profile")
        files.append(core_file(f"arm64-{name}", reader, pid))
    core = files[0].data
    packed, parts = forms.kdump(core)
    files.append(File("kdump", "dump", packed, prefixed("kdump", parts), profile))
    for name, image in [("flat", core), ("flat-kdump", packed)]:
        flat, parts = forms.flattened(image)
        files.append(File(name, "dump", flat, prefixed("flattened", parts), profile))
    data = profile.read_bytes()
    files.append(File("profile", "vmlinux", data, vmlinux_places(data), DATA / "thp-livelock.vmcore"))
    return files


def synthetic(binary: Path, run: Callable, work: Path) -> list[File]:
    """Dumps of every generation of kernels, and in every form."""
    files = []

    def make(scenario: str, kernel: str, form: str) -> Path:
        directory = work / f"{scenario}-{kernel}-{form}"
        words = ["synth", scenario, "--kernel", kernel, "--form", form, "-o", str(directory)]
        done = run([str(binary), *words])
        assert done.status == 0, done.stderr
        return directory

    for kernel in KERNELS:
        for scenario, pid in [("thp-livelock", "201"), ("crowd", "201"), ("in-a-module", "240")]:
            directory = make(scenario, kernel, "elf")
            vmlinux = directory / "vmlinux"
            reader = Reader(binary, run, directory / "vmcore", vmlinux)
            files.append(core_file(f"{scenario}-{kernel}", reader, pid))
        data = vmlinux.read_bytes()
        files.append(File(f"vmlinux-{kernel}", "vmlinux", data, vmlinux_places(data), directory / "vmcore"))
    for kernel, form in zip(KERNELS + KERNELS, ["kdump", "kdump-zlib", "kdump-lzo", "kdump-snappy", "kdump-zstd"]):
        directory = make("thp-livelock", kernel, form)
        data = (directory / "vmcore").read_bytes()
        places = prefixed("kdump", forms.kdump_parts(data))
        files.append(File(f"{form}-{kernel}", "dump", data, places, directory / "vmlinux"))
    packed = gzip.compress(files[0].data, 1, mtime=0)
    files.append(File("gzip", "dump", packed, {"gzip": [(0, len(packed))]}, files[0].partner))
    return files


def texts() -> list[File]:
    """Console logs and scenarios."""
    logs = sorted((ROOT / "crates" / "console" / "tests" / "logs").glob("*.log"))
    scenarios = sorted((ROOT / "crates" / "synth" / "scenarios").glob("*.toml"))[::8]
    assert logs and scenarios
    found = []
    for role, paths in [("log", logs), ("scenario", scenarios)]:
        for path in paths:
            data = path.read_bytes()
            found.append(File(path.name, role, data, {f"{role} text": [(0, len(data))]}))
    return found
