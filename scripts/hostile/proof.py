"""No damaged proof: what carries the verdict on the livelock is changed, word by word, and the verdict must notice.

After each change the verdict may stay `confirmed` only with the changed value as its evidence, or by the other spinners
where just one of them lost its own proof.
"""

import json
import struct
import tempfile
from pathlib import Path
from typing import Callable

import forms

LIVELOCK = "thp-split-page-fault-livelock"

# What is changed, to what, and who can no longer be proven. `None`: any change is only checked for its value.
PG_LOCKED = 1
BREAKS = {
    # Nobody splits, or nobody starves.
    "task_struct.__state": (2, "verdict"),
    "task_struct.on_rq": (0, "verdict"),
    "task_struct.on_cpu": (1, "verdict"),
    "task_struct.sched_info.last_queued": (None, None),
    # The address of the page is on the stack more than once.
    "stack word": (None, None),
    "return address": (0, "verdict"),
    # This spinner does not spin.
    "pte entry": (0, "spinner"),
    "pmd entry": (0, "all spinners"),
    "pud entry": (0, "all spinners"),
    "pgd entry": (0, "all spinners"),
    "task_struct.sched_info.last_arrival": (None, None),
    "pt_regs.ip": (None, None),
    "page.flags": (None, None),
}
SIZES = {"task_struct.__state": 4, "task_struct.on_rq": 4, "task_struct.on_cpu": 4}


def check(binary: Path, data: Path, run: Callable) -> bool:
    """Prints what became of each change; whether all verdicts were right."""
    dump, profile = data / "thp-livelock.vmcore", data / "vmlinux.profile"
    core = dump.read_bytes()
    segments = forms.loads(core)

    def analyze(path: Path) -> dict:
        return json.loads(run([str(binary), "analyze", str(path), str(profile), "--format", "json", "-q"]).stdout)

    def offset(evidence: dict) -> int | None:
        physical = evidence["address"]
        if evidence["space"] == "kernel":
            words = ["vtop", str(dump), str(profile), physical, "--format", "json", "-q"]
            physical = json.loads(run([str(binary), *words]).stdout)["physical"]
        number = int(physical, 16) if physical else -1
        return next((at + number - start for start, at, size in segments if start <= number < start + size), None)

    def changed(at: int, value: int, size: int) -> dict:
        damaged = bytearray(core)
        struct.pack_into("<I" if size == 4 else "<Q", damaged, at, value % (1 << 8 * size))
        with tempfile.NamedTemporaryFile() as file:
            file.write(damaged)
            file.flush()
            return analyze(Path(file.name))

    whole = analyze(dump)
    assert whole["verdict"]["confidence"] == "confirmed", "the whole dump is not confirmed: nothing to check"
    wrong, count = [], 0
    seen = set()
    people = [(who, False) for who in whole["spinners"]] + [(who, True) for who in whole["splitters"]]
    for who, is_splitter in people:
        for evidence in who["evidence"]:
            what = evidence["what"]
            place = offset(evidence) if evidence["address"] and what in BREAKS else None
            if place is None or (place, what) in seen:
                continue
            seen.add((place, what))
            size = SIZES.get(what, 8)
            (old,) = struct.unpack_from("<I" if size == 4 else "<Q", core, place)
            fatal, whose = BREAKS[what]
            changes = [(old ^ bit, None) for bit in (1, 2, 1 << 12, 1 << 20)]
            if fatal is not None:
                changes.append((fatal, whose))
            is_head = what == "page.flags" and old & PG_LOCKED
            if is_head:
                changes.append((old & ~PG_LOCKED, "verdict"))
            for value, loses in changes:
                count += 1
                found = changed(place, value, size)
                why = wrong_verdict(found, evidence, who, loses)
                if why:
                    wrong.append(f"{what} at {evidence['address']} {old:#x} -> {value:#x}: {why}")
    print(f"proof: {count} changes of {len(seen)} words, {len(wrong)} wrong verdicts")
    for line in wrong:
        print(f"  WRONG {line}")
    return not wrong


def wrong_verdict(found: dict, evidence: dict, who: dict, loses: str | None) -> str | None:
    """What is wrong with a verdict on a dump in which `evidence` was changed."""
    if (found["verdict"]["issue"], found["verdict"]["confidence"]) != (LIVELOCK, "confirmed"):
        return None
    if loses in ("verdict", "all spinners"):
        return "still confirmed"
    if loses == "spinner" and any(spinner["task"] == who["task"] for spinner in found["spinners"]):
        return "its spinner is still one"
    for other in found["spinners"] + found["splitters"]:
        for item in other["evidence"]:
            same = (item["what"], item["space"], item["address"])
            if same == (evidence["what"], evidence["space"], evidence["address"]) and item["value"] == evidence["value"]:
                return "confirmed with the old value"
    return None
