//! What was around the event that a verdict is about: run queues, who waited, the kernel's log. Only the page shows it; in
//! text and JSON the commands `runq`, `ps` and `dmesg` do.

use vmcore_console as console;
use vmcore_diagnose::{Diagnosis, LogLine, graph};
use vmcore_kernel::Snapshot;

use crate::ps::Task;
use crate::runq::Runq;

/// The log of the machine, and what the kernel reported in it.
#[derive(Clone, Copy, Debug)]
pub struct KernelLog<'a> {
    /// Its lines, oldest first.
    pub lines: &'a [LogLine],
    /// What they report.
    pub reports: &'a console::Log,
}

/// What was around.
#[derive(Clone, Debug)]
pub(super) struct Around<'a> {
    pub(super) run_queues: Runq<'a>,
    /// The tasks in the graph of who waits for whom.
    pub(super) tasks: Vec<Task<'a>>,
    pub(super) log: Option<KernelLog<'a>>,
}

impl<'a> Around<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, diagnosis: &'a Diagnosis) -> Self {
        let task = |node: &graph::Node| match node {
            graph::Node::Task { address, .. } => Some(Task::new(snapshot, snapshot.task(*address)?)),
            _ => None,
        };
        let tasks = diagnosis.graph.nodes().iter().filter_map(task).collect();
        Self { run_queues: Runq::new(snapshot), tasks, log: None }
    }
}
