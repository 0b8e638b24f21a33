"""Damages real dumps and profiles at random and runs every command on them.

A variant passes when the program ends by itself with status 0 to 3, within its time and memory, without a panic, with
JSON that parses and text without control characters. The same seed gives the same variants.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import forms
import mutations
import proof

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "testdata" / "6.1-cloud-amd64"
SCENARIOS = ["thp-livelock", "soft-lockup", "sysrq", "thp-busy"]

CPU_SECONDS = 5.0
# Of the clock: other programs may share the processors. What takes no processor time but never ends hangs as well.
WALL_SECONDS = 60.0
PEAK_KIB = 512 * 1024
# Not what is tested, but what keeps this machine alive if a variant asks for everything.
ADDRESS_SPACE = 8 << 30

COMMANDS = [["analyze"]] * 4 + [["bt", "--all"]] * 4 + [["bt"], ["ps"], ["runq"], ["runq"], ["dmesg"], ["info"]]


@dataclass
class Result:
    """What became of one run."""

    status: int
    cpu: float
    kib: int
    stdout: bytes
    stderr: bytes
    hung: bool

    def problem(self, as_json: bool) -> str | None:
        if self.hung:
            return f"not done after {WALL_SECONDS:.0f} s"
        if self.status < 0:
            return f"signal {-self.status}"
        if self.status > 3:
            return f"exit status {self.status}"
        if b"panicked" in self.stderr:
            return "panic"
        if self.cpu > CPU_SECONDS:
            return f"{self.cpu:.1f} s of processor time"
        if self.kib > PEAK_KIB:
            return f"{self.kib // 1024} MiB"
        if as_json and self.stdout:
            try:
                json.loads(self.stdout)
            except ValueError as error:
                return f"JSON: {error}"
        control = re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", self.stdout + self.stderr)
        return f"control character {control[0]!r} in the output" if control else None


def run(command: list[str]) -> Result:
    """Runs one command, bounded, and measures it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=ENVIRONMENT)
        hung = threading.Event()

        def kill() -> None:
            hung.set()
            process.kill()

        timer = threading.Timer(WALL_SECONDS, kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        cpu = usage.ru_utime + usage.ru_stime
        return Result(process.returncode, cpu, usage.ru_maxrss, out.read(), err.read(), hung.is_set())


ENVIRONMENT = {**os.environ, "RUST_BACKTRACE": "0", "MALLOC_ARENA_MAX": "2"}


@dataclass
class File:
    """A file to damage, and its interesting places."""

    name: str
    data: bytes
    places: dict[str, list[mutations.Place]]
    is_profile: bool = False


@dataclass
class Row:
    """Outcomes of one kind of damage."""

    runs: int = 0
    statuses: collections.Counter = field(default_factory=collections.Counter)
    failures: int = 0
    cpu: float = 0.0
    kib: int = 0


def query(binary: Path, command: list[str], dump: Path) -> dict:
    done = run([str(binary), *command, str(dump), str(DATA / "vmlinux.profile"), "--format", "json", "-q"])
    return json.loads(done.stdout)


def translate(binary: Path, dump: Path, address: str) -> dict:
    words = ["vtop", str(dump), str(DATA / "vmlinux.profile"), address, "--format", "json", "-q"]
    return json.loads(run([str(binary), *words]).stdout)


def places_of(binary: Path, dump: Path, core: bytes) -> dict[str, list[mutations.Place]]:
    """Where in the file the structures are that an analysis walks."""
    segments = forms.loads(core)

    def page(physical: str | None) -> list[mutations.Place]:
        number = int(physical, 16) & ~0xFFF if physical else -1
        return [(at + number - start, 4096) for start, at, size in segments if start <= number < start + size]

    tasks, tables, queues, stacks = set(), set(), set(), set()

    def note(kind: set, address: str) -> None:
        walk = translate(binary, dump, address)
        kind.update(page(walk["physical"]))
        for level in walk["levels"]:
            tables.update(page(level["entry_address"]))

    for task in query(binary, ["ps"], dump)["tasks"][::3]:
        note(tasks, task["task"])
    for cpu in query(binary, ["runq"], dump)["cpus"]:
        note(queues, cpu["runqueue"])
        for queued in cpu["queued"]:
            note(queues, queued["task"])
    for stack in query(binary, ["bt"], dump)["stacks"]:
        for frame in stack["frames"]:
            note(stacks, frame["sp"])
    log = {(at // 4096 * 4096, 4096) for at in find_all(core, b"Linux version ") + find_all(core, b"] Kernel panic")
           + find_all(core, b"Kernel panic - not")}
    first, size = forms.notes(core)
    headers = forms.header_offsets(core)
    return {
        "anywhere": [(0, len(core))],
        "headers": [(0, 64), (headers.start, len(headers) * 56)],
        "notes": [(first, size)],
        "tasks": sorted(tasks),
        "page tables": sorted(tables),
        "run queues": sorted(queues),
        "stacks": sorted(stacks),
        "log": sorted(log),
        "pointers": [(at, size) for _, at, size in segments],
        "all pointers": [(segments[0][1], sum(size for _, _, size in segments))],
    }


def find_all(data: bytes, what: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(what), data)]


def profile_places(data: bytes) -> dict[str, list[mutations.Place]]:
    (table,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    places = {"profile headers": [(0, 64), (table, 64 * count)], "profile sections": [], "profile section starts": []}
    for index in range(count):
        _, kind, _, _, offset, size = struct.unpack_from("<IIQQQQ", data, table + 64 * index)
        if kind not in (0, 8) and size:
            places["profile sections"].append((offset, size))
            places["profile section starts"].append((offset, min(size, 64)))
    return places


def load(binary: Path) -> list[File]:
    files = []
    for scenario in SCENARIOS:
        path = DATA / f"{scenario}.vmcore"
        core = path.read_bytes()
        files.append(File(scenario, core, places_of(binary, path, core)))
    core = files[0].data
    packed, parts = forms.kdump(core)
    files.append(File("kdump", packed, {f"kdump {name}": [place] for name, place in parts.items()}))
    for name, image in [("flat", core), ("flat-kdump", packed)]:
        flat, parts = forms.flattened(image)
        files.append(File(name, flat, {f"flattened {part}": [place] for part, place in parts.items()}))
    profile = (DATA / "vmlinux.profile").read_bytes()
    files.append(File("profile", profile, profile_places(profile), is_profile=True))
    return files


POINTER_KINDS = {"tasks", "page tables", "run queues", "stacks", "pointers", "all pointers"}


def make(files: list[File], seed: int, index: int) -> tuple[File, str, bytes, list[str]]:
    """The variant of this number: what was damaged, how, its bytes, and the command to run."""
    rng = random.Random(f"{seed}:{index}")
    file = rng.choice(files[:4] * 4 + files[4:7] + files[7:] * 3)
    kind = rng.choice(sorted(name for name, places in file.places.items() if places))
    data = bytearray(file.data)
    if rng.randrange(25) == 0:
        kind = "truncated"
        mutations.truncate(data, (0, len(data)), rng)
    else:
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            how = rng.choice(mutations.POINTERS if kind in POINTER_KINDS else mutations.ANY)
            how(data, rng.choice(file.places[kind]), rng)
    command = rng.choice(COMMANDS + [["vtop"]])
    if command == ["vtop"]:
        command = ["vtop", rng.choice(["ffff888000000000", "ff2bd5afc272c180", "ffffffffaf01aa40", "7fb738c03140"])]
        if rng.randrange(2):
            command += ["--pid", "147"]
    return file, kind, bytes(data), command + (["--format", "json"] if rng.randrange(2) else [])


class Campaign:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.files = load(options.binary)
        self.rows: dict[str, Row] = collections.defaultdict(Row)
        self.lock = threading.Lock()
        self.failed: list[str] = []
        self.end = time.monotonic() + 60 * (options.minutes or 1e9)

    def variant(self, index: int) -> None:
        if time.monotonic() > self.end:
            return
        file, kind, data, command = make(self.files, self.options.seed, index)
        path = Path(self.options.work) / f"{index}-{file.name}"
        path.write_bytes(data)
        dump = DATA / "thp-livelock.vmcore" if file.is_profile else path
        profile = path if file.is_profile else DATA / "vmlinux.profile"
        inputs = [str(dump), str(profile)]
        # The address of vtop comes last.
        words = [command[0], *inputs, *command[1:]] if command[0] == "vtop" else [*command, *inputs]
        result = run([str(self.options.binary), *words])
        problem = result.problem("json" in command)
        with self.lock:
            row = self.rows[kind]
            row.runs += 1
            row.statuses[result.status] += 1
            row.cpu, row.kib = max(row.cpu, result.cpu), max(row.kib, result.kib)
            if problem:
                row.failures += 1
                kept = shutil.move(path, self.options.keep / path.name)
                text = " ".join(words).replace(str(path), str(kept))
                self.failed.append(f"variant {index} ({kind}): {problem}\n  {text}")
                print(f"FAILED {self.failed[-1]}", flush=True)
        path.unlink(missing_ok=True)

    def run(self) -> bool:
        first = self.options.first
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            for done in pool.map(self.variant, range(first, first + self.options.variants)):
                assert done is None
        self.print()
        return not self.failed

    def print(self) -> None:
        total = Row()
        print(f"{'damage':24}{'runs':>7}{'exit 0':>8}{'1':>7}{'2':>7}{'3':>7}{'failed':>8}{'max s':>8}{'max MiB':>9}")
        for kind, row in [*sorted(self.rows.items()), ("all", total)]:
            if row is not total:
                total.runs += row.runs
                total.statuses += row.statuses
                total.failures += row.failures
                total.cpu, total.kib = max(total.cpu, row.cpu), max(total.kib, row.kib)
            statuses = f"{row.statuses[0]:8}" + "".join(f"{row.statuses[status]:7}" for status in (1, 2, 3))
            print(f"{kind:24}{row.runs:7}{statuses}{row.failures:8}{row.cpu:8.2f}{row.kib / 1024:9.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, help="begin no variant after that time")
    parser.add_argument("--first", type=int, default=0, help="number of the first variant, to run one again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "vmcore-thp")
    parser.add_argument("--keep", type=Path, help="where failing variants stay [default: a new directory]")
    options = parser.parse_args()
    if not options.binary.is_file():
        parser.error(f"{options.binary} is not there: cargo build --release")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options.keep = options.keep or Path(tempfile.mkdtemp(prefix="vmcore-thp-hostile."))
    options.keep.mkdir(parents=True, exist_ok=True)
    proof_holds = proof.check(options.binary, DATA, run)
    with tempfile.TemporaryDirectory() as options.work:
        passed = Campaign(options).run()
    if passed:
        shutil.rmtree(options.keep)
    else:
        print(f"failing variants are in {options.keep}")
    return 0 if passed and proof_holds else 1


if __name__ == "__main__":
    sys.exit(main())
