"""Runs commands in turns, and prints how long they took and how much memory they used.

usage: measure.py RUNS NAME=COMMAND [NAME=COMMAND ...]

Each COMMAND is a shell command line. One unmeasured round warms the page cache; then
all commands run once per round, so that whatever else the machine does hits all of
them. Time is from fork to exit of the whole process; memory is the largest resident
set, file pages that are mapped included. Ratios are against the first command.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field


@dataclass
class Contender:
    name: str
    command: str
    seconds: list[float] = field(default_factory=list)
    kilobytes: list[int] = field(default_factory=list)
    lines: int = 0
    status: int = 0

    def run(self, *, measured: bool) -> None:
        with tempfile.NamedTemporaryFile("r") as memory:
            started = time.monotonic()
            done = subprocess.run(
                # time(1) and not wait4(): a child of Python counts Python's own memory.
                # exec: the shell's is none of the command's either.
                ["/usr/bin/time", "-q", "-f", "%M", "-o", memory.name]
                + ["sh", "-c", "exec " + self.command],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            seconds = time.monotonic() - started
            kilobytes = int(memory.read())
        self.status = done.returncode
        self.lines = done.stdout.count(b"\n")
        if measured:
            self.seconds.append(seconds)
            self.kilobytes.append(kilobytes)


def print_table(contenders: list[Contender]) -> None:
    first = contenders[0]
    header = f"{'':24} {'median s':>9} {'min s':>8} {'max s':>8} {'x time':>7}"
    print(f"{header} {'peak MiB':>9} {'x mem':>7} {'lines':>8} {'exit':>5}")
    for each in contenders:
        seconds = statistics.median(each.seconds)
        mebibytes = statistics.median(each.kilobytes) / 1024
        times = seconds / statistics.median(first.seconds)
        memory = mebibytes / (statistics.median(first.kilobytes) / 1024)
        print(
            f"{each.name:24} {seconds:9.3f} {min(each.seconds):8.3f} {max(each.seconds):8.3f}"
            f" {times:7.2f} {mebibytes:9.1f} {memory:7.2f} {each.lines:8} {each.status:5}"
        )


def main() -> None:
    runs = int(sys.argv[1])
    contenders = [Contender(*argument.split("=", 1)) for argument in sys.argv[2:]]
    for round_number in range(runs + 1):
        for each in contenders:
            each.run(measured=round_number > 0)
    print_table(contenders)


main()
