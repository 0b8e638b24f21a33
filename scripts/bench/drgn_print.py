"""Prints every task's stack the way a person reads it: every frame with its function, its
file and line, inlined functions included. What `vmcore-thp bt --all` does, by drgn.

Run by drgn:  drgn -q -c VMCORE -s VMLINUX drgn_print.py
"""

from drgn import FaultError, Program
from drgn.helpers.linux.cpumask import for_each_possible_cpu
from drgn.helpers.linux.percpu import per_cpu
from drgn.helpers.linux.pid import for_each_task

prog: Program


def print_stack(task):
    print(f"PID {task.pid.value_()} {task.comm.string_().decode(errors='replace')}")
    try:
        print(prog.stack_trace(task))
    except (FaultError, LookupError, ValueError) as error:
        print(error)


for each in for_each_task(prog):
    print_stack(each)
for number in for_each_possible_cpu(prog):
    print_stack(per_cpu(prog["runqueues"], number).idle)
