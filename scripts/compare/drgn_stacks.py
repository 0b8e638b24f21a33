"""Prints the stack of every task and every CPU's idle task, as drgn sees it, as JSON.

Run by drgn:  drgn -q -c VMCORE -s VMLINUX drgn_stacks.py

    {"stacks": [{"pid", "cpu", "task", "comm", "end", "error",
                 "frames": [{"pc", "sp", "symbol", "lr"}, ...]}, ...]}

The program counters are the saved values themselves (for a caller: the return
address), which is what drgn's StackFrame.pc is. Inlined functions, which drgn lists as
frames of their own, are left out: they have no program counter of their own. A stack
ends where user space begins. "lr" is the link register of interrupted code, where the machine has one. "end" says why
drgn went no further:

    user_mode   the next frame is in user space
    first       the first frame that the task or CPU ever had
    early       drgn lost the way
"""

import json
import sys

from drgn import FaultError, Object, Program, offsetof
from drgn.helpers.linux.cpumask import for_each_possible_cpu
from drgn.helpers.linux.percpu import per_cpu
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import task_cpu

prog: Program

# The kernel's half of the address space begins here with five levels of page tables,
# and higher with four.
KERNEL_START = 0xFF00_0000_0000_0000

# Where a kernel thread and a CPU come from.
FIRST_FUNCTIONS = (
    "ret_from_fork",
    "secondary_startup_64",
    "__secondary_switched",
    "__primary_switched",
    "common_startup_64",
    "start_cpu0",
    "x86_64_start_kernel",
    "start_kernel",
    "secondary_start_kernel",
)
# Where user code of arm64 enters: since 5.13, and before.
FROM_USER = ("el0t_", "el0_")


def stack_pointer(frame):
    try:
        return hex(frame.sp)
    except LookupError:
        return None


def symbol_name(frame):
    try:
        return frame.symbol().name
    except LookupError:
        return None


def link_register(frame, entry):
    """Of interrupted code: where drgn has it, else in the registers that the entry code of arm64 saved around its record."""
    if frame.interrupted:
        value = frame.registers().get("lr")
        return hex(value) if value is not None else None
    if entry is None or not (symbol_name(entry) or "").startswith("el1"):
        return None
    try:
        at = entry.register("fp") - offsetof(prog.type("struct pt_regs"), "stackframe")
        saved = Object(prog, "struct pt_regs", address=at)
        return hex(saved.regs[30]) if saved.pc.value_() == frame.pc else None
    except (FaultError, LookupError):
        return None


def is_user_frame(frame):
    """Whether it has a user stack: behind a trampoline drgn may take any word for a program counter."""
    try:
        return frame.sp < KERNEL_START
    except LookupError:
        return True


def real_frames(trace):
    """One entry for each frame that takes up stack; and why it ends. On arm64 drgn ends at the entry from user mode."""
    frames = []
    inner, seen = None, set()
    for frame in trace:
        if frame.is_inline:
            continue
        # Where it goes in circles it has lost the way.
        place = (frame.pc, frame.registers().get("fp"))
        if place[1] is not None and place in seen:
            return frames, "early"
        seen.add(place)
        if frame.pc < KERNEL_START:
            return frames, "user_mode" if frames and is_user_frame(frame) else "early"
        frames.append(
            {
                "pc": hex(frame.pc),
                "sp": stack_pointer(frame),
                "symbol": symbol_name(frame),
                "lr": link_register(frame, inner),
            }
        )
        inner = frame
    last = frames[-1]["symbol"] if frames else None
    if last and last.startswith(FIRST_FUNCTIONS):
        return frames, "first"
    if last and last.startswith(FROM_USER):
        return frames, "user_mode"
    return frames, "early"


def stack_of(task, cpu):
    result = {
        "pid": task.pid.value_(),
        "cpu": cpu,
        "task": hex(task.value_()),
        "comm": task.comm.string_().decode(errors="backslashreplace"),
        "frames": [],
        "end": "early",
        "error": None,
    }
    try:
        result["frames"], result["end"] = real_frames(prog.stack_trace(task))
    except (FaultError, LookupError, ValueError) as error:
        result["error"] = str(error)
    return result


def all_stacks():
    for task in for_each_task(prog):
        yield stack_of(task, task_cpu(task))
    for cpu in for_each_possible_cpu(prog):
        yield stack_of(per_cpu(prog["runqueues"], cpu).idle, cpu)


json.dump({"stacks": list(all_stacks())}, sys.stdout, indent=1)
print()
