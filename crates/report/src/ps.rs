//! `ps`: all tasks.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Snapshot, Task as KernelTask};

use crate::{Gap, Hex, Painted, Report, Sanitized, Theme};

/// All tasks: idle tasks first, by CPU, then by process id.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Ps")]
pub struct Ps<'a> {
    /// The tasks.
    pub tasks: Vec<Task<'a>>,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
}

/// One task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
pub struct Task<'a> {
    /// Thread id; 0 for an idle task.
    pub pid: i32,
    /// Process id.
    pub tgid: i32,
    /// The parent's process id.
    pub ppid: Option<i32>,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The state's letter, as in `ps`: `R`, `S`, `D`, `I`, `T`, `t`, `P`, `X`, `Z` or `?`.
    pub state: char,
    /// The CPU the task runs or last ran on, or whose run queue it is in.
    pub cpu: u32,
    /// Whether a CPU was executing it.
    pub on_cpu: bool,
    /// `task_struct.on_rq`: 1 in a run queue, 2 on its way to another CPU's, 0 in none.
    pub on_rq: u64,
    /// The scheduling policy, such as `SCHED_FIFO`.
    pub policy: &'static str,
    /// The effective priority: below 0 deadline, 0 to 99 real-time, 100 to 139 fair.
    pub prio: i32,
    /// The address of its `struct mm_struct`; null for a kernel thread.
    pub mm: Option<Hex>,
    /// Whether it has no user space.
    pub kernel_thread: bool,
}

impl<'a> Ps<'a> {
    /// The tasks of `snapshot`.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            tasks: snapshot.tasks.iter().map(Task::new).collect(),
            gaps: snapshot.gaps.iter().map(Gap::new).collect(),
        }
    }
}

impl<'a> Task<'a> {
    fn new(task: &'a KernelTask) -> Self {
        Self {
            pid: task.pid,
            tgid: task.tgid,
            ppid: task.ppid,
            comm: &task.comm,
            task: task.address.into(),
            state: task.state.letter(),
            cpu: task.cpu,
            on_cpu: task.on_cpu,
            on_rq: task.on_rq,
            policy: task.policy.name(),
            prio: task.prio,
            mm: task.mm.map(Hex::from),
            kernel_thread: task.kernel_thread,
        }
    }
}

impl Report for Ps<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let head = format_args!(
            "  {:>7} {:>7} {:>7} {:>4}  {:16} ST RQ PRIO  {:14}  {:16}  COMM",
            "PID", "TGID", "PPID", "CPU", "TASK", "POLICY", "MM"
        );
        writeln!(out, "{}", Painted(theme.heading, head))?;
        self.tasks.iter().try_for_each(|task| write_task(task, out, theme))
    }
}

/// One line: `>` before what a CPU was executing, kernel threads in brackets.
fn write_task(task: &Task<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Task { pid, tgid, cpu, on_rq, prio, policy, state, task: Hex(address), .. } = task;
    let mark = if task.on_cpu { '>' } else { ' ' };
    let ppid = task.ppid.map_or_else(|| "?".to_owned(), |ppid| ppid.to_string());
    let mm = task.mm.map_or_else(|| "-".to_owned(), |Hex(mm)| format!("{mm:016x}"));
    let line = format_args!(
        "{mark} {pid:>7} {tgid:>7} {ppid:>7} {cpu:>4}  {address:016x} {state:<2} {on_rq:>2} {prio:>4}  {policy:14}  {mm:16}"
    );
    if task.on_cpu {
        write!(out, "{}", Painted(theme.heading, line))?;
    } else {
        write!(out, "{line}")?;
    }
    let comm = Sanitized::new(task.comm);
    if task.kernel_thread { writeln!(out, "  [{comm}]") } else { writeln!(out, "  {comm}") }
}
