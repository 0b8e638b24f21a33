"""Runs the fuzz targets. The inputs that they begin with are made of real and synthetic dumps (seeds.py) and come with the sources
(corpora.py); what they find that reaches new code is added in fuzz/corpus, what fails in fuzz/artifacts.

The sanitizer is a nightly feature that the stable compiler has as well, behind RUSTC_BOOTSTRAP.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import corpora
import seeds
from coverage import Coverage

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "fuzz"
# Large enough for whole small dumps; memory as an analysis may use; time for the slowest input under the sanitizer on a busy machine.
LIMITS = ["-max_len=65536", "-rss_limit_mb=1024", "-timeout=60"]
# A run that is ended early has given each target some of its time.
SLICE = 300
# What libFuzzer exits with when it is told to end.
INTERRUPTED = 72


@dataclass
class Result:
    """What became of a target, over all its slices."""

    executions: int = 0
    # Of processor time: on a busy machine less than has passed.
    seconds: float = 0.0
    reached: int = 0
    edges: int = 0
    inputs: int = 0
    failures: list[str] = field(default_factory=list)

    def row(self, name: str) -> str:
        rate = self.executions / self.seconds if self.seconds else 0
        numbers = f"{self.seconds:8.0f} {self.executions:11} {rate:8.0f} {self.inputs:7} {self.reached:7} {self.edges:7}"
        return f"{name:16} {numbers} {'FAILED: see fuzz/artifacts' if self.failures else ''}".rstrip()


HEADING = f"{'target':16} {'seconds':>8} {'executions':>11} {'per s':>8} {'inputs':>7} {'reached':>7} {'edges':>7}"


class Fuzzer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.environment = {**os.environ, "RUSTC_BOOTSTRAP": "1", "RAYON_NUM_THREADS": "1"}
        self.running: set[subprocess.Popen] = set()
        self.is_ended = False

    def end(self, *_: object) -> None:
        """Ends all runs, so that what they have found is shown and kept."""
        self.is_ended = True
        for process in list(self.running):
            process.terminate()

    def cargo(self, *words: str) -> str:
        command = ["cargo", "fuzz", *words]
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def targets(self) -> list[str]:
        known = self.cargo("list").split()
        unknown = set(self.options.targets) - set(known)
        if unknown:
            sys.exit(f"no target '{unknown.pop()}': {', '.join(known)}")
        return self.options.targets or known

    def build(self) -> None:
        """All at once, so that what they share is compiled once."""
        compares = [] if self.options.trace_compares else ["--no-trace-compares"]
        self.cargo("build", "--sanitizer", self.options.sanitizer, *compares)

    def command(self, target: str, *words: str) -> list[str]:
        binary = FUZZ / "target" / "x86_64-unknown-linux-gnu" / "release" / target
        return [str(binary), *LIMITS, f"-artifact_prefix={FUZZ}/artifacts/{target}/", *words]

    def run(self, target: str, result: Result, *words: str) -> str:
        """One run on the target's corpus; what it said."""
        corpus = FUZZ / "corpus" / target
        (FUZZ / "artifacts" / target).mkdir(parents=True, exist_ok=True)
        command = self.command(target, "-print_final_stats=1", *words, str(corpus))
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
            self.running.add(process)
            _, status, usage = os.wait4(process.pid, 0)
            self.running.discard(process)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode(errors="replace")
        result.seconds += usage.ru_utime + usage.ru_stime
        result.executions += number(r"^stat::number_of_executed_units: *(\d+)", text)
        result.reached = number(r" cov: (\d+) ", text) or result.reached
        result.edges = number(r"\((\d+) PCs\)|Loaded \d+ PC tables \((\d+) PCs\)", text) or result.edges
        result.inputs = sum(1 for _ in corpus.iterdir())
        if process.returncode not in (0, INTERRUPTED):
            result.failures.append(text[-4000:])
        return text

    def fuzz(self, targets: list[str], seconds: float) -> dict[str, Result]:
        """Each target for so many seconds, in turns."""
        results = {target: Result() for target in targets}
        turns = [min(SLICE, seconds - done) for done in range(0, max(1, int(seconds)), SLICE)]
        runs = [(target, turn) for turn in turns for target in targets]

        def one(run: tuple[str, float]) -> None:
            target, turn = run
            if not results[target].failures and not self.is_ended:
                self.run(target, results[target], f"-max_total_time={max(1, int(turn))}")

        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            list(pool.map(one, runs))
        return results

    def replay(self, targets: list[str], coverage: Coverage | None) -> dict[str, Result]:
        results = {target: Result() for target in targets}
        words = ["-runs=0"] + (["-print_coverage=1"] if coverage else [])

        def one(target: str) -> None:
            text = self.run(target, results[target], *words)
            if coverage:
                coverage.add(text)

        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            list(pool.map(one, targets))
        return results

    def keep(self, target: str) -> None:
        """Minimizes the corpus of a target, and packs what fuzzing has added to the seeds."""
        corpus = FUZZ / "corpus" / target
        with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as minimized:
            seeds.write(Path(made), self.options.binary)
            known = {path.read_bytes() for path in (Path(made) / target).glob("*")}
            command = self.command(target, "-merge=1", minimized, str(corpus))
            subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            kept, left = corpora.pack(Path(minimized), known, FUZZ / "corpora" / f"{target}.tar.xz")
        print(f"{target:16} {kept} inputs kept, {left} left out for their size", flush=True)


def number(pattern: str, text: str) -> int:
    """The last such number; 0 where there is none."""
    found = re.findall(pattern, text, re.MULTILINE)
    last = found[-1] if found else "0"
    return int(last if isinstance(last, str) else "".join(last))


def prepare(targets: list[str], binary: str) -> None:
    """Seeds and kept inputs among what earlier runs have found."""
    seeds.write(FUZZ / "corpus", binary)
    for target in targets:
        corpus = FUZZ / "corpus" / target
        corpus.mkdir(parents=True, exist_ok=True)
        corpora.unpack(FUZZ / "corpora" / f"{target}.tar.xz", corpus)


def add_to_tally(results: dict[str, Result]) -> None:
    """What all runs whose finds were kept have done: an hour need not be one. Shows it as docs/hostile-input.md does."""
    path = FUZZ / "corpora" / "tally.json"
    tally = json.loads(path.read_text()) if path.is_file() else {}
    for target, result in results.items():
        known = tally.get(target, {"seconds": 0, "executions": 0})
        tally[target] = {"seconds": round(known["seconds"] + result.seconds), "executions": known["executions"] + result.executions}
        # Of this run, which began with what all the others have found.
        tally[target] |= {name: getattr(result, name) for name in ("inputs", "reached", "edges")}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(tally, indent=2, sort_keys=True) + "\n")
    print("\nin all runs that were kept:\n")
    show({target: Result(**numbers) for target, numbers in tally.items()})


def show(results: dict[str, Result]) -> bool:
    """Prints the table; whether nothing failed."""
    print(HEADING)
    for target, result in sorted(results.items()):
        print(result.row(target))
    executions, seconds = (sum(getattr(result, name) for result in results.values()) for name in ("executions", "seconds"))
    print(f"{len(results)} targets, {executions} executions in {seconds / 3600:.1f} hours of their time", flush=True)
    failures = [text for result in results.values() for text in result.failures]
    for text in failures:
        print(text, file=sys.stderr)
    return not failures


def show_coverage(coverage: Coverage) -> None:
    print(f"\n{'file':52} {'reached':>7} {'edges':>7} {'share':>6}")
    files = coverage.files()
    for file, (reached, edges) in files.items():
        print(f"{file:52} {reached:7} {edges:7} {100 * reached / edges:5.0f}%")
    print("\nnot reached, in these files:")
    for line in coverage.unreached()[:20]:
        print(f"  {line}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description="Runs the fuzz targets.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=60, help="for each target")
    length.add_argument("--hours", type=float, help="for all targets together, on all jobs")
    length.add_argument("--replay", action="store_true", help="only the inputs that are known, once each")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--sanitizer", choices=["address", "none"], default="address",
                        help="none: several times as many executions; overflows and bounds are checked all the same")
    parser.add_argument("--no-trace-compares", dest="trace_compares", action="store_false",
                        help="do not tell the fuzzer what is compared: it finds less by itself, in a third of the time where a parser compares much")
    parser.add_argument("--coverage", action="store_true", help="how much of each source file is reached (needs llvm-symbolizer and the sanitizer)")
    parser.add_argument("--keep", action="store_true", help="put the smallest inputs that reach all this into fuzz/corpora, and add the time to its tally")
    parser.add_argument("--binary", default=os.environ.get("VMCORE_THP", ROOT / "target" / "release" / "vmcore-thp"))
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.coverage and (options.sanitizer == "none" or not shutil.which("llvm-symbolizer")):
        sys.exit("--coverage needs llvm-symbolizer (Debian's llvm) and the sanitizer")
    fuzzer = Fuzzer(options)
    targets = fuzzer.targets()
    prepare(targets, str(options.binary))
    fuzzer.build()
    coverage = Coverage(ROOT) if options.coverage else None
    if options.replay:
        results = fuzzer.replay(targets, coverage)
        good = show(results)
    else:
        seconds = options.hours * 3600 * options.jobs / len(targets) if options.hours else options.seconds
        signal.signal(signal.SIGTERM, fuzzer.end)
        results = fuzzer.fuzz(targets, seconds)
        good = show(results)
        if coverage:
            fuzzer.replay(targets, coverage)
    if coverage:
        show_coverage(coverage)
    if options.keep:
        for target in targets:
            fuzzer.keep(target)
        if not options.replay:
            add_to_tally(results)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
