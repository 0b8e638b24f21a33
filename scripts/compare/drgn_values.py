# Run by `values` in drgn, whose `prog` is the dump: compares every member of objects, as `struct` shows them, with drgn's.
#
# arguments: BINARY VMCORE VMLINUX

import json
import subprocess
import sys

import drgn
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.percpu import per_cpu
from drgn.helpers.linux.pid import for_each_task

TASKS = 6


def ours(type_name, address):
    binary, vmcore, vmlinux = sys.argv[1:4]
    command = [binary, "struct", vmcore, vmlinux, type_name, hex(address), "--format", "json", "-q"]
    found = subprocess.run(command, capture_output=True, check=False)
    if found.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)}: {found.stderr.decode()}")
    return json.loads(found.stdout)["objects"][0]


class Comparison:
    def __init__(self):
        self.compared = 0
        self.differences = []

    def check(self, path, value, there):
        kind = value["kind"]
        if kind == "unreadable":
            try:
                there.read_()
            except (drgn.FaultError, drgn.ObjectAbsentError):
                return
            except TypeError:
                return
            self.differences.append(f"{path}: {value['name']}, which drgn can read")
            return
        if kind == "opaque":
            return
        if kind == "struct":
            for member in value["members"]:
                self.member(path, member, there)
            return
        if kind == "array":
            for run in value["elements"]:
                for index in {run["first"], run["first"] + run["count"] - 1}:
                    self.check(f"{path}[{index}]", run["value"], there[index])
            return
        try:
            expected = self.plain(kind, there)
        except drgn.FaultError:
            self.differences.append(f"{path}: {value}, which drgn cannot read")
            return
        found = value["text"] if kind == "text" else value.get("number", value.get("float"))
        if kind == "pointer":
            found = int(value["target"], 16)
        if kind == "bool":
            expected = int(expected)
        self.compared += 1
        if found != expected:
            self.differences.append(f"{path}: {found!r}, drgn {expected!r}")

    def member(self, path, member, there):
        name = member["name"]
        if name is not None:
            self.check(f"{path}.{name}", member["value"], there.member_(name))
        else:
            # drgn has the members of anonymous ones in the struct around.
            for inner in member["value"].get("members", []):
                self.member(path, inner, there)

    @staticmethod
    def plain(kind, there):
        if kind == "text":
            raw = bytes(there.to_bytes_())
            return raw.split(b"\0")[0].decode("utf-8", "replace")
        value = there.value_()
        if kind == "char":
            return value & 0xFF
        return value


def objects(prog):
    tasks = list(for_each_task(prog))[:TASKS]
    for task in tasks:
        yield "struct task_struct", task.value_()
        if task.mm:
            yield "struct mm_struct", task.mm.value_()
        yield "struct signal_struct", task.signal.value_()
        yield "struct files_struct", task.files.value_()
    for cpu in range(2):
        yield "struct rq", per_cpu(prog["runqueues"], cpu).address_of_().value_()
    for module in list_for_each_entry("struct module", prog["modules"].address_of_(), "list"):
        yield "struct module", module.value_()
    for block in list_for_each_entry("struct super_block", prog["super_blocks"].address_of_(), "s_list"):
        yield "struct super_block", block.value_()


comparison = Comparison()
count = 0
for type_name, address in objects(prog):  # noqa: F821
    there = drgn.Object(prog, type_name, address=address)  # noqa: F821
    comparison.check(f"({type_name}){address:#x}", ours(type_name, address), there)
    count += 1
for difference in comparison.differences[:20]:
    print(difference)
print(f"{count} objects, {comparison.compared} values compared, {len(comparison.differences)} differ")
sys.exit(1 if comparison.differences or not comparison.compared else 0)
