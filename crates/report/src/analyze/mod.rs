//! `analyze`: the verdict with its proof.

mod actors;
mod around;
mod circumstances;
mod drawing;
mod lines;
mod node;
mod page;
mod phrases;
mod proof;
mod text;
mod waits;

pub use actors::{Spinner, Splitter};
use around::Around;
pub use around::KernelLog;
pub use lines::{Brief, Wide};
use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose as diagnose;
use vmcore_diagnose::{Diagnosis, FaultingAddresses};
use vmcore_kernel::Snapshot;

use crate::bt::{self, Stack};
use crate::info::Machine;
use crate::log::Log;
use crate::machine::{Dump, Kernel, Panic};
use crate::names;
use crate::verdict::{Evidence, KnownIssue, Remedy, Verdict, evidence};
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
    /// What the log in the dump tells, where nothing describes the kernel and it was judged by that alone; else null.
    pub log: Option<Box<Log<'a>>>,
    #[serde(skip)]
    #[schemars(skip)]
    around: Around<'a>,
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
            verdict: Verdict::new(&diagnosis.verdict, shapes.first().map(|shape| shape.kind)),
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
            log: None,
            around: Around::new(snapshot, diagnosis),
        }
    }

    /// Judged by its own log, which tells this.
    #[must_use]
    pub fn by_log(mut self, log: Log<'a>) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// With the machine's log, of which the page shows what is around the event.
    #[must_use]
    pub fn with_log(mut self, log: KernelLog<'a>) -> Self {
        self.around.log = Some(log);
        self
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
