"""No wrong culprit: one word of a whole dump is changed at a time, near what the verdict on the livelock rests on.

Words of the tasks that it names, of their stacks, of the page tables and of the `struct page`s get what other words there
hold, single bits flipped, or nothing. Whatever comes out, a verdict that is still confirmed names none but those tasks.
"""

import argparse
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import forms
import proof

ROOT = Path(__file__).resolve().parents[2]
# Words on each side of one that is evidence, and how much of a task and of its stack is changed, in bytes.
AROUND = 16
TASK, STACK = 4096, 2048
SECONDS = 60


class Dump:
    """A copy of the dump, of which words can be changed and put back."""

    def __init__(self, binary: Path, copy: Path, vmlinux: Path) -> None:
        self.binary, self.path, self.vmlinux = binary, copy, vmlinux
        self.file = copy.open("r+b", buffering=0)
        self.loads = forms.loads(self.file.read(1 << 20))

    def query(self, *command: str) -> tuple[int, dict]:
        words = [self.binary, command[0], self.path, self.vmlinux, *command[1:], "--format", "json", "-q"]
        done = subprocess.run([str(word) for word in words], capture_output=True, timeout=SECONDS, check=False)
        return done.returncode, json.loads(done.stdout or "{}")

    def offset(self, physical: int) -> int | None:
        for start, offset, size in self.loads:
            if start <= physical < start + size:
                return offset + physical - start
        return None

    def word(self, at: int) -> int:
        self.file.seek(at)
        return struct.unpack("<Q", self.file.read(8))[0]

    def put(self, at: int, value: int) -> None:
        self.file.seek(at)
        self.file.write(struct.pack("<Q", value))


def places(dump: Dump, whole: dict) -> list[int]:
    """Where the words lie that may be changed, in the file."""
    addresses: dict[tuple[str, int], range] = {}
    for who in whole["spinners"] + whole["splitters"]:
        task = int(who["task"], 16)
        addresses[("kernel", task)] = range(0, TASK, 8)
        for evidence in who["evidence"]:
            if evidence["address"] and evidence["space"] in ("kernel", "physical"):
                key = (evidence["space"], int(evidence["address"], 16) & ~7)
                addresses[key] = range(-8 * AROUND, 8 * AROUND, 8)
    for stack in whole["stacks"]:
        if stack["frames"]:
            addresses[("kernel", int(stack["frames"][0]["sp"], 16) & ~7)] = range(0, STACK, 8)
    found = []
    for (space, address), around in addresses.items():
        physical = address
        if space == "kernel":
            _, walk = dump.query("vtop", hex(address))
            if not walk.get("physical"):
                continue
            physical = int(walk["physical"], 16)
        at = dump.offset(physical)
        if at is not None:
            found.extend(at + step for step in around)
    return sorted(set(found))


def changed(random_: random.Random, dump: Dump, where: list[int], old: int) -> int:
    match random_.randrange(4):
        case 0:
            return 0
        case 1:
            return old ^ 1 << random_.randrange(64)
        case _:
            return dump.word(random_.choice(where))


def problem(status: int, found: dict, known: set[str]) -> str | None:
    if status not in (0, 1, 2, 3):
        return f"exit status {status}"
    verdict = found.get("verdict", {})
    if verdict.get("confidence") != "confirmed" or verdict.get("issue") != proof.LIVELOCK:
        return None
    strangers = [who for who in found["spinners"] + found["splitters"] if who["task"] not in known]
    return f"confirmed with another task, pid {strangers[0]['pid']}" if strangers else None


def run(dump: Dump, changes: int, seed: int) -> int:
    _, whole = dump.query("analyze")
    if whole["verdict"]["issue"] != proof.LIVELOCK:
        print("words: the dump is none of a livelock", file=sys.stderr)
        return 2
    known = {who["task"] for who in whole["spinners"] + whole["splitters"]}
    where, random_ = places(dump, whole), random.Random(seed)
    verdicts, wrong = Counter(), []
    for _ in range(changes):
        at = random_.choice(where)
        old = dump.word(at)
        value = changed(random_, dump, where, old)
        dump.put(at, value)
        try:
            status, found = dump.query("analyze")
            why = problem(status, found, known)
            verdict = found.get("verdict", {})
            verdicts[f"{verdict.get('issue')} ({verdict.get('confidence')})"] += 1
        except subprocess.TimeoutExpired:
            why = f"no answer within {SECONDS} s"
        finally:
            dump.put(at, old)
        if why:
            wrong.append(f"file offset {at:#x} {old:#x} -> {value:#x}: {why}")
    for verdict, count in verdicts.most_common():
        print(f"{count:6}  {verdict}")
    print(f"words: {changes} changes of {len(where)} words, {len(wrong)} wrong verdicts")
    for line in wrong:
        print(f"  WRONG {line}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release" / "vmcore-thp")
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("vmcore", type=Path)
    parser.add_argument("vmlinux", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "vmcore"
        shutil.copyfile(options.vmcore, copy)
        return run(Dump(options.bin, copy, options.vmlinux), options.changes, options.seed)


if __name__ == "__main__":
    sys.exit(main())
