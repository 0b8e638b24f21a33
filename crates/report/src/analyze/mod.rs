//! `analyze`: the verdict with its proof.

mod actors;
mod around;
mod circumstances;
mod drawing;
mod evidence;
mod lines;
mod node;
pub(crate) mod page;
pub(crate) mod phrases;
mod proof;
pub(crate) mod text;
mod waits;

pub use actors::{Spinner, Splitter};
use around::Around;
pub use around::KernelLog;
pub use evidence::Evidence;
pub use lines::{Brief, Wide};
use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose as diagnose;
use vmcore_diagnose::{Diagnosis, FaultingAddresses};
use vmcore_kernel::Snapshot;

use crate::bt::{self, Stack};
use crate::info::Machine;
use crate::machine::{Dump, Kernel, Panic};
use crate::names;
use evidence::evidence;
pub use node::Node;
pub use waits::{Edge, Shape};

/// The verdict with its proof.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Analyze")]
pub struct Analyze<'a> {
    /// The dump file.
    pub dump: Dump,
    /// The kernel.
    pub kernel: Kernel,
    /// The panic.
    pub panic: Panic,
    /// How long the machine had been up.
    pub uptime_ns: Option<u64>,
    /// When it stopped, in seconds since 1970, by its own clock.
    pub crash_time: Option<i64>,
    /// What else the machine was: command line, load, memory, taint, hardware.
    pub machine: Machine,
    /// The answer.
    pub verdict: Verdict<'a>,
    /// The CPUs that spin in the page-fault path, by number.
    pub spinners: Vec<Spinner<'a>>,
    /// The tasks that should run instead, by thread id.
    pub splitters: Vec<Splitter<'a>>,
    /// What waits or is waited for, each once, in the order of `edges`' names.
    pub nodes: Vec<Node<'a>>,
    /// Who waits for whom, by all detectors together.
    pub edges: Vec<Edge<'a>>,
    /// What the edges amount to: circles and starvation, the gravest first.
    pub shapes: Vec<Shape>,
    /// What else was found.
    pub findings: Vec<Finding<'a>>,
    /// Claims that would make the verdict false, and what was found.
    pub refutations: Vec<Refutation<'a>>,
    /// What could not be read, and what that blocks.
    pub unknown: &'a [String],
    /// The known bug behind it.
    pub known_issue: Option<KnownIssue<'a>>,
    /// What to do, most effective first.
    pub remedy: Vec<Remedy<'a>>,
    /// The stacks of every CPU's current task in CPU order, then those of the splitters, then those of other tasks that
    /// the edges name.
    pub stacks: Vec<Stack<'a>>,
    #[serde(skip)]
    #[schemars(skip)]
    around: Around<'a>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Verdict")]
pub struct Verdict<'a> {
    /// The problem's stable name, such as `thp-split-page-fault-livelock`; null where none was found or it cannot be
    /// told which.
    #[schemars(schema_with = "names::issue_or_null")]
    pub issue: Option<&'static str>,
    /// `confirmed`, `probable`, `possible`, `none` (nothing was found and everything could be read) or `insufficient`
    /// (what would be needed to tell is not in the dump).
    #[schemars(schema_with = "names::confidence")]
    pub confidence: &'static str,
    /// What the gravest of `shapes` is; null where none is shown.
    #[schemars(schema_with = "names::shape_kind_or_null")]
    pub shape: Option<&'static str>,
    /// One sentence.
    pub summary: &'a str,
}

/// Something else that was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
pub struct Finding<'a> {
    /// The issue's stable name.
    #[schemars(schema_with = "names::issue")]
    pub id: &'static str,
    /// How sure it is: as that of the verdict.
    #[schemars(schema_with = "names::confidence")]
    pub confidence: &'static str,
    /// `info` (worth knowing), `warning` (wrong, but not what stopped the machine) or `critical` (may be what stopped it).
    #[schemars(schema_with = "names::severity")]
    pub severity: &'static str,
    /// One sentence.
    pub summary: &'a str,
    /// What shows it.
    pub evidence: Vec<Evidence<'a>>,
}

/// A claim that would make the verdict false, and what was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refutation")]
pub struct Refutation<'a> {
    /// The claim.
    pub claim: &'a str,
    /// What was looked at, with values.
    pub checked: &'a str,
    /// `refuted` (the claim is false: the verdict stands), `holds` (the claim is true) or `unknown`.
    #[schemars(schema_with = "names::check_result")]
    pub result: &'static str,
}

/// A bug that is known upstream or at a vendor.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "KnownIssue")]
pub struct KnownIssue<'a> {
    /// Its identity, such as the fixing commit.
    pub id: &'a str,
    /// How it comes about.
    pub mechanism: &'a str,
    /// Which kernels have it.
    pub affected: &'a str,
    /// What fixes it.
    pub fixed_by: &'a str,
    /// Whether this kernel has it: `yes`, `no` or `unknown`.
    #[schemars(schema_with = "names::yes_no_unknown")]
    pub in_this_kernel: &'static str,
    /// How that is known, or why not.
    pub why: &'a str,
    /// What shows it.
    pub evidence: Vec<Evidence<'a>>,
}

/// Something to do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Remedy")]
pub struct Remedy<'a> {
    /// In words.
    pub action: &'a str,
    /// The exact command, where there is one.
    pub command: Option<&'a str>,
    /// What it achieves.
    pub why: &'a str,
}

/// What the diagnosis is of.
pub struct Subject {
    /// The dump file.
    pub dump: Dump,
    /// The kernel.
    pub kernel: Kernel,
    /// The panic.
    pub panic: Panic,
    /// How long the machine had been up.
    pub uptime_ns: Option<u64>,
    /// When it stopped, in seconds since 1970.
    pub crash_time: Option<i64>,
    /// What else the machine was.
    pub machine: Machine,
    /// What the page faults on the diagnosis' stacks were about.
    pub faulting_addresses: FaultingAddresses,
}

impl<'a> Analyze<'a> {
    /// The report of a diagnosis that was made from `snapshot`.
    #[must_use]
    pub fn new(subject: Subject, snapshot: &'a Snapshot, diagnosis: &'a Diagnosis) -> Self {
        let Subject { dump, kernel, panic, uptime_ns, crash_time, machine, faulting_addresses } = subject;
        let graph = &diagnosis.graph;
        let shapes: Vec<_> = graph.shapes().into_iter().map(|shape| Shape::new(shape, graph)).collect();
        Self {
            dump,
            kernel,
            panic,
            uptime_ns,
            crash_time,
            machine,
            verdict: Verdict::new(&diagnosis.verdict, shapes.first()),
            spinners: diagnosis.spinners.iter().map(Spinner::new).collect(),
            splitters: diagnosis.splitters.iter().map(Splitter::new).collect(),
            nodes: graph.nodes().iter().map(|node| Node::new(node, diagnosis)).collect(),
            edges: graph.edges().iter().map(Edge::new).collect(),
            shapes,
            findings: diagnosis.findings.iter().map(Finding::new).collect(),
            refutations: diagnosis.refutations.iter().map(Refutation::new).collect(),
            unknown: &diagnosis.unknown,
            known_issue: diagnosis.known_issue.as_ref().map(KnownIssue::new),
            remedy: diagnosis.remedy.iter().map(Remedy::new).collect(),
            stacks: bt::stacks(snapshot, &diagnosis.stacks, &faulting_addresses),
            around: Around::new(snapshot, diagnosis),
        }
    }

    /// With the machine's log, of which the page shows what is around the event.
    #[must_use]
    pub fn with_log(mut self, log: KernelLog<'a>) -> Self {
        self.around.log = Some(log);
        self
    }
}

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// Something is wrong.
    Bad,
    /// Something may be.
    Doubtful,
    /// Nothing is.
    Good,
}

impl Verdict<'_> {
    /// The verdict by name and how sure it is: `soft-lockup (confirmed)`.
    pub(crate) fn answer(&self) -> (String, Gravity) {
        match (self.issue, self.confidence) {
            (Some(issue), sure @ ("confirmed" | "probable")) => (format!("{issue} ({sure})"), Gravity::Bad),
            (Some(issue), "none") => (format!("nothing wrong found ({issue})"), Gravity::Good),
            (Some(issue), confidence) => (format!("{issue} ({confidence})"), Gravity::Doubtful),
            (None, "none") => ("nothing wrong found".to_owned(), Gravity::Good),
            (None, _) => ("no verdict".to_owned(), Gravity::Doubtful),
        }
    }
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(verdict: &'a diagnose::Verdict, shape: Option<&Shape>) -> Self {
        Self {
            issue: verdict.issue.map(diagnose::Issue::id),
            confidence: verdict.confidence.name(),
            shape: shape.map(|shape| shape.kind),
            summary: &verdict.summary,
        }
    }
}

impl<'a> Finding<'a> {
    fn new(finding: &'a diagnose::Finding) -> Self {
        Self {
            id: finding.issue.id(),
            confidence: finding.confidence.name(),
            severity: finding.severity.name(),
            summary: &finding.summary,
            evidence: evidence(&finding.evidence),
        }
    }
}

impl<'a> Refutation<'a> {
    fn new(refutation: &'a diagnose::Refutation) -> Self {
        Self { claim: &refutation.claim, checked: &refutation.checked, result: refutation.result.name() }
    }
}

impl<'a> KnownIssue<'a> {
    pub(crate) fn new(known: &'a diagnose::KnownIssue) -> Self {
        Self {
            id: &known.id,
            mechanism: &known.mechanism,
            affected: &known.affected,
            fixed_by: &known.fixed_by,
            in_this_kernel: match known.in_this_kernel {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            },
            why: &known.why,
            evidence: evidence(&known.evidence),
        }
    }
}

impl<'a> Remedy<'a> {
    pub(crate) fn new(remedy: &'a diagnose::Remedy) -> Self {
        Self { action: &remedy.action, command: remedy.command.as_deref(), why: &remedy.why }
    }
}
