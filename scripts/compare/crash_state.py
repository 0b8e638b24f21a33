"""Compares what crash says of a dump with what vmcore-thp says, command by command.

usage: crash_state.py VMCORE_THP VMCORE VMLINUX
"""

import json
import re
import subprocess
import sys
from datetime import datetime, timezone

HEX = r"[0-9a-f]{8,16}"
STATES = {"RU": "R", "IN": "S", "UN": "D", "ID": "I", "ZO": "Z", "ST": "T", "TR": "t", "PA": "P", "DE": "X", "NE": "N"}
# Where the answer to a command ends: this and its number, as crash computes it.
MARK = 770000


class Ours:
    """The answers of vmcore-thp, each of which is asked for once."""

    def __init__(self, binary, vmcore, vmlinux):
        self.binary, self.files = binary, [vmcore, vmlinux]
        self.answers = {}

    def __call__(self, command, *words, options=()):
        asked = (command, *options, *words)
        if asked not in self.answers:
            self.answers[asked] = self.ask(command, words, options)
        return self.answers[asked]

    def ask(self, command, words, options):
        line = [self.binary, command, "--format", "json", "--quiet", *options, *self.files, *words]
        done = subprocess.run(line, capture_output=True, check=False)
        if done.returncode not in (0, 1, 3):
            sys.exit(f"{' '.join(line)}: {done.stderr.decode()}")
        return json.loads(done.stdout)


def crash(vmcore, vmlinux, commands):
    """What crash prints for each command, as lines; all in one run, with numbers between them."""
    text = "".join(f"{command}\np {MARK + number}\n" for number, command in enumerate(commands)) + "quit\n"
    words = ["crash", "-s", vmlinux, vmcore]
    done = subprocess.run(words, input=text, capture_output=True, text=True, errors="replace", check=False)
    answers, lines = [], []
    for line in done.stdout.splitlines():
        if re.match(rf"^\$\d+ = {MARK + len(answers)}$", line):
            answers.append(lines)
            lines = []
        else:
            lines.append(line.rstrip())
    if not answers:
        said = (done.stdout + done.stderr).strip().splitlines()
        sys.exit(f"crash does not open this dump: {said[-1] if said else done.returncode}")
    return answers + [[]] * (len(commands) - len(answers)), done.stdout + done.stderr


def number(text):
    return int(text, 16)


def matches(pattern, lines):
    return [match for line in lines if (match := re.match(pattern, line))]


# What is compared: for each the crash command, how facts are taken out of what it prints, and the same of ours.
COMPARISONS = []


def compared(command):
    def add(functions):
        COMPARISONS.append((command, *functions()))
        return functions

    return add


@compared("ps")
def ps():
    def theirs(lines):
        row = rf"^([> ]) +(\d+) +(\d+) +(\d+) +({HEX}) +(\S\S) +\S+ +\d+ +\d+  (.*)$"
        rows = (match.groups() for match in matches(row, lines))
        return {
            (int(pid), int(ppid), int(cpu), number(task), STATES.get(state, state), mark == ">", comm.strip("[]"))
            for mark, pid, ppid, cpu, task, state, comm in rows
        }

    def mine(ours):
        return {
            (t["pid"], t["ppid"] if t["pid"] else 0, t["cpu"], number(t["task"]), t["state"], t["on_cpu"], t["comm"].strip("[]"))
            for t in ours("ps")["tasks"]
        }

    return theirs, mine


@compared("sys")
def system():
    def theirs(lines):
        rows = dict(match.groups() for match in matches(r"^ *([A-Z ]+): (.*)$", lines))
        hours, minutes, seconds = rows["UPTIME"].split()[-1].split(":")
        when = datetime.strptime(rows["DATE"], "%a %b %d %H:%M:%S UTC %Y").replace(tzinfo=timezone.utc)
        return {
            ("cpus", int(rows["CPUS"].split()[0])),
            ("date", int(when.timestamp())),
            ("uptime", int(hours) * 3600 + int(minutes) * 60 + int(seconds)),
            ("load", rows["LOAD AVERAGE"]),
            ("tasks", int(rows["TASKS"])),
            ("nodename", rows["NODENAME"]),
            ("release", rows["RELEASE"]),
            ("version", rows["VERSION"]),
            ("machine", rows["MACHINE"].split()[0]),
            ("panic", rows["PANIC"].strip('"').removeprefix("Kernel panic - not syncing: ").split("\n")[0]),
        }

    def mine(ours):
        info = ours("info")
        kernel, machine = info["kernel"], info["machine"]
        message = (info["panic"]["message"] or "").split("\n")[0]
        return {
            ("cpus", kernel["cpus"]),
            ("date", info["crash_time"]),
            ("uptime", info["uptime_ns"] // 10**9),
            ("load", ", ".join(f"{one:.2f}" for one in machine["load"])),
            ("tasks", info["tasks"]),
            ("nodename", kernel["nodename"]),
            ("release", kernel["release"]),
            ("version", kernel["version"]),
            ("machine", kernel["arch"]),
            ("panic", message.removeprefix("Kernel panic - not syncing: ")),
        }

    return theirs, mine


@compared("runq")
def runq():
    def theirs(lines):
        facts, cpu = set(), None
        for line in lines:
            if match := re.match(rf"^CPU (\d+) RUNQUEUE: ({HEX})", line):
                cpu = int(match[1])
                facts.add((cpu, "rq", number(match[2])))
            elif match := re.match(rf"^  CURRENT: PID: (\d+) +TASK: ({HEX}) ", line):
                facts.add((cpu, "current", int(match[1]), number(match[2])))
            elif match := re.match(rf"^ +\[ *\d+\] PID: (\d+) +TASK: ({HEX}) ", line):
                facts.add((cpu, "queued", int(match[1]), number(match[2])))
        return facts

    def mine(ours):
        facts = set()
        for cpu in ours("runq")["cpus"]:
            facts.add((cpu["cpu"], "rq", number(cpu["runqueue"])))
            facts.add((cpu["cpu"], "current", cpu["current"]["pid"], number(cpu["current"]["task"])))
            facts |= {(cpu["cpu"], "queued", task["pid"], number(task["task"])) for task in cpu["queued"]}
        return facts

    return theirs, mine


@compared("timer")
def timers():
    def theirs(lines):
        rows = matches(rf"^ +(\d+) +-?\d+ +({HEX}) +{HEX} +<(\S+?)>", lines)
        return {(number(row[2]), int(row[1]), row[3].split("+")[0]) for row in rows}

    def mine(ours):
        found = (timer for timer in ours("timer")["timers"] if timer["kind"] != "high_resolution")
        return {(number(t["timer"]), number(t["expires"]), (t["function"] or "").split(" ")[0]) for t in found}

    return theirs, mine


@compared("timer -r")
def hrtimers():
    def theirs(lines):
        rows = matches(rf"^ +(?:\d+)? +(\d+) +-?\d+ +({HEX}) +{HEX} +<(\S+?)>", lines)
        return {(number(row[2]), int(row[1]), row[3].split("+")[0]) for row in rows}

    def mine(ours):
        found = (timer for timer in ours("timer")["timers"] if timer["kind"] == "high_resolution")
        return {(number(t["timer"]), number(t["expires"]), (t["function"] or "").split(" ")[0]) for t in found}

    return theirs, mine


@compared("irq")
def irq():
    def theirs(lines):
        facts, line_of = set(), None
        for line in lines:
            if match := re.match(rf"^ *(\d+) +({HEX}) +{HEX} +\"(.*)\"", line):
                line_of = (int(match[1]), number(match[2]))
                facts.add((*line_of, match[3]))
            elif match := re.match(rf"^ +{HEX} +\"(.*)\"", line):
                facts.add((*line_of, match[1]))
        return facts

    def mine(ours):
        return {(line["irq"], number(line["desc"]), name) for line in ours("irq")["lines"] for name in line["names"]}

    return theirs, mine


@compared("mount")
def mounts():
    def theirs(lines):
        return {
            (number(row[1]), number(row[2]), *(row[place] for place in (3, 4, 5)))
            for row in matches(rf"^({HEX}) ({HEX}) (\S+) +(\S+) +(\S+)", lines)
        }

    def mine(ours):
        return {
            (number(m["mount"]), number(m["super_block"]), m["fs_type"], m["source"], m["path"])
            for m in ours("mount")["mounts"]
        }

    return theirs, mine


@compared("net")
def net():
    def theirs(lines):
        return {
            (number(row[1]), row[2], address)
            for row in matches(rf"^({HEX}) +(\S+) *(.*)$", lines)
            for address in row[3].replace(",", " ").split() or [""]
        }

    def mine(ours):
        return {
            (number(device["device"]), device["name"], address.split("/")[0])
            for device in ours("net")["devices"]
            for address in device["addresses"] or [""]
        }

    return theirs, mine


@compared("kmem -i")
def memory():
    def theirs(lines):
        rows = {row[1].strip(): int(row[2]) for row in matches(r"^ *([A-Z ]+?) +(\d+) ", lines)}
        return {(name, rows[name]) for name in ("TOTAL MEM", "FREE", "TOTAL SWAP") if name in rows}

    def mine(ours):
        machine = ours("info")["machine"]
        swap = sum(area["bytes"] for area in ours("swap")["areas"])
        return {
            ("TOTAL MEM", machine["memory_total"] >> 12),
            ("FREE", machine["memory_free"] >> 12),
            ("TOTAL SWAP", swap >> 12),
        }

    return theirs, mine


@compared("kmem -s")
def slabs():
    def theirs(lines):
        row = rf"^({HEX}) +(\d+) +(\d+) +(\d+) +(\d+) +\S+  (.*)$"
        return {(number(m[1]), int(m[2]), int(m[4]), int(m[5]), m[6]) for m in matches(row, lines)}

    def mine(ours):
        return {
            (number(s["cache"]), s["object_bytes"], s["objects"], s["slabs"], s["name"]) for s in ours("kmem")["slabs"]
        }

    return theirs, mine


@compared("swap")
def swap():
    def theirs(lines):
        row = rf"^({HEX}) +\S+ +(\d+)k +(\d+)k +\S+ +(-?\d+) +(\S+)"
        return {(number(m[1]), int(m[2]), int(m[3]), int(m[4]), m[5]) for m in matches(row, lines)}

    def mine(ours):
        return {
            # The first page is the header: crash does not count it.
            (number(a["area"]), a["bytes"] >> 10, a["used_bytes"] >> 10, a["priority"], a["path"])
            for a in ours("swap")["areas"]
        }

    return theirs, mine


@compared("dev -d")
def disks():
    def theirs(lines):
        row = rf"^ *\d+ +({HEX}) +(\S+) +({HEX}) "
        return {(number(m[1]), m[2], number(m[3])) for m in matches(row, lines)}

    def mine(ours):
        return {(number(d["disk"]), d["name"], number(d["queue"] or "0")) for d in ours("dev")["disks"]}

    return theirs, mine


@compared("foreach user files")
def files():
    def theirs(lines):
        facts, pid = set(), None
        for line in lines:
            if match := re.match(r"^PID: (\d+) ", line):
                pid = int(match[1])
            elif match := re.match(r"^ROOT: (\S+) +CWD: (\S+)", line):
                facts |= {(pid, "root", match[1]), (pid, "cwd", match[2])}
            elif match := re.match(rf"^ *(\d+) ({HEX}) \S+ +\S+ +\S+ *(\S*)", line):
                path = match[3] if match[3].startswith("/") else ""
                facts.add((pid, match[1], number(match[2]), path))
        return facts

    def mine(ours):
        facts = set()
        for task in ours("files", options=["--pid", *alternating(user_pids(ours), "--pid")])["tasks"]:
            for file in task["files"] or []:
                pid, descriptor = task["task"]["pid"], file["descriptor"]
                if descriptor in ("root", "cwd"):
                    facts.add((pid, descriptor, file["path"]))
                elif descriptor != "exe":
                    # Of what is in no directory, crash shows nothing or its own form.
                    path = file["path"].rstrip() if file["path"].startswith("/") else ""
                    facts.add((pid, descriptor, number(file["file"]), path))
        return facts

    return theirs, mine


def user_pids(ours):
    return [str(task["pid"]) for task in ours("ps")["tasks"] if not task["kernel_thread"] and task["pid"]]


def alternating(words, between):
    return [word for each in words for word in (between, each)][1:]


@compared("mod")
def modules():
    def theirs(lines):
        row = rf"^({HEX}) +(\S+) +({HEX}) +(\d+) "
        return {(number(m[1]), m[2], number(m[3]), int(m[4])) for m in matches(row, lines)}

    def mine(ours):
        return {(number(m["module"]), m["name"], number(m["text"]), m["size"]) for m in ours("mod")["modules"]}

    return theirs, mine


@compared("foreach bt")
def stacks():
    def theirs(lines):
        facts, pid, index = set(), None, 0
        for line in lines:
            if match := re.match(r"^PID: (\d+) +TASK: \S+ +CPU: (\d+)", line):
                pid, index = (int(match[1]), int(match[2])), 0
            elif match := re.match(rf"^ *#\d+ \[{HEX}\] (\S+)(?: \(via \S+\))? at ({HEX})", line):
                facts.add((*pid, number(match[2])))
                index += 1
        return facts

    def mine(ours):
        return {
            (stack["pid"], stack["cpu"], number(frame["pc"]))
            for stack in ours("bt", options=["--all"])["stacks"]
            for frame in stack["frames"]
        }

    return theirs, mine


@compared("log")
def log():
    def theirs(lines):
        return [re.sub(r"^\[ *\d+\.\d+\] ", "", line).strip() for line in lines]

    def mine(ours):
        # What follows in a record is indented by crash.
        return [line.strip() for record in ours("dmesg")["records"] for line in record["text"].rstrip().split("\n")]

    return theirs, mine


@compared("struct task_struct.pid,tgid,prio,comm,tasks init_task")
def structure():
    def theirs(lines):
        found = (re.search(r'= (?:0x)?"?([^",]+?)(?:\\000)*"?,?$', line) for line in lines)
        return [match[1] for match in found if match and match[1] != "{"]

    def mine(ours):
        chosen = ours("struct", "task_struct.pid,tgid,prio,comm,tasks", "init_task")["selected"][0]
        return [leaf for member in chosen for leaf in leaves(member["value"])]

    return theirs, mine


def leaves(value):
    if value["kind"] == "struct":
        return [leaf for member in value["members"] for leaf in leaves(member["value"])]
    return [str(value.get("text", value.get("number", value.get("target")))).removeprefix("0x")]


@compared("rd linux_banner 16")
def words():
    def theirs(lines):
        rows = (line.split(":", 1)[1] for line in lines if re.match(rf"^{HEX}: ", line))
        return [number(word) for row in rows for word in re.findall(r"\b[0-9a-f]{16}\b", row)]

    def mine(ours):
        return [number(word["value"]) for word in ours("rd", "linux_banner", "16")["words"]]

    return theirs, mine


@compared("sym schedule")
def symbol():
    def theirs(lines):
        return {(number(match[1]), match[2]) for match in matches(rf"^({HEX}) \(\S\) (\S+)", lines)}

    def mine(ours):
        return {(number(symbol["address"]), symbol["name"]) for symbol in ours("sym", "schedule")["symbols"]}

    return theirs, mine


@compared("dis schedule")
def code():
    def theirs(lines):
        rows = matches(rf"^0x({HEX}) <\S+>:\s+(.*)$", lines)
        return [(number(row[1]), target(row[2])) for row in rows]

    def mine(ours):
        return [(number(i["address"]), target(i["text"])) for i in ours("dis", "schedule")["instructions"]]

    return theirs, mine


def target(text):
    """Where an instruction leads to, in either spelling of the rest."""
    match = re.match(r"^(?:j\w+|callq?) +(?:0x)?([0-9a-f]{16})", text)
    return number(match[1]) if match else None


@compared("p init_task.prio")
def expression():
    def theirs(lines):
        return [int(match[1]) for match in matches(r"^\$\d+ = (-?\d+)$", lines)]

    def mine(ours):
        return [ours("p", "init_task.prio")["value"]["number"]]

    return theirs, mine


@compared("list module.list -H modules")
def linked():
    def theirs(lines):
        return [number(match[1]) for match in matches(rf"^({HEX})$", lines)]

    def mine(ours):
        return [number(o["address"]) for o in ours("list", "module.list", "-H", "modules")["objects"]]

    return theirs, mine


@compared("tree -t xarray irq_desc_tree")
def tree():
    def theirs(lines):
        return [number(match[1]) for match in matches(rf"^({HEX})$", lines)]

    def mine(ours):
        return [number(o["address"]) for o in ours("tree", "-t", "xarray", "irq_desc_tree")["objects"]]

    return theirs, mine


# Where the two may differ, and why.
LEFT_OVER = "of tasks that ran, where crash takes what calls that ended left on the stack (drgn has none of it)"
NEVER_RAN = "of tasks that have not run yet, which crash shows in __schedule (drgn shows where they begin)"
ENDS_EARLY = "on stacks that crash ends early or does not read"
NO_TASKS = "of tasks that crash does not find: its tables of pids are those of older kernels"
TICKS = "by crash, which counts ticks alone, also where those stopped before the machine did"
STOPPERS = "stoppers (migration/N) that wait for their CPU, which crash does not list"
OF_TASKS = ("ps", "runq", "foreach user files", "foreach bt")


def stopped_clocks(found):
    """Of the answers to `sys`, the clocks that stand in crash's: the uptime, and the date if it is no further behind."""
    sides = {side: dict(fact for one, fact in found if one == side) for side in ("crash", "ours")}
    behind = {
        clock: sides["ours"][clock] - sides["crash"][clock]
        for clock in ("uptime", "date")
        if clock in sides["ours"] and clock in sides["crash"]
    }
    up = behind.get("uptime", 0)
    # Each is in whole seconds.
    return {clock for clock, by in behind.items() if up > 0 and 0 < by <= up + 1}


def stoppers(ours):
    """The pids of tasks of the scheduler's stop class that are queued."""
    return {task["pid"] for cpu in ours("runq")["cpus"] for task in cpu["queued"] if task["class"] == "stop"}


def never_ran(ours):
    """The pids of tasks that have been made and wait for the CPU for the first time: nothing but the place where they begin."""
    begins = ("ret_from_fork", "ret_from_fork_asm")
    stacks = (stack for stack in ours("bt", options=["--all"])["stacks"] if not stack["on_cpu"])
    begun = (stack for stack in stacks if [(f["symbol"] in begins, f["offset"]) for f in stack["frames"]] == [(True, 0)])
    return {stack["pid"] for stack in begun}


def explained(command, side, fact, finds_tasks, by_task, clocks, stop):
    if command == "foreach bt" and (side == "ours" or fact[0] in by_task):
        return ENDS_EARLY if side == "ours" else by_task[fact[0]]
    if command == "sys" and fact[0] in clocks:
        return TICKS
    if command == "runq" and side == "ours" and fact[1] == "queued" and fact[2] in stop:
        return STOPPERS
    if not finds_tasks and (side == "ours" and command in OF_TASKS or command == "sys" and fact[0] == "tasks"):
        return NO_TASKS
    return None


def differences(theirs, mine):
    """Facts that one of both has, and how many both have."""
    if isinstance(theirs, set):
        return [("crash", fact) for fact in theirs - mine] + [("ours", fact) for fact in mine - theirs], len(theirs & mine)
    same = sum(one == other for one, other in zip(theirs, mine))
    longer = theirs if len(theirs) > len(mine) else mine
    found = [pair for pair in zip(theirs, mine) if pair[0] != pair[1]]
    return [("both", pair) for pair in found] + [("one", rest) for rest in longer[min(len(theirs), len(mine)) :]], same


def shown(fact):
    """A fact with its addresses as people read them."""
    parts = fact if isinstance(fact, tuple) else (fact,)
    return " ".join(f"{part:x}" if isinstance(part, int) and part >> 32 else str(part) for part in parts)


def main():
    binary, vmcore, vmlinux = sys.argv[1:4]
    ours = Ours(binary, vmcore, vmlinux)
    answers, warnings = crash(vmcore, vmlinux, [command for command, _, _ in COMPARISONS])
    running = {task["pid"] for task in ours("ps")["tasks"] if task["on_cpu"]}
    by_task = dict.fromkeys(never_ran(ours), NEVER_RAN) | dict.fromkeys(running, LEFT_OVER)
    stop = stoppers(ours)
    finds_tasks = "not found in PID hash" not in warnings
    agree = differ = silent = 0
    for (command, theirs, mine), lines in zip(COMPARISONS, answers):
        try:
            facts = theirs(lines)
        except (KeyError, IndexError, ValueError) as error:
            sys.exit(f"{command}: what crash prints is not understood: {error!r}: {lines[:5]}")
        if not facts:
            silent += 1
            said = next((line.strip() for line in lines if line.strip()), "nothing")
            print(f"{command[:31]:31} not compared: crash says: {' '.join(said.split())[:80]}")
            continue
        found, same = differences(facts, mine(ours))
        clocks = stopped_clocks(found) if command == "sys" else ()
        reasons = {}
        for side, fact in found:
            reasons.setdefault(explained(command, side, fact, finds_tasks, by_task, clocks, stop), []).append((side, fact))
        wrong = reasons.pop(None, [])
        agree, differ = agree + same, differ + len(wrong)
        why = "".join(f"; {len(facts)} more {why}" for why, facts in reasons.items())
        print(f"{command[:31]:31} {same} agree, {len(wrong)} differ{why}")
        for side, fact in sorted(wrong, key=str)[:8]:
            print(f"    {side}: {shown(fact)}")
    print(f"{agree} facts agree, {differ} differ, {silent} commands were not compared")
    sys.exit(1 if differ or not agree else 0)


if __name__ == "__main__":
    main()
