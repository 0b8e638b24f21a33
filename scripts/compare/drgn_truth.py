"""Checks with drgn that a livelock dump holds what its truth.json says.

Run by drgn:  drgn -q -c VMCORE -s VMLINUX drgn_truth.py TRUTH.json

So the truth does not rest on the lab's word alone, nor on the analyzer it is there to
judge. Exits 1 and says what is wrong. A stack that drgn cannot follow (it may lose its way in
an ftrace trampoline) proves nothing either way, which is said too.
"""

import json
import sys

from drgn import FaultError, Program
from drgn.helpers.linux.mm import access_process_vm
from drgn.helpers.linux.percpu import per_cpu
from drgn.helpers.linux.pid import find_task
from drgn.helpers.linux.sched import task_cpu

prog: Program

TASK_RUNNING = 0
# As in drgn_stacks.py.
KERNEL_START = 0xFF00_0000_0000_0000
SPLIT_FUNCTIONS = ("split_huge_page_to_list", "__folio_split")
RESCHEDULES = ("__cond_resched", "_cond_resched", "preempt_schedule_irq")

problems = []


def check(condition, text):
    if not condition:
        problems.append(text)


def check_stack(who, task, wanted):
    """wanted: what must be on the task's stack -> whether a function is that."""
    frames = list(prog.stack_trace(task))
    # A "user" frame with a kernel stack is drgn lost in a trampoline.
    if not frames or frames[-1].pc >= KERNEL_START or frames[-1].sp >= KERNEL_START:
        print(f"{who}: drgn cannot follow its stack to user space, so it is not checked; ", end="")
        return
    for what, is_it in wanted.items():
        check(any(is_it(frame.name or "") for frame in frames), f"{who}: no {what} on its stack")


def state(task):
    # Renamed in 5.14.
    name = "__state" if task.type_.type.has_member("__state") else "state"
    return task.member_(name).value_()


def check_identity(who, task, truth):
    check(task.comm.string_().decode() == truth["comm"], f"{who}: comm {task.comm}")
    check(task.tgid.value_() == truth["tgid"], f"{who}: tgid {task.tgid}")
    check(task_cpu(task) == truth["cpu"], f"{who}: on CPU {task_cpu(task)}")


def check_spinner(truth):
    who = f"spinner {truth['pid']}"
    task = find_task(prog, truth["pid"])
    check_identity(who, task, truth)
    current = per_cpu(prog["runqueues"], truth["cpu"]).curr
    check(current == task, f"{who}: CPU {truth['cpu']} runs {current.pid.value_()}")
    # Not that a page fault is: an interrupt that was pending during the fault is taken right
    # after it, between two faults, at the copy that will fault again.
    check_stack(who, task, {"_copy_to_user": lambda function: function == "_copy_to_user"})
    # The page is there, but its entry is a migration entry: it must not be readable.
    try:
        access_process_vm(task, int(truth["address"], 16), 1)
        problems.append(f"{who}: {truth['address']} is mapped")
    except FaultError:
        pass


def check_splitter(truth):
    who = f"splitter {truth['pid']}"
    task = find_task(prog, truth["pid"])
    check_identity(who, task, truth)
    check(state(task) == TASK_RUNNING, f"{who}: state {state(task)}")
    check(task.on_rq.value_() == 1, f"{who}: not on a run queue")
    check(task.on_cpu.value_() == 0, f"{who}: on a CPU")
    check_stack(
        who,
        task,
        {
            "split": lambda function: function.startswith(SPLIT_FUNCTIONS),
            # The name until 5.11 had one underscore. A kernel that preempts kernel code takes the CPU in an interrupt.
            "cond_resched": lambda function: function in RESCHEDULES,
        },
    )


def check_locked_up(truth):
    who = f"locked up {truth['pid']}"
    task = find_task(prog, truth["pid"])
    check_identity(who, task, truth)
    check(task.on_cpu.value_() == 1, f"{who}: not on a CPU")


with open(sys.argv[1], encoding="utf-8") as file:
    TRUTH = json.load(file)
RELEASE = prog["UTS_RELEASE"].string_().decode()
check(RELEASE == TRUTH["release"], f"release {RELEASE}")
try:
    if TRUTH["scenario"] == "thp-livelock":
        for spinner in TRUTH["spinners"]:
            check_spinner(spinner)
        check_splitter(TRUTH["splitter"])
    elif TRUTH["scenario"] == "soft-lockup":
        check_locked_up(TRUTH["locked_up"])
except FaultError as error:
    problems.append(f"the dump lacks what is needed: {error}")

for problem in problems:
    print(problem)
print("NOT true" if problems else "true")
sys.exit(1 if problems else 0)
