"""Damages real and synthetic dumps, vmlinux files, console logs and scenarios at random, and runs every command on them.

A variant passes when the program ends by itself with status 0 to 3, within its time and memory, without a panic, with
JSON that parses and text without control characters, and without a confirmed livelock whose evidence is not in the dump
any more. The same seed gives the same variants.
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
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import mutations
import proof
import sources
import structures
from sources import File

CPU_SECONDS = 5.0
# Of the clock: other programs may share the processors. What takes no processor time but never ends hangs as well.
WALL_SECONDS = 60.0
PEAK_KIB = 512 * 1024
# Not what is tested, but what keeps this machine alive if a variant asks for everything.
ADDRESS_SPACE = 8 << 30

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
        # A message may well speak of a CPU that panicked.
        if b"' panicked at " in self.stderr or b") panicked at " in self.stderr:
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
class Row:
    """Outcomes of one kind of damage."""

    runs: int = 0
    statuses: collections.Counter = field(default_factory=collections.Counter)
    failures: int = 0
    cpu: float = 0.0
    kib: int = 0


COMMANDS = [["analyze"]] * 6 + [["bt", "--all"]] * 4 + [["vtop"]] * 2 + [["distill"]] + [
    ["bt"], ["ps"], ["runq"], ["runq"], ["dmesg"], ["dmesg", "--by-caller"], ["info"]]
POINTER_KINDS = {"tasks", "page tables", "run queues", "stacks", "pointers", "all pointers", "per-CPU offsets", "modules"}
# Damage that only makes sense for one structure: it takes all places of the kind.
STRUCTURES = {
    "program headers": structures.segments,
    "note sizes": structures.note_sizes,
    "page tables": structures.table_entries,
    "tree and list links": structures.relink,
    "kdump bombs": structures.bombs,
}
# Where a confirmed verdict cannot have read a value from another place than in the whole dump: memory is where it was.
IN_PLACE = {"tasks", "run queues", "stacks", "tree and list links", "log", "log descriptors", "modules"}


def damage(file: File, rng: random.Random) -> tuple[str, bytes]:
    """The kind of damage, and the damaged file."""
    data = bytearray(file.data)
    kind = rng.choice(sorted(name for name, places in file.places.items() if places))
    if rng.randrange(25) == 0:
        mutations.truncate(data, (0, len(data)), rng)
        return "truncated", bytes(data)
    places = file.places[kind]
    special = STRUCTURES.get(kind)
    if special and (kind != "page tables" or rng.randrange(2)):
        special(data, places, rng)
        return kind, bytes(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        how = rng.choice(mutations.POINTERS if kind in POINTER_KINDS else mutations.ANY)
        how(data, rng.choice(places), rng)
    return kind, bytes(data)


def command_for(file: File, path: Path, rng: random.Random) -> list[str]:
    """The command to run on a variant at `path`; what it writes goes beside it."""
    output = ["-o", f"{path}.out"]
    form = ["--format", rng.choice(["json", "json", "text"])]
    match file.role:
        case "log":
            return ["log", str(path), *form]
        case "scenario":
            return ["synth", str(path), "--kernel", rng.choice(sources.KERNELS), *output]
        case "vmlinux" if rng.randrange(8) == 0:
            return ["profile", str(path), *output]
        case "vmlinux":
            inputs = [str(file.partner), str(path)]
        case _:
            inputs = [str(path), str(file.partner)]
    command = rng.choice(COMMANDS)
    if command == ["distill"]:
        return ["distill", *inputs, *output]
    if command == ["vtop"]:
        addresses = file.addresses or ["ffff888000000000", "ffffffff81000000", "7f0000203140"]
        pid = ["--pid", file.pid] if rng.randrange(2) else []
        return ["vtop", *inputs, rng.choice(addresses), *pid, *form]
    if command == ["analyze"] and rng.randrange(4) == 0:
        form = ["--format", "html"]
    return [*command, *inputs, *form]


def make(files: list[File], seed: int, index: int, work: Path) -> tuple[File, str, bytes, list[str]]:
    """The variant of this number: what was damaged, how, its bytes, and the command to run."""
    rng = random.Random(f"{seed}:{index}")
    role = rng.choice(["dump"] * 17 + ["vmlinux"] * 5 + ["log", "scenario"])
    file = rng.choice([file for file in files if file.role == role])
    kind, data = damage(file, rng)
    extension = ".toml" if role == "scenario" else ""
    return file, kind, data, command_for(file, work / f"{index}-{file.name}{extension}", rng)


class Campaign:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.files = options.files
        self.rows: dict[str, Row] = collections.defaultdict(Row)
        self.lock = threading.Lock()
        self.failed: list[str] = []
        self.end = time.monotonic() + 60 * (options.minutes or 1e9)

    def variant(self, index: int) -> None:
        if time.monotonic() > self.end:
            return
        file, kind, data, words = make(self.files, self.options.seed, index, self.options.work)
        path = next(Path(word) for word in words if word.startswith(f"{self.options.work}/{index}-"))
        path.write_bytes(data)
        result = run([str(self.options.binary), *words])
        problem = result.problem("json" in words)
        if not problem and kind in IN_PLACE and words[0] == "analyze" and "json" in words and result.stdout:
            problem = proof.stale(json.loads(result.stdout), file.words, file.data, data)
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
        output = Path(f"{path}.out")
        shutil.rmtree(output) if output.is_dir() else output.unlink(missing_ok=True)

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


def check_proofs(options: argparse.Namespace) -> bool:
    """Whether every change of a word that a proof rests on was noticed, on the real dump and on each kernel."""
    vmlinux = sources.DATA / "vmlinux.profile"
    inputs = [
        ("6.1 (real)", sources.DATA / "thp-livelock.vmcore", vmlinux),
        ("6.12 (arm64)", sources.ARM64 / "thp-livelock.vmcore", sources.ARM64 / "vmlinux.profile"),
    ]
    for kernel in sources.KERNELS:
        directory = options.work / f"thp-livelock-{kernel}-elf"
        inputs.append((kernel, directory / "vmcore", directory / "vmlinux"))
    results = []
    for name, dump, vmlinux in inputs:
        reader = sources.Reader(options.binary, run, dump, vmlinux)
        results.append(proof.check(name, reader, proof.words(reader)))
    return all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, help="begin no variant after that time")
    parser.add_argument("--first", type=int, default=0, help="number of the first variant, to run one again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--binary", type=Path, default=sources.ROOT / "target" / "release" / "vmcore-thp")
    parser.add_argument("--no-proof", action="store_true", help="only the variants, not the words of the proofs")
    parser.add_argument("--keep", type=Path, help="where failing variants stay [default: a new directory]")
    options = parser.parse_args()
    if not options.binary.is_file():
        parser.error(f"{options.binary} is not there: cargo build --release")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options.keep = options.keep or Path(tempfile.mkdtemp(prefix="vmcore-thp-hostile."))
    options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        options.work = Path(work)
        options.files = [
            *sources.real(options.binary, run), *sources.synthetic(options.binary, run, options.work), *sources.texts()]
        proof_holds = options.no_proof or check_proofs(options)
        passed = Campaign(options).run()
    if passed:
        shutil.rmtree(options.keep)
    else:
        print(f"failing variants are in {options.keep}")
    return 0 if passed and proof_holds else 1


if __name__ == "__main__":
    sys.exit(main())
