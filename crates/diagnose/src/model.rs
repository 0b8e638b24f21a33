//! The verdict and its proof, as plain data: what a report renders.

use std::collections::BTreeMap;

use vmcore_kernel::Stack;
use vmcore_memory::{Pfn, VirtAddr};

use crate::fact::Evidence;
use crate::grade::{CheckResult, Confidence, Severity};
use crate::graph::Graph;
use crate::issue::Issue;

/// The answer in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The problem; `None` where none was found or it cannot be told.
    pub issue: Option<Issue>,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence.
    pub summary: String,
}

/// A CPU that spins in the page-fault path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spinner {
    /// The CPU.
    pub cpu: u32,
    /// The task on it: the address of its `struct task_struct`.
    pub task: VirtAddr,
    /// Its thread id.
    pub pid: i32,
    /// Its name: untrusted.
    pub comm: String,
    /// The user address that faults again and again; `None` where it could not be told.
    pub address: Option<VirtAddr>,
    /// How long it has been running without being scheduled out, in nanoseconds of the run queue's clock.
    pub running_ns: Option<u64>,
    /// How long it has kept its CPU from all tasks that it outranks: as `running_ns`, or longer where only such that
    /// outrank it came in between.
    pub kept_ns: Option<u64>,
    /// The function whose instruction faults, such as `copy_user_enhanced_fast_string`.
    pub fault_function: Option<String>,
    /// The system call's function, such as `__do_sys_newfstat`.
    pub syscall_function: Option<String>,
    /// The raw page-table entry that the fault finds.
    pub entry: Option<u64>,
    /// The `struct page` of the huge page's head, where it could be found.
    pub head_page: Option<VirtAddr>,
    /// The links of the proof that are about this CPU.
    pub evidence: Vec<Evidence>,
}

/// A task that splits the huge page and cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splitter {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// Its thread id.
    pub pid: i32,
    /// Its name: untrusted.
    pub comm: String,
    /// The CPU in whose run queue it waits.
    pub cpu: u32,
    /// Its state letter.
    pub state: char,
    /// `task_struct.on_rq`.
    pub on_rq: u64,
    /// `task_struct.on_cpu`.
    pub on_cpu: bool,
    /// How long it has been waiting for the CPU, in nanoseconds of the run queue's clock.
    pub waiting_ns: Option<u64>,
    /// The outermost function of the split on its stack.
    pub split_function: String,
    /// Whether something ties it to the page that a spinner waits for, not only to its process.
    pub is_tied: bool,
    /// The head page it is tied to, where that could be found.
    pub head_page: Option<VirtAddr>,
    /// The links of the proof that are about this task.
    pub evidence: Vec<Evidence>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub issue: Issue,
    /// How sure it is.
    pub confidence: Confidence,
    /// How serious it is.
    pub severity: Severity,
    /// Whether the kernel itself reported it in its log.
    pub is_from_log: bool,
    /// Whether that is all there is: no structure of the kernel shows it.
    pub only_reported: bool,
    /// Whether it was reported long before the machine stopped, and nothing shows that it was still so.
    pub is_long_ago: bool,
    /// One sentence.
    pub summary: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// The tasks that it names, by the addresses of their `struct task_struct`.
    pub tasks: Vec<VirtAddr>,
    /// What to do about it, and why, where that is not what helps against others of its issue.
    pub advice: Option<(&'static str, &'static str)>,
}

impl Finding {
    /// A finding that the kernel's structures show, as serious as its issue is.
    #[must_use]
    pub fn new(issue: Issue, confidence: Confidence, summary: String, evidence: Vec<Evidence>) -> Self {
        let severity = issue.definition().severity;
        Self {
            issue,
            confidence,
            severity,
            is_from_log: false,
            only_reported: false,
            is_long_ago: false,
            summary,
            evidence,
            tasks: Vec::new(),
            advice: None,
        }
    }

    /// Something else helps than against others of its issue: what, and why.
    #[must_use]
    pub fn helped_by(self, advice: Option<(&'static str, &'static str)>) -> Self {
        Self { advice, ..self }
    }

    /// As serious as this instead.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// The kernel reported it itself.
    #[must_use]
    pub fn from_log(self, is_from_log: bool) -> Self {
        Self { is_from_log, ..self }
    }

    /// It was reported long before the machine stopped.
    #[must_use]
    pub fn long_ago(self, is_long_ago: bool) -> Self {
        Self { is_long_ago, ..self }
    }

    /// It is about these tasks.
    #[must_use]
    pub fn about(self, tasks: impl IntoIterator<Item = VirtAddr>) -> Self {
        Self { tasks: tasks.into_iter().collect(), ..self }
    }
}

/// A claim that would make the verdict false, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refutation {
    /// The claim.
    pub claim: String,
    /// What was looked at, with values.
    pub checked: String,
    /// The outcome.
    pub result: CheckResult,
}

/// A bug that is known upstream or at a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIssue {
    /// Its identity, such as the fixing commit.
    pub id: String,
    /// How it comes about.
    pub mechanism: String,
    /// Which kernels have it.
    pub affected: String,
    /// What fixes it.
    pub fixed_by: String,
    /// Whether this kernel has it: `Some(true)` yes, `None` unknown.
    pub in_this_kernel: Option<bool>,
    /// How that is known, or why not.
    pub why: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// In words.
    pub action: String,
    /// The exact command, where there is one.
    pub command: Option<String>,
    /// What it achieves.
    pub why: String,
}

/// Everything `analyze` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The answer.
    pub verdict: Verdict,
    /// The CPUs that spin, by number.
    pub spinners: Vec<Spinner>,
    /// The tasks that should run instead, by thread id.
    pub splitters: Vec<Splitter>,
    /// Who waits for whom, by all detectors together.
    pub graph: Graph,
    /// The frames of the graph's pages, by the addresses of their `struct page`. Those that cannot be read are missing.
    pub page_frames: BTreeMap<VirtAddr, Pfn>,
    /// What else was found.
    pub findings: Vec<Finding>,
    /// What would have made the verdict false.
    pub refutations: Vec<Refutation>,
    /// What could not be read, and what that blocks.
    pub unknown: Vec<String>,
    /// The known bug behind it.
    pub known_issue: Option<KnownIssue>,
    /// What to do, most effective first.
    pub remedy: Vec<Remedy>,
    /// The stacks of every CPU's current task in CPU order, then those of the splitters, then those of other tasks in the
    /// graph.
    pub stacks: Vec<Stack>,
}
