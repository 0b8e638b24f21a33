//! Who the huge-page livelock is between: those that spin, and those that they keep from running.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose as diagnose;

use crate::Hex;
use crate::verdict::{Evidence, evidence};

/// A CPU that spins in the page-fault path.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Spinner")]
pub struct Spinner<'a> {
    /// The CPU.
    pub cpu: u32,
    /// The thread id of the task on it.
    pub pid: i32,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The user address that faults again and again.
    pub address: Option<Hex>,
    /// How long the task has been running without being scheduled out, by the run queue's clock.
    pub running_ns: Option<u64>,
    /// How long it has kept its CPU from all tasks that it outranks: as `running_ns`, or longer where only such that
    /// outrank it came in between.
    pub kept_ns: Option<u64>,
    /// The function whose instruction faults.
    pub fault_function: Option<&'a str>,
    /// The system call's function.
    pub syscall_function: Option<&'a str>,
    /// The raw page-table entry that the fault finds.
    pub entry: Option<Hex>,
    /// The `struct page` of the huge page's head.
    pub head_page: Option<Hex>,
    /// The links of the proof that are about this CPU.
    pub evidence: Vec<Evidence<'a>>,
}

/// A task that splits a huge page and cannot run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Splitter")]
pub struct Splitter<'a> {
    /// Thread id.
    pub pid: i32,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The CPU in whose run queue it waits.
    pub cpu: u32,
    /// Its state's letter, as in `ps`.
    pub state: char,
    /// `task_struct.on_rq`: 1 in a run queue.
    pub on_rq: u64,
    /// Whether a CPU was executing it.
    pub on_cpu: bool,
    /// How long it has been waiting for the CPU, by the run queue's clock.
    pub waiting_ns: Option<u64>,
    /// The outermost function of the split on its stack.
    pub split_function: &'a str,
    /// The `struct page` of the huge page's head.
    pub head_page: Option<Hex>,
    /// The links of the proof that are about this task.
    pub evidence: Vec<Evidence<'a>>,
}

impl<'a> Spinner<'a> {
    pub(super) fn new(spinner: &'a diagnose::Spinner) -> Self {
        Self {
            cpu: spinner.cpu,
            pid: spinner.pid,
            comm: &spinner.comm,
            task: spinner.task.into(),
            address: spinner.address.map(Hex::from),
            running_ns: spinner.running_ns,
            kept_ns: spinner.kept_ns,
            fault_function: spinner.fault_function.as_deref(),
            syscall_function: spinner.syscall_function.as_deref(),
            entry: spinner.entry.map(Hex),
            head_page: spinner.head_page.map(Hex::from),
            evidence: evidence(&spinner.evidence),
        }
    }
}

impl<'a> Splitter<'a> {
    pub(super) fn new(splitter: &'a diagnose::Splitter) -> Self {
        Self {
            pid: splitter.pid,
            comm: &splitter.comm,
            task: splitter.task.into(),
            cpu: splitter.cpu,
            state: splitter.state,
            on_rq: splitter.on_rq,
            on_cpu: splitter.on_cpu,
            waiting_ns: splitter.waiting_ns,
            split_function: &splitter.split_function,
            head_page: splitter.head_page.map(Hex::from),
            evidence: evidence(&splitter.evidence),
        }
    }
}
