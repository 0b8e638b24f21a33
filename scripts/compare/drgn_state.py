# Run by `state` in drgn, whose `prog` is the dump: lists the kernel's state with drgn's helpers and compares.
#
# arguments: BINARY VMCORE VMLINUX

import json
import subprocess
import sys

from drgn import FaultError, Object, cast
from drgn.helpers.common.format import escape_ascii_string
from drgn.helpers.linux.cpumask import for_each_possible_cpu
from drgn.helpers.linux.fs import d_path, for_each_file, for_each_mount, mount_dst, mount_fstype, mount_src
from drgn.helpers.linux.idr import idr_for_each
from drgn.helpers.linux.list import hlist_for_each_entry, list_for_each_entry
from drgn.helpers.linux.mmzone import for_each_online_pgdat
from drgn.helpers.linux.net import for_each_netdev
from drgn.helpers.linux.percpu import per_cpu, per_cpu_ptr
from drgn.helpers.linux.pid import find_task, for_each_task
from drgn.helpers.linux.rbtree import rbtree_inorder_for_each
from drgn.helpers.linux.slab import for_each_slab_cache

CPUS = list(for_each_possible_cpu(prog))  # noqa: F821


def ours(command, *words):
    binary, vmcore, vmlinux = sys.argv[1:4]
    line = [binary, command, vmcore, vmlinux, *words, "--format", "json", "-q"]
    found = subprocess.run(line, capture_output=True, check=False)
    if found.returncode not in (0, 3):
        sys.exit(f"{' '.join(line)}: {found.stderr.decode()}")
    read = json.loads(found.stdout)
    for gap in read["gaps"]:
        print(f"{command}: not read: {gap['what']}: {gap['why']}")
    return read


def hexed(pointer):
    return hex(int(pointer))


def text(pointer):
    return escape_ascii_string(pointer.string_())


def timers():
    found = set()
    for cpu in CPUS:
        bases = per_cpu(prog["timer_bases"], cpu)  # noqa: F821
        for base in bases if bases.type_.kind.name == "ARRAY" else [bases]:
            for vector in base.vectors:
                for timer in hlist_for_each_entry("struct timer_list", vector.address_of_(), "entry"):
                    found.add((cpu, hexed(timer), hexed(timer.expires)))
        for base in per_cpu(prog["hrtimer_bases"], cpu).clock_base:  # noqa: F821
            root = base.active
            while hasattr(root, "rb_root"):
                root = root.rb_root
            for node in rbtree_inorder_for_each(root.address_of_()):
                timer = cast("struct hrtimer *", node)
                part = timer.node if hasattr(timer.node, "expires") else timer.node.node
                found.add((cpu, hexed(timer), hex(part.expires.value_())))
    return found, {(t["cpu"], t["timer"], t["expires"]) for t in ours("timer")["timers"]}


def interrupts():
    from drgn.helpers.linux import irq

    found = set()
    for number, desc in irq.for_each_irq_desc(prog):  # noqa: F821
        if desc.action:
            names = ",".join(name.decode() for name in irq.irq_desc_action_names(desc))
            found.add((int(number), hexed(desc), names, sum(int(irq.irq_desc_kstat_cpu(desc, cpu)) for cpu in CPUS)))
    return found, {(l["irq"], l["desc"], ",".join(l["names"]), l["count"]) for l in ours("irq")["lines"]}


def works():
    found = set()
    for _, entry in idr_for_each(prog["worker_pool_idr"].address_of_()):  # noqa: F821
        pool = cast("struct worker_pool *", entry)
        for work in list_for_each_entry("struct work_struct", pool.worklist.address_of_(), "entry"):
            found.add((pool.id.value_(), "waits", hexed(work)))
        for worker in list_for_each_entry("struct worker", pool.workers.address_of_(), "node"):
            if worker.current_work:
                found.add((pool.id.value_(), worker.task.pid.value_(), hexed(worker.current_work)))
        found.add((pool.id.value_(), pool.nr_workers.value_(), pool.nr_idle.value_()))
    read = set()
    for pool in ours("workqueue")["pools"]:
        read |= {(pool["id"], "waits", work["work"]) for work in pool["waiting"]}
        read |= {(pool["id"], busy["task"]["pid"], busy["work"]["work"]) for busy in pool["busy"]}
        read.add((pool["id"], pool["workers_total"], pool["workers_idle"]))
    return found, read


def fs_type(block):
    """With the subtype, as `fuse.sshfs`."""
    name = text(block.s_type.name)
    return f"{name}.{text(block.s_subtype)}" if block.s_subtype else name


def user_registers(task):
    """At the end of the kernel stack; on machines that return by FRED there is more behind them."""
    size = prog.type("struct pt_regs").size  # noqa: F821
    top = task.stack.value_() + (16 << 10)
    return Object(prog, "struct pt_regs", address=top - size)  # noqa: F821


def needs():
    """What each sleeping task needs, by its own system call and look-up."""
    found, read = set(), set()
    table = prog["sys_call_table"]  # noqa: F821
    for task in ours("files")["tasks"]:
        for need in task["needs"]:
            read.add((task["task"]["pid"], need["call"], need["descriptor"], need["fs_type"], need["path"]))
        pid = task["task"]["pid"]
        struct = find_task(prog, pid)  # noqa: F821
        registers = user_registers(struct)
        call = prog.symbol(table[registers.orig_ax].value_()).name.removeprefix("__x64_sys_")  # noqa: F821
        if struct.nameidata:
            walk = struct.nameidata
            reached = d_path(walk.path).decode().rstrip("/")
            name = prog.read(walk.last.name, walk.last.len).decode() if walk.last_type == 0 else None  # noqa: F821
            path = f"{reached}/{name}" if name else reached or "/"
            found.add((pid, call, None, fs_type(walk.path.dentry.d_sb), path))
        opened = dict(for_each_file(struct))
        for number in {n["descriptor"] for n in task["needs"] if n["descriptor"] is not None}:
            # Whether it is among the arguments; which of them are descriptors is not told by the kernel.
            if number in (registers.di & 0xFFFFFFFF, registers.si & 0xFFFFFFFF, registers.dx & 0xFFFFFFFF):
                file = opened[number]
                found.add((pid, call, number, fs_type(file.f_path.dentry.d_sb), d_path(file.f_path).decode()))
    return found, read


def files():
    found, read = set(), set()
    for task in for_each_task(prog):  # noqa: F821
        if task.mm and task.files:
            for number, file in for_each_file(task):
                try:
                    path = d_path(file.f_path).decode()
                except FaultError:
                    # Its process was at work on it: it is in no file system any more, or not yet.
                    continue
                found.add((task.pid.value_(), str(number), hexed(file), fs_type(file.f_path.dentry.d_sb), path))
    letters = "RSDITtPXZ"
    for task in ours("files", "--state", letters)["tasks"]:
        for file in task["files"]:
            if file["file"] and file["descriptor"] != "exe":
                read.add((task["task"]["pid"], file["descriptor"], file["file"], file["fs_type"], file["path"]))
    # drgn makes up other names for what is in no directory.
    alone = {"pipefs", "sockfs", "anon_inodefs", "nsfs", "pidfs"}
    trim = lambda all: {row[:4] if row[3] in alone else row for row in all}  # noqa: E731
    return trim(found), trim(read)


def mounts():
    found = set()
    for mount in for_each_mount(find_task(prog, 1).nsproxy.mnt_ns):  # noqa: F821
        names = (mount_src(mount), mount_dst(mount), mount_fstype(mount))
        found.add((hexed(mount), *(name.decode() for name in names)))
    return found, {(m["mount"], m["source"], m["path"], m["fs_type"]) for m in ours("mount")["mounts"]}


def network():
    found = {(text(d.name), hexed(d), bool(d.flags & 1)) for d in for_each_netdev(prog["init_net"].address_of_())}  # noqa: F821
    return found, {(d["name"], d["device"], d["up"]) for d in ours("net")["devices"]}


def disks():
    from drgn.helpers.linux.block import disk_name, for_each_disk

    found = set()
    for disk in for_each_disk(prog):  # noqa: F821
        found.add((disk_name(disk).decode(), hexed(disk)))
        if not disk.queue.mq_ops:
            continue
        for index in range(disk.queue.nr_hw_queues):
            if hasattr(disk.queue, "hctx_table"):
                from drgn.helpers.linux.xarray import xa_load

                hardware = cast("struct blk_mq_hw_ctx *", xa_load(disk.queue.hctx_table.address_of_(), index))
            else:
                hardware = disk.queue.queue_hw_ctx[index]
            for tag in range(hardware.tags.nr_tags):
                request = hardware.tags.rqs[tag]
                if request and request.q == disk.queue and request.tag == tag and request.state.value_() in (1, 2):
                    row = (index, tag, hexed(request), int(getattr(request, "__sector")), int(getattr(request, "__data_len")))
                    found.add((disk_name(disk).decode(), *row))
    read = set()
    for disk in ours("dev")["disks"]:
        read.add((disk["name"], disk["disk"]))
        for r in disk["in_flight"]:
            read.add((disk["name"], r["hardware_queue"], r["tag"], r["request"], r["sector"], r["bytes"]))
    return found, read


def counter_sum(counter):
    """drgn's own helper leaves CPUs out that are offline, as those are that a panic stopped."""
    return int(counter.count) + sum(int(per_cpu_ptr(counter.counters, cpu)[0]) for cpu in CPUS)


def memory():
    found, read = set(), set()
    free = prog.constant("NR_FREE_PAGES")  # noqa: F821
    for node in for_each_online_pgdat(prog):  # noqa: F821
        for zone in node.node_zones:
            managed = zone.managed_pages
            managed = managed.counter if hasattr(managed, "counter") else managed
            if managed:
                found.add((text(zone.name), int(managed) * 4096, int(zone.vm_stat[free].counter) * 4096))
    for cache in for_each_slab_cache(prog):  # noqa: F821
        nodes = cache.node[0] if hasattr(cache, "node") else cache.per_node[0].node
        found.add((text(cache.name), hexed(cache), int(nodes.nr_slabs.counter)))
    for task in for_each_task(prog):  # noqa: F821
        if task.mm and task.pid == task.tgid:
            stat = task.mm.rss_stat
            if hasattr(stat, "count"):
                parts = [max(0, int(stat.count[i].counter)) for i in range(4)]
            else:
                parts = [max(0, counter_sum(stat[i])) for i in range(4)]
            found.add((task.pid.value_(), (parts[0] + parts[1] + parts[3]) * 4096, parts[2] * 4096))
    all = ours("kmem")
    read |= {(z["name"], z["managed_bytes"], z["free_bytes"]) for z in all["zones"]}
    read |= {(s["name"], s["cache"], s["slabs"]) for s in all["slabs"]}
    read |= {(p["process"]["pid"], p["rss_bytes"], p["swap_bytes"]) for p in all["processes"]}
    return found, read


def wait_queues():
    """Every queue that a task was found in has the task's entry, by drgn's own walk."""
    found, read = set(), set()
    for waiter in ours("waitq")["waiters"]:
        read.add((waiter["entry"], waiter["queue"]))
        at = int(waiter["queue"], 16)
        if waiter["wakes_by"] is None:
            queue = Object(prog, "struct swait_queue_head", address=at)  # noqa: F821
            entries = list_for_each_entry("struct swait_queue", queue.task_list.address_of_(), "task_list")
        else:
            queue = Object(prog, "struct wait_queue_head", address=at)  # noqa: F821
            entries = list_for_each_entry("struct wait_queue_entry", queue.head.address_of_(), "entry")
        found |= {(hexed(entry), waiter["queue"]) for entry in entries if hexed(entry) == waiter["entry"]}
    return found, read


def soft_interrupts():
    def pending(cpu):
        try:
            return int(per_cpu(prog["__softirq_pending"], cpu))  # noqa: F821
        except KeyError:
            pass
        try:
            return int(per_cpu(prog["pcpu_hot"], cpu).softirq_pending)  # noqa: F821
        except (KeyError, AttributeError):
            return int(getattr(per_cpu(prog["irq_stat"], cpu), "__softirq_pending"))  # noqa: F821

    return {(cpu, hex(pending(cpu))) for cpu in CPUS}, {(s["cpu"], s["mask"]) for s in ours("irq")["soft"]}


def callbacks():
    length = [(cpu, per_cpu(prog["rcu_data"], cpu).cblist.len) for cpu in CPUS]  # noqa: F821
    found = {(cpu, int(getattr(number, "counter", number))) for cpu, number in length}
    return found, {(c["cpu"], c["callbacks"]) for c in ours("rcu")["cpus"]}


compared = wrong = 0
for check in (
    timers,
    interrupts,
    soft_interrupts,
    works,
    wait_queues,
    callbacks,
    disks,
    files,
    needs,
    mounts,
    network,
    memory,
):
    try:
        found, read = check()
    except ImportError as why:
        print(f"{check.__name__}: this drgn has no helper: {why}")
        continue
    only_there, only_here = sorted(map(str, found - read)), sorted(map(str, read - found))
    print(f"{check.__name__}: {len(found & read)} agree, {len(only_there)} only drgn has, {len(only_here)} only here")
    for row in only_there[:5]:
        print(f"  drgn: {row}")
    for row in only_here[:5]:
        print(f"  here: {row}")
    compared += len(found & read)
    wrong += len(only_there) + len(only_here)
print(f"state: {compared} things compared, {wrong} differ")
sys.exit(1 if wrong or not compared else 0)
