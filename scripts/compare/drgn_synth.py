"""Prints the stacks of a synthetic dump, as drgn sees them, as drgn_stacks.py does.

usage: drgn_synth.py VMCORE VMLINUX

A synthetic kernel has no table of process ids, by which drgn's helpers go through the
tasks, but it has the list of all thread groups and that of each group's threads. And
before 5.9 no build-id says that a vmlinux belongs to a dump: drgn has to be told.
"""

import runpy
import sys
from pathlib import Path

import drgn
import drgn.helpers.linux.pid
from drgn.helpers.linux.list import list_for_each_entry


def for_each_task(program):
    leaders = program["init_task"].tasks.address_of_()
    for leader in list_for_each_entry("struct task_struct", leaders, "tasks"):
        threads = leader.signal.thread_head.address_of_()
        yield from list_for_each_entry("struct task_struct", threads, "thread_node")


def open_dump(vmcore, vmlinux):
    program = drgn.Program()
    program.set_core_dump(vmcore)
    for module, _ in program.loaded_modules():
        if isinstance(module, drgn.MainModule):
            module.try_file(vmlinux, force=True)
    return program


drgn.helpers.linux.pid.for_each_task = for_each_task
runpy.run_path(
    str(Path(__file__).parent / "drgn_stacks.py"),
    init_globals={"prog": open_dump(*sys.argv[1:3])},
)
