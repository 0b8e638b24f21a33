"""Runs `info` and `analyze` on the forms of one dump, by turns, and compares the costs.

usage: forms.py BINARY VMLINUX RUNS DIRECTORY       (see `forms`, which makes the files)
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

BINARY, VMLINUX, RUNS, DIRECTORY = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
SAME = ["kdump-plain", "kdump-zlib", "kdump-lzo", "kdump-snappy", "kdump-zstd"]
LARGE = {"elf-1TiB": "elf", "kdump-zlib-12TiB": "kdump-zlib"}
MAX_RATIO = 1.5
MAX_SECONDS_MORE = 0.2
MAX_MEBIBYTES_MORE = 64


@dataclass
class Cost:
    seconds: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)
    answer: object = None

    def least(self) -> float:
        return min(self.seconds)

    def peak(self) -> float:
        return max(self.mebibytes)


def run(command: str, form: str, cost: Cost) -> None:
    # Memory from time(1): wait4() of a child of Python counts Python's own. Time from wait4(), which is exact to the
    # microsecond, and time(1) takes next to none.
    with tempfile.NamedTemporaryFile("r") as memory, tempfile.TemporaryFile() as output:
        started = time.monotonic()
        child = subprocess.Popen(
            ["/usr/bin/time", "-q", "-f", "%M", "-o", memory.name]
            + [BINARY, command, "--format", "json", str(DIRECTORY / form), VMLINUX],
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        cost.wall.append(time.monotonic() - started)
        cost.seconds.append(usage.ru_utime + usage.ru_stime)
        kilobytes = int(memory.read())
        output.seek(0)
        answer = json.load(output)
    cost.mebibytes.append(kilobytes / 1024)
    answer.pop("dump")
    answer = (child.returncode, answer)
    if cost.answer not in (None, answer):
        sys.exit(f"forms: {command} of {form} does not always say the same")
    cost.answer = answer


def measure(commands: list[str], forms: list[str]) -> dict[tuple[str, str], Cost]:
    costs = {(command, form): Cost() for command in commands for form in forms}
    for _ in range(RUNS):
        for (command, form), cost in costs.items():
            run(command, form, cost)
    return costs


def main() -> None:
    costs = measure(["info", "analyze"], ["elf", *SAME, *LARGE])
    problems = []
    print(f"{'':26} {'bytes':>14} {'cpu s':>7} {'wall s':>7} {'peak MiB':>9}")
    for (command, form), cost in costs.items():
        size = os.stat(DIRECTORY / form).st_size
        name = f"{command} {form}"
        print(f"{name:26} {size:14} {cost.least():7.3f} {min(cost.wall):7.3f} {cost.peak():9.1f}")
        if cost.answer != costs[command, "elf"].answer:
            problems.append(f"{name} says something else than of the ELF core")
    for form in SAME:
        ratio = costs["analyze", form].least() / costs["analyze", "elf"].least()
        print(f"analyze {form}: {ratio:.2f} times the ELF core's time")
        if ratio > MAX_RATIO:
            problems.append(f"analyze {form} takes {ratio:.2f} times as long, more than {MAX_RATIO}")
    for command in ("info", "analyze"):
        for form, small in LARGE.items():
            large, base = costs[command, form], costs[command, small]
            seconds, memory = large.least() - base.least(), large.peak() - base.peak()
            print(f"{command} {form}: {seconds:+.2f} s, {memory:+.1f} MiB")
            if seconds > MAX_SECONDS_MORE or memory > MAX_MEBIBYTES_MORE:
                problems.append(f"{command} {form} takes {seconds:.2f} s and {memory:.1f} MiB more than of {small}")
    print("\n".join(problems) or "all within their limits")
    sys.exit(1 if problems else 0)


main()
