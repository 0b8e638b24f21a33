//! Tasks and the lists that they are on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use vmcore_memory::VirtAddr;

use super::Machine;
use crate::SynthError;
use crate::arch::Target;
use crate::stack::SwitchedOut;

/// `PF_KTHREAD`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// What a `struct task_struct` is to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewTask {
    pub(crate) pid: i32,
    pub(crate) tgid: i32,
    pub(crate) comm: String,
    /// The lowest address of its stack.
    pub(crate) stack: VirtAddr,
    /// Where it was scheduled out.
    pub(crate) saved: SwitchedOut,
    /// `TASK_*`.
    pub(crate) state: u64,
    pub(crate) cpu: u32,
    pub(crate) on_cpu: bool,
    pub(crate) queued: bool,
    /// `SCHED_*`.
    pub(crate) policy: u64,
    pub(crate) prio: i32,
    /// `None` for a kernel thread.
    pub(crate) mm: Option<VirtAddr>,
    pub(crate) last_arrival: u64,
    pub(crate) last_queued: u64,
    /// `min_flt`.
    pub(crate) faults: u64,
    /// `utime` and `stime`, in nanoseconds.
    pub(crate) times: (u64, u64),
    /// `se.sum_exec_runtime`, `sched_info.run_delay` and `start_time`, where they are to be set.
    pub(crate) ran: Option<u64>,
    pub(crate) waited: Option<u64>,
    pub(crate) started: Option<u64>,
    /// The CPUs that it may run on.
    pub(crate) allowed: Vec<u32>,
}

impl Machine<'_> {
    /// Writes what `task` says to the `struct task_struct` at `at`.
    pub(crate) fn write_task(&mut self, at: VirtAddr, task: &NewTask) -> Result<(), SynthError> {
        let kind = "task_struct";
        self.clear(at, kind)?;
        let int = |value: i32| u64::from(value.cast_unsigned());
        let init = self.variable("init_task")?;
        for (path, value) in [
            ("pid", int(task.pid)),
            ("tgid", int(task.tgid)),
            ("stack", task.stack.get()),
            ("on_cpu", task.on_cpu.into()),
            ("on_rq", task.queued.into()),
            ("policy", task.policy),
            ("prio", int(task.prio)),
            ("normal_prio", int(task.prio)),
            ("static_prio", 120),
            ("flags", if task.mm.is_some() { 0x0040_0000 } else { PF_KTHREAD }),
            ("mm", task.mm.unwrap_or_default().get()),
            ("active_mm", task.mm.unwrap_or_default().get()),
            ("real_parent", init.get()),
            ("parent", init.get()),
            ("group_leader", at.get()),
            ("se.exec_start", task.last_arrival),
            ("min_flt", task.faults),
            ("utime", task.times.0),
            ("stime", task.times.1),
        ] {
            self.put(at, kind, path, value)?;
        }
        let saved = task.saved;
        match self.generation.target() {
            Target::X86_64(_) => self.put(at, kind, "thread.sp", saved.sp.get())?,
            Target::Arm64(_) => {
                for (register, value) in [("fp", saved.fp), ("sp", saved.sp), ("pc", saved.pc)] {
                    self.put(at, kind, &format!("thread.cpu_context.{register}"), value.get())?;
                }
                // Nobody asks for its CPU.
                self.put(at, kind, "thread_info.preempt.need_resched", 1)?;
            }
        }
        self.put_first(at, kind, &["__state", "state"], task.state)?;
        self.put_first(at, kind, &["thread_info.cpu", "cpu"], task.cpu.into())?;
        self.put_if_there(at, kind, "sched_info.last_arrival", task.last_arrival)?;
        self.put_if_there(at, kind, "sched_info.last_queued", task.last_queued)?;
        let counted =
            [("se.sum_exec_runtime", task.ran), ("sched_info.run_delay", task.waited), ("start_time", task.started)];
        for (path, value) in counted {
            if let Some(value) = value {
                self.put(at, kind, path, value)?;
            }
        }
        self.put_if_there(at, kind, "usage.refs.counter", 2)?;
        self.write_allowed(at, &task.allowed)?;
        let comm = self.member(at, kind, "comm")?;
        let name: Vec<u8> = task.comm.bytes().take(15).chain([0]).collect();
        self.space.write(comm, &name)?;
        for path in ["children", "sibling"] {
            let node = self.member(at, kind, path)?;
            self.link(&[node])?;
        }
        Ok(())
    }
}

impl Machine<'_> {
    /// Writes the mask of the CPUs that a task may run on.
    fn write_allowed(&mut self, at: VirtAddr, cpus: &[u32]) -> Result<(), SynthError> {
        let name = if self.has("task_struct", "cpus_mask") { "cpus_mask" } else { "cpus_allowed" };
        let mask = self.member(at, "task_struct", name)?;
        let size = self.generation.size_of("cpumask")?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        for cpu in cpus {
            if let Some(byte) = bytes.get_mut((cpu / 8) as usize) {
                *byte |= 1 << (cpu % 8);
            }
        }
        self.space.write(mask, &bytes)
    }
}

/// The list of all thread groups, as it grows.
#[derive(Debug, Default)]
pub(crate) struct TaskList {
    leaders: Vec<VirtAddr>,
    /// By process id: the members that link the threads, behind the head in `struct signal_struct`.
    groups: BTreeMap<i32, Group>,
}

#[derive(Debug)]
struct Group {
    leader: VirtAddr,
    signal: VirtAddr,
    nodes: Vec<VirtAddr>,
}

impl TaskList {
    /// Adds a task that has been written, with the `struct signal_struct` of its group.
    pub(crate) fn add(
        &mut self,
        machine: &mut Machine<'_>,
        task: VirtAddr,
        (pid, tgid): (i32, i32),
        signal: Option<VirtAddr>,
    ) -> Result<(), SynthError> {
        let node = machine.member(task, "task_struct", "thread_node")?;
        let group = match self.groups.entry(tgid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let signal = signal.map_or_else(|| machine.new_object("signal_struct"), Ok)?;
                let head = machine.member(signal, "signal_struct", "thread_head")?;
                new.insert(Group { leader: task, signal, nodes: vec![head] })
            }
        };
        group.nodes.push(node);
        if pid == tgid {
            group.leader = task;
        }
        machine.put(task, "task_struct", "signal", group.signal.get())
    }

    /// Links everything, once all tasks are there.
    pub(crate) fn finish(mut self, machine: &mut Machine<'_>, init: VirtAddr) -> Result<(), SynthError> {
        self.leaders.push(machine.member(init, "task_struct", "tasks")?);
        for group in self.groups.values() {
            machine.link(&group.nodes)?;
            machine.put(group.signal, "signal_struct", "nr_threads", group.nodes.len() as u64 - 1)?;
            if group.leader != init {
                self.leaders.push(machine.member(group.leader, "task_struct", "tasks")?);
            }
        }
        machine.link(&self.leaders)
    }
}
