"""No damaged proof: what carries the verdict on the livelock is changed, word by word, and the verdict must notice.

After each change the verdict may stay `confirmed` only with the changed value as its evidence, or by the other spinners
where just one of them lost its own proof; and never does it name a task that is none of those in the whole dump.
"""

import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

LIVELOCK = "thp-split-page-fault-livelock"

# What is changed, to what, and who can no longer be proven. `None`: any change is only checked for its value.
PG_LOCKED = 1
BREAKS = {
    # Nobody splits, or nobody starves.
    "task_struct.__state": (2, "verdict"),
    "task_struct.state": (2, "verdict"),
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
    "pt_regs.pc": (None, None),
    "task_struct.thread_info.preempt.need_resched": (None, None),
    "page.flags": (None, None),
}
SIZES = {
    "task_struct.__state": 4,
    "task_struct.on_rq": 4,
    "task_struct.on_cpu": 4,
    "task_struct.thread_info.preempt.need_resched": 4,
}


@dataclass
class Word:
    """A word of the dump that the verdict rests on."""

    evidence: dict
    # Whose evidence it is.
    who: dict
    at: int
    size: int

    def value_in(self, data: bytes) -> int:
        return int.from_bytes(data[self.at : self.at + self.size], "little")


def words(reader) -> list[Word]:
    """What a confirmed verdict on the livelock rests on in a whole dump; nothing for other verdicts."""
    whole = reader.query("analyze")
    if (whole["verdict"]["issue"], whole["verdict"]["confidence"]) != (LIVELOCK, "confirmed"):
        return []
    found, seen = [], set()
    for who in whole["spinners"] + whole["splitters"]:
        for evidence in who["evidence"]:
            what, address = evidence["what"], evidence["address"]
            if not address or what not in BREAKS:
                continue
            physical = reader.translate(address)["physical"] if evidence["space"] == "kernel" else address
            at = reader.offset(physical)
            if at is not None and (at, what) not in seen:
                seen.add((at, what))
                found.append(Word(evidence, who, at, SIZES.get(what, 8)))
    return found


def check(name: str, reader, words: list[Word]) -> bool:
    """Prints what became of each change; whether all verdicts were right."""
    wrong, count = [], 0
    for word in words:
        what, old = word.evidence["what"], word.value_in(reader.core)
        fatal, whose = BREAKS[what]
        changes = [(old ^ bit, None) for bit in (1, 2, 1 << 12, 1 << 20)]
        if fatal is not None:
            changes.append((fatal, whose))
        if what == "page.flags" and old & PG_LOCKED:
            changes.append((old & ~PG_LOCKED, "verdict"))
        for value, loses in changes:
            count += 1
            found = changed(reader, word, value)
            why = wrong_verdict(found, word, loses) or stranger(found, words)
            if why:
                wrong.append(f"{what} at {word.evidence['address']} {old:#x} -> {value:#x}: {why}")
    print(f"proof of {name}: {count} changes of {len(words)} words, {len(wrong)} wrong verdicts", flush=True)
    for line in wrong:
        print(f"  WRONG {line}")
    return bool(words) and not wrong


def changed(reader, word: Word, value: int) -> dict:
    """The verdict on the dump with this word changed."""
    damaged = bytearray(reader.core)
    struct.pack_into("<I" if word.size == 4 else "<Q", damaged, word.at, value % (1 << 8 * word.size))
    with tempfile.NamedTemporaryFile() as file:
        file.write(damaged)
        file.flush()
        return type(reader)(reader.binary, reader.run, Path(file.name), reader.vmlinux).query("analyze")


def wrong_verdict(found: dict, word: Word, loses: str | None) -> str | None:
    """What is wrong with a verdict on a dump in which `word` was changed."""
    if (found["verdict"]["issue"], found["verdict"]["confidence"]) != (LIVELOCK, "confirmed"):
        return None
    if loses in ("verdict", "all spinners"):
        return "still confirmed"
    if loses == "spinner" and any(spinner["task"] == word.who["task"] for spinner in found["spinners"]):
        return "its spinner is still one"
    return "confirmed with the old value" if claims(found, word.evidence) else None


def claims(found: dict, evidence: dict) -> bool:
    """Whether a verdict has this very evidence."""
    key = ("what", "space", "address", "value")
    everybody = found["spinners"] + found["splitters"]
    return any(all(item[part] == evidence[part] for part in key) for who in everybody for item in who["evidence"])


def stranger(found: dict, words: list[Word]) -> str | None:
    """A task that a confirmed verdict names, and the whole dump's did not."""
    if (found["verdict"]["issue"], found["verdict"]["confidence"]) != (LIVELOCK, "confirmed"):
        return None
    known = {word.who["task"] for word in words}
    others = [who for who in found["spinners"] + found["splitters"] if who["task"] not in known]
    return f"confirmed with another task, pid {others[0]['pid']}" if others else None


def stale(found: dict, words: list[Word], before: bytes, after: bytes) -> str | None:
    """A value that a confirmed verdict claims, and that is not in the dump any more."""
    if (found["verdict"]["issue"], found["verdict"]["confidence"]) != (LIVELOCK, "confirmed"):
        return None
    for word in words:
        if word.value_in(before) != word.value_in(after) and claims(found, word.evidence):
            return f"confirmed with the old {word.evidence['what']} at {word.evidence['address']}"
    return stranger(found, words)
