"""Compares two sets of stacks: what vmcore-thp found with what drgn found.

usage: compare_stacks.py OURS.json DRGN.json

Both are lists of stacks of tasks; a task is known by the address of its task_struct.
Prints every task whose program counters differ, then totals. Exits 1 when fewer than
99.9 % of drgn's frames are there, in the same order; when there are that many frames
which drgn, having reached the end of a stack, does not have; when a task is missing;
or when a stack of ours is truncated.

Of interrupted code that has made no frame record yet, the caller is in the link register. drgn shows that register and
does not follow it; such a frame is counted apart where it is the one that drgn's register names.
"""

import difflib
import json
import sys
from dataclasses import dataclass, field

REQUIRED = 0.999
# The bits of an arm64 code address that hold no authentication code.
ADDRESS = (1 << 39) - 1


@dataclass
class Totals:
    tasks: int = 0
    same: int = 0
    drgn_frames: int = 0
    matched: int = 0
    extra: int = 0
    linked: int = 0
    drgn_stopped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)


def load(path: str) -> dict[int, dict]:
    with open(path, encoding="utf-8") as file:
        stacks = json.load(file)["stacks"]
    return {int(stack["task"], 16): stack for stack in stacks}


def counters(stack: dict) -> list[int]:
    return [int(frame["pc"], 16) for frame in stack["frames"]]


def without_links(mine: list[int], drgns: dict) -> list[int]:
    """Our frames without those that stand behind a frame of drgn's and are what its link register says."""
    links = {
        (int(frame["pc"], 16), int(frame["lr"], 16) & ADDRESS)
        for frame in drgns["frames"]
        if frame.get("lr")
    }
    theirs = counters(drgns)
    followed = [False] + [
        (one, other & ADDRESS) in links and theirs.count(other) < mine.count(other)
        for one, other in zip(mine, mine[1:])
    ]
    return [counter for counter, is_link in zip(mine, followed) if not is_link]


def title(stack: dict) -> str:
    return f"pid {stack['pid']} {stack['comm']!r} cpu {stack['cpu']} task {stack['task']}"


def frame_text(frame: dict) -> str:
    return f"{frame['pc']} {frame.get('symbol') or '?'}"


def print_difference(ours: dict, drgns: dict) -> None:
    print(f"{title(drgns)}: differs (+ ours, - drgn's)")
    lines = difflib.ndiff(
        [frame_text({**frame, "symbol": None}) for frame in drgns["frames"]],
        [frame_text({**frame, "symbol": None}) for frame in ours["frames"]],
    )
    names = {
        int(frame["pc"], 16): frame.get("symbol")
        for frame in drgns["frames"] + ours["frames"]
    }
    for line in lines:
        if not line.startswith("?"):
            counter = int(line[2:].split()[0], 16)
            print(f"    {line[:2]}{counter:#x} {names.get(counter) or '?'}")


def compare(ours: dict | None, drgns: dict, totals: Totals) -> None:
    totals.tasks += 1
    theirs = counters(drgns)
    totals.drgn_frames += len(theirs)
    if drgns["end"] == "early":
        reason = f": {drgns['error']}" if drgns["error"] else ""
        totals.drgn_stopped.append(
            f"{title(drgns)}: after {len(theirs)} frames{reason}"
        )
    if ours is None:
        totals.missing.append(title(drgns))
        return
    mine = without_links(counters(ours), drgns)
    totals.linked += len(ours["frames"]) - len(mine)
    matcher = difflib.SequenceMatcher(None, mine, theirs, autojunk=False)
    matched = sum(block.size for block in matcher.get_matching_blocks())
    totals.matched += matched
    # Where drgn lost its way, a longer stack is no difference but what is wanted.
    if drgns["end"] == "early" and mine[: len(theirs)] == theirs:
        totals.same += 1
    elif mine == theirs:
        totals.same += 1
    else:
        if drgns["end"] != "early":
            totals.extra += len(mine) - matched
        print_difference(ours, drgns)


def print_list(heading: str, lines: list[str]) -> None:
    print(f"{heading}: {len(lines)}")
    for line in lines:
        print(f"    {line}")


def main() -> int:
    ours, drgns = load(sys.argv[1]), load(sys.argv[2])
    totals = Totals()
    for task, stack in drgns.items():
        compare(ours.get(task), stack, totals)
    for stack in ours.values():
        # A zombie may have no stack any more, which both say.
        if stack["end"] == "truncated" and "its stack is given back" not in (stack["error"] or ""):
            error = stack.get("error")
            totals.truncated.append(
                f"{title(stack)}: after {len(stack['frames'])} frames: {error}"
            )
    unknown = [title(stack) for task, stack in ours.items() if task not in drgns]

    share = totals.matched / totals.drgn_frames if totals.drgn_frames else 0.0
    print_list("tasks where drgn stopped early", totals.drgn_stopped)
    print_list("tasks that drgn has and we have not", totals.missing)
    print_list("tasks that we have and drgn has not", unknown)
    print_list("our truncated stacks", totals.truncated)
    print(f"tasks with the same stack: {totals.same} of {totals.tasks}")
    print(f"drgn's frames: {totals.drgn_frames}, of them ours too: {totals.matched} ({share:.3%})")
    if totals.linked:
        print(f"frames of ours that drgn's link registers name: {totals.linked}")
    print(f"frames drgn does not have on stacks it finished: {totals.extra}")
    good = (
        share >= REQUIRED
        and totals.extra <= (1 - REQUIRED) * totals.drgn_frames
        and not totals.missing
        and not totals.truncated
    )
    print("same" if good else "NOT the same")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
