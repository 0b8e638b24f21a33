"""Takes the truth the guest printed, checks that it came true, and writes it down.

usage: truth.py TRUTH-LINE-FILE CONSOLE OUT.json

The guest prints the truth before it dies; that all came about as planned is read from
its kernel's messages. Exits 1 when it did not: then the dump is of no use.
"""

import json
import re
import sys


def spinners_seen(console: str) -> dict[int, tuple[int, str]]:
    """What the livelock's module saw spin: CPU -> pid, address."""
    pattern = r"thp_livelock: spinner pid (\d+) cpu (\d+) address (0x[0-9a-f]+)"
    return {
        int(cpu): (int(pid), address)
        for pid, cpu, address in re.findall(pattern, console)
    }


def patched_spinners_seen(console: str) -> dict[int, str]:
    """What the gdbstub saw spin: CPU -> address. It does not know whose CPU that is."""
    pattern = r"gdbstub: spinner cpu (\d+) address (0x[0-9a-f]+)"
    return {int(cpu): address for cpu, address in re.findall(pattern, console)}


def check_patched_livelock(truth: dict, seen: dict[int, str]) -> None:
    for spinner in truth["spinners"]:
        page = int(spinner["address"], 16) & ~0xFFF
        address = seen.get(spinner["cpu"], "0")
        if int(address, 16) & ~0xFFF != page:
            sys.exit(f"truth: on CPU {spinner['cpu']} somebody spins at {address}")


def check_livelock(truth: dict, console: str) -> None:
    patched = patched_spinners_seen(console)
    if patched:
        check_patched_livelock(truth, patched)
        return
    seen = spinners_seen(console)
    if len(seen) != truth["cpus"]:
        sys.exit(f"truth: only the CPUs {sorted(seen)} spin")
    for spinner in truth["spinners"]:
        page = int(spinner["address"], 16) & ~0xFFF
        pid, address = seen[spinner["cpu"]]
        if pid != spinner["pid"] or int(address, 16) & ~0xFFF != page:
            sys.exit(f"truth: on CPU {spinner['cpu']} pid {pid} spins at {address}")


# How the kernels of scenarios with a fault of their own must have died.
PANICS = {
    "mutex-deadlock": "hung_task: blocked tasks",
    "rwsem-held": "hung_task: blocked tasks",
    "rwsem-writer": "hung_task: blocked tasks",
    "work-deadlock": "hung_task: blocked tasks",
    "fuse-hang": "hung_task: blocked tasks",
    # With PREEMPT_RT nothing panics by itself.
    "spinlock-held": "softlockup: hung tasks|sysrq triggered crash",
    "no-answer": "softlockup: hung tasks",
    "rcu-stall": "RCU Stall",
    "null-pointer": "(Oops: )?Fatal exception",
    "bug": "(Oops - BUG: )?Fatal exception",
    "oom": "Out of memory",
}


def check_panic(truth: dict, console: str) -> None:
    reason = PANICS.get(truth["scenario"])
    if reason and not re.search(f"Kernel panic - not syncing: ({reason})", console):
        sys.exit(f"truth: no panic by '{reason}'")


def main() -> None:
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        line = next(line for line in file if line.startswith("{"))
    truth = json.loads(line)
    with open(sys.argv[2], encoding="utf-8", errors="replace") as file:
        console = file.read()
    if truth["scenario"] == "thp-livelock":
        check_livelock(truth, console)
    check_panic(truth, console)
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        json.dump(truth, file, indent=2)
        file.write("\n")


main()
