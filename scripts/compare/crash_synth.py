"""Compares what crash, in its minimal mode, and vmcore-thp read of a synthetic dump.

usage: crash_synth.py VMCORE_THP VMCORE VMLINUX
"""

import json
import re
import subprocess
import sys

SYM = re.compile(r"^([0-9a-f]+) \(\w\) (\S+?)(?:\+(\d+))? *$")
READ = re.compile(r"^ *([0-9a-f]+):  ([0-9a-f]{16})")
# `[    0.000000] text`
RECORD = re.compile(r"^\[ *\d+\.\d+\] ")


def ours(binary, command, vmcore, vmlinux):
    words = [binary, *command, "--format", "json", vmcore, vmlinux]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def crash(vmcore, vmlinux, commands):
    """The lines that crash answers, all commands in one run."""
    text = "\n".join([*commands, "quit", ""])
    words = ["crash", "-s", "--minimal", vmlinux, vmcore]
    done = subprocess.run(words, input=text, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        sys.exit(f"crash ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return done.stdout.splitlines()


def physical_pages(binary, vmcore, vmlinux, addresses):
    """Where the pages of these addresses are, by vmcore-thp: in minimal mode crash walks no page tables."""
    pages = {}
    for page in {address & ~0xFFF for address in addresses}:
        words = [binary, "vtop", "--format", "json", vmcore, vmlinux, f"{page:x}"]
        found = json.loads(subprocess.run(words, capture_output=True, check=False).stdout)["physical"]
        pages[page] = int(found, 16)
    return pages


def frames_of(stacks):
    """Frames of the kernel itself: the minimal mode does not load symbols of modules."""
    for stack in stacks:
        # An exception left its registers in front of these, not a return address.
        interrupted = {exception["rip"] for exception in stack["exceptions"]}
        for index, frame in enumerate(stack["frames"]):
            if not frame["module"] and frame["symbol"]:
                before = stack["frames"][index - 1]
                called = index > 0 and frame["pc"] not in interrupted and frame["segment"] == before["segment"]
                yield frame, called


def main():
    binary, vmcore, vmlinux = sys.argv[1:4]
    records = ours(binary, ["dmesg"], vmcore, vmlinux)["records"]
    frames = list(frames_of(ours(binary, ["bt", "--all"], vmcore, vmlinux)["stacks"]))
    pcs = sorted({int(frame["pc"], 16) for frame, _ in frames})
    stack = {int(frame["sp"], 16) - 8: int(frame["pc"], 16) for frame, called in frames if called}
    pages = physical_pages(binary, vmcore, vmlinux, stack)
    words = {pages[address & ~0xFFF] + (address & 0xFFF): value for address, value in stack.items()}
    commands = ["log", *(f"sym {pc:x}" for pc in pcs), *(f"rd -p {address:x}" for address in words)]
    lines = crash(vmcore, vmlinux, commands)

    wrong = []
    log = [RECORD.sub("", line) for line in lines if RECORD.match(line)]
    if log != [record["text"] for record in records]:
        wrong.append(f"the log: {log}")
    symbols = {}
    for line in lines:
        if match := SYM.match(line):
            symbols[int(match[1], 16)] = (match[2], int(match[3] or 0))
    for frame, _ in frames:
        # crash leaves out the suffixes of compilers: `.isra.0`.
        mine = (frame["symbol"].split(".")[0], int(frame["offset"]))
        if symbols.get(int(frame["pc"], 16)) != mine:
            wrong.append(f"{frame['pc']}: {mine}, crash says {symbols.get(int(frame['pc'], 16))}")
    read = {int(match[1], 16): int(match[2], 16) for line in lines if (match := READ.match(line))}
    for address, value in words.items():
        if read.get(address) != value:
            wrong.append(f"stack word at physical {address:#x}: {value:#x}, crash reads {read.get(address)}")
    print(f"{len(log)} lines of the log, {len(frames)} frames, {len(words)} return addresses, {len(wrong)} differ")
    for line in wrong[:10]:
        print(f"  {line}")
    if not log or not frames or not words:
        sys.exit("nothing was compared")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
