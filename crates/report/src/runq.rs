//! `runq`: who runs on each CPU, and who waits for it.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Cpu as KernelCpu, Queued as KernelQueued, RunQueue, Snapshot, Task};

use crate::duration::{LogTime, or_unknown};
use crate::{Gap, Hex, Painted, Report, Sanitized, Theme, names};

/// All run queues.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Runq")]
pub struct Runq<'a> {
    /// The CPUs, by number.
    pub cpus: Vec<Cpu<'a>>,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
}

/// One CPU's run queue. All but `cpu` is null where it could not be read.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "CpuRunq")]
pub struct Cpu<'a> {
    /// The CPU's number.
    pub cpu: u32,
    /// The address of its `struct rq`.
    pub runqueue: Option<Hex>,
    /// The task it was executing.
    pub current: Option<Current<'a>>,
    /// How long `current` has been running without being scheduled out, by the run queue's clock. Meaningless for an
    /// idle task, which does not use the CPU.
    pub running_ns: Option<u64>,
    /// Runnable tasks, `current` among them unless it is the idle task. Some kernels count `servers`, too.
    pub nr_running: Option<u64>,
    /// Deadline servers in the deadline queue, which grant the classes below it some time.
    pub servers: Option<u64>,
    /// The run queue's clock, in nanoseconds since boot. It stops while interrupts stay off.
    pub clock: Option<u64>,
    /// Who waits, in the order of the queues.
    pub queued: Option<Vec<Queued<'a>>>,
}

/// The task that a CPU was executing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Current")]
pub struct Current<'a> {
    /// Thread id; 0 for the idle task.
    pub pid: i32,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The effective priority: below 0 deadline, 0 to 99 real-time, 100 to 139 fair.
    pub prio: i32,
}

/// A task that waits for the CPU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Queued")]
pub struct Queued<'a> {
    /// Thread id.
    pub pid: i32,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The scheduling class: `stop`, `dl`, `rt`, `fair` or `ext`.
    #[schemars(schema_with = "names::class")]
    pub class: &'static str,
    /// The effective priority: below 0 deadline, 0 to 99 real-time, 100 to 139 fair.
    pub prio: i32,
    /// How long it has been waiting, by the run queue's clock.
    pub waiting_ns: Option<u64>,
}

impl<'a> Runq<'a> {
    /// The run queues of `snapshot`.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            cpus: snapshot.cpus.iter().map(|cpu| Cpu::new(snapshot, cpu)).collect(),
            gaps: snapshot.gaps.iter().map(Gap::new).collect(),
        }
    }
}

impl<'a> Cpu<'a> {
    fn new(snapshot: &'a Snapshot, cpu: &'a KernelCpu) -> Self {
        let queue = cpu.run_queue.as_ref();
        let current = snapshot.current(cpu);
        Self {
            cpu: cpu.cpu,
            runqueue: queue.map(|queue| queue.address.into()),
            current: current.map(Current::new),
            running_ns: queue.zip(current).and_then(|(queue, current)| queue.running_ns(current)),
            nr_running: queue.map(|queue| queue.nr_running),
            servers: queue.map(|queue| queue.servers),
            clock: queue.map(|queue| queue.clock_ns),
            queued: queue
                .map(|queue| queue.queued.iter().filter_map(|queued| Queued::new(snapshot, queue, queued)).collect()),
        }
    }
}

impl<'a> Current<'a> {
    fn new(task: &'a Task) -> Self {
        Self { pid: task.pid, comm: &task.comm, task: task.address.into(), prio: task.prio }
    }
}

impl<'a> Queued<'a> {
    fn new(snapshot: &'a Snapshot, queue: &RunQueue, queued: &KernelQueued) -> Option<Self> {
        // The fair class leaves a task that sleeps in its tree until its turn comes.
        let task = snapshot.task(queued.task).filter(|task| !task.sleeps_queued)?;
        Some(Self {
            pid: task.pid,
            comm: &task.comm,
            task: task.address.into(),
            class: queued.class.name(),
            prio: task.prio,
            waiting_ns: queue.waiting_ns(task),
        })
    }
}

impl Report for Runq<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        for (index, cpu) in self.cpus.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write_cpu(cpu, out, theme)?;
        }
        Ok(())
    }
}

fn write_cpu(cpu: &Cpu<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Cpu { cpu: number, runqueue: Some(Hex(address)), nr_running: Some(runnable), clock: Some(clock), .. } = cpu
    else {
        let line = format_args!("CPU {}  RUNQUEUE: (not readable)", cpu.cpu);
        return writeln!(out, "{}", Painted(theme.doubtful, line));
    };
    let clock = LogTime(*clock).to_string();
    let clock = clock.trim_start();
    let head = format_args!("CPU {number}  RUNQUEUE: {address:016x}  RUNNABLE: {runnable}  CLOCK: {clock}");
    writeln!(out, "{}", Painted(theme.heading, head))?;
    match &cpu.current {
        Some(Current { pid, task: Hex(task), comm, prio }) => {
            // The idle task runs when nobody else wants to: how long is of no interest.
            let running = if *pid == 0 { "-".to_owned() } else { or_unknown(cpu.running_ns) };
            let comm = Sanitized::new(comm);
            writeln!(
                out,
                "  CURRENT:   [{prio:3}] PID: {pid:<8} TASK: {task:016x}  RUNNING: {running:>10}  COMMAND: \"{comm}\""
            )?;
        }
        None => writeln!(out, "  CURRENT:   (not a task that can be read)")?,
    }
    let queued = cpu.queued.as_deref().unwrap_or_default();
    if queued.is_empty() {
        return writeln!(out, "  QUEUED: (none)");
    }
    for Queued { pid, task: Hex(task), comm, class, prio, waiting_ns } in queued {
        let waiting = or_unknown(*waiting_ns);
        let comm = Sanitized::new(comm);
        writeln!(
            out,
            "  QUEUED: {class:>4} [{prio:3}] PID: {pid:<8} TASK: {task:016x}  WAITING: {waiting:>10}  COMMAND: \"{comm}\""
        )?;
    }
    Ok(())
}
