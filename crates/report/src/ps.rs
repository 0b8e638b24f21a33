//! `ps`: all tasks.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Snapshot, Task as KernelTask};

use crate::{Duration, Gap, Hex, Painted, Report, Sanitized, Theme};

/// How deep a tree is drawn.
const MAX_INDENT: usize = 32;

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
    /// How long it has been on its CPU, by the run queue's clock; null for a task that is on none.
    pub running_ns: Option<u64>,
    /// How long it has been waiting for a CPU; null for a task that does not want one.
    pub waiting_ns: Option<u64>,
    /// How long ago it was last given a CPU: a sleeping task has been sleeping for less. Null where it never was, or the
    /// kernel does not keep the time.
    pub last_run_ns: Option<u64>,
    /// How many ancestors of it are in the list before it, in a tree.
    #[serde(skip)]
    #[schemars(skip)]
    depth: usize,
}

/// The order of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Idle tasks first, by CPU, then by process id.
    Pid,
    /// Those first that were given a CPU the longest time ago.
    Wait,
    /// Each behind its parent, threads behind their process.
    Tree,
}

impl<'a> Ps<'a> {
    /// Those tasks of `snapshot` that are `meant`.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, order: Order, meant: &dyn Fn(&KernelTask) -> bool) -> Self {
        let ordered: Vec<(&KernelTask, usize)> = match order {
            Order::Tree => tree(&snapshot.tasks),
            _ => snapshot.tasks.iter().map(|task| (task, 0)).collect(),
        };
        let meant = ordered.into_iter().filter(|(task, _)| meant(task));
        let mut tasks: Vec<_> = meant.map(|(task, depth)| Task { depth, ..Task::new(snapshot, task) }).collect();
        if order == Order::Wait {
            tasks.sort_by_key(|task| Reverse(task.waiting_ns.or(task.last_run_ns).filter(|_| !task.on_cpu)));
        }
        Self { tasks, gaps: snapshot.gaps.iter().map(Gap::new).collect() }
    }
}

/// Tasks behind their parents, each with the number of its ancestors. A damaged dump may have circles of parents: who
/// is in one stands at the end.
fn tree(tasks: &[KernelTask]) -> Vec<(&KernelTask, usize)> {
    let mut children: HashMap<i32, Vec<&KernelTask>> = HashMap::new();
    let known: HashSet<i32> = tasks.iter().map(|task| task.pid).collect();
    let mut roots = Vec::new();
    for task in tasks {
        let parent = if task.pid == task.tgid { task.ppid.unwrap_or_default() } else { task.tgid };
        if task.pid == 0 || !known.contains(&parent) {
            roots.push(task);
        } else {
            children.entry(parent).or_default().push(task);
        }
    }
    let mut ordered = Vec::with_capacity(tasks.len());
    let mut stack: Vec<_> = roots.into_iter().rev().map(|task| (task, 0)).collect();
    while let Some((task, depth)) = stack.pop() {
        ordered.push((task, depth));
        // All idle tasks have pid 0: the first of them is everybody's ancestor. Nobody is visited twice.
        let below = children.remove(&task.pid).unwrap_or_default();
        stack.extend(below.into_iter().rev().map(|task| (task, depth + 1)));
    }
    let circles = children.into_values().flatten();
    let mut rest: Vec<_> = circles.map(|task| (task, 0)).collect();
    rest.sort_by_key(|(task, _)| task.pid);
    ordered.extend(rest);
    ordered
}

impl<'a> Task<'a> {
    pub(crate) fn new(snapshot: &Snapshot, task: &'a KernelTask) -> Self {
        let running = snapshot.cpu_running(task);
        let queue = running.or_else(|| snapshot.cpu(task.cpu)).and_then(|cpu| cpu.run_queue.as_ref());
        let last_run_ns = queue.and_then(|queue| queue.running_ns(task));
        let waits = task.waits_for_cpu() && running.is_none();
        Self {
            running_ns: last_run_ns.filter(|_| running.is_some()),
            waiting_ns: queue.filter(|_| waits).and_then(|queue| queue.waiting_ns(task)),
            last_run_ns,
            depth: 0,
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

/// Columns of a screen that has room for everything.
const WIDTH: usize = 126;
/// Columns of one that has room for the process and whether a task is in a run queue: in a narrower one, only what tells them
/// apart is shown.
const NARROW: usize = 92;

impl Report for Ps<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let more = if theme.table_width < WIDTH { String::new() } else { format!("  {:14}  {:16}", "POLICY", "MM") };
        let narrow = theme.table_width < NARROW;
        let (tgid, rq) = if narrow { (String::new(), "") } else { (format!("{:>7} ", "TGID"), "RQ ") };
        let since = if narrow { 11 } else { 12 };
        let head = format_args!(
            "  {:>7} {tgid}{:>7} {:>4}  {:16} ST {rq}PRIO {:>since$}{more}  COMM",
            "PID", "PPID", "CPU", "TASK", "SINCE"
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
    // Of an idle task nobody wants to know.
    let since = if *pid == 0 { None } else { task.waiting_ns.or(task.last_run_ns) };
    let since = since.map_or_else(|| "-".to_owned(), |ns| Duration(ns).to_string());
    let more = if theme.table_width < WIDTH { String::new() } else { format!("  {policy:14}  {mm:16}") };
    let narrow = theme.table_width < NARROW;
    let (tgid, on_rq) =
        if narrow { (String::new(), String::new()) } else { (format!("{tgid:>7} "), format!("{on_rq:>2} ")) };
    let width = if narrow { 11 } else { 12 };
    let line = format_args!(
        "{mark} {pid:>7} {tgid}{ppid:>7} {cpu:>4}  {address:016x} {state:<2} {on_rq}{prio:>4} {since:>width$}{more}"
    );
    if task.on_cpu {
        write!(out, "{}", Painted(theme.heading, line))?;
    } else {
        write!(out, "{line}")?;
    }
    write!(out, "{}", "  ".repeat(task.depth.min(MAX_INDENT)))?;
    let comm = Sanitized::new(task.comm);
    if task.kernel_thread { writeln!(out, "  [{comm}]") } else { writeln!(out, "  {comm}") }
}
