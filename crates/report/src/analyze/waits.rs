//! Who waits for whom, and what that amounts to.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose::graph;

use crate::names;
use crate::verdict::{Evidence, evidence};

/// One step of who waits for whom.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Edge")]
pub struct Edge<'a> {
    /// Who waits, or what is held up: the `name` of one of `nodes`.
    pub from: String,
    /// For what: the `name` of one of `nodes`.
    pub to: String,
    /// How.
    #[schemars(schema_with = "names::edge_kind")]
    pub kind: &'static str,
    /// Why.
    pub why: &'a str,
    /// What shows it.
    pub evidence: Vec<Evidence<'a>>,
}

/// A part of the graph of `edges` that is stuck.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Shape")]
pub struct Shape {
    /// `livelock` (a circle of one that spins and one that waits for a CPU), `deadlock` (a circle in which nobody waits
    /// for a CPU) or `starvation` (a runnable task that gets no CPU).
    #[schemars(schema_with = "names::shape_kind")]
    pub kind: &'static str,
    /// Whether the last of `edges` ends where the first begins.
    pub is_cycle: bool,
    /// Positions in `edges`, each beginning where the one before it ends.
    pub edges: Vec<usize>,
    /// The names of the nodes on the way, each once.
    pub nodes: Vec<String>,
}

impl<'a> Edge<'a> {
    pub(super) fn new(edge: &'a graph::Edge) -> Self {
        Self {
            from: edge.from.to_string(),
            to: edge.to.to_string(),
            kind: edge.kind.name(),
            why: &edge.why,
            evidence: evidence(&edge.evidence),
        }
    }
}

impl Shape {
    pub(super) fn new(shape: graph::Shape, graph: &graph::Graph) -> Self {
        let is_cycle = shape.is_cycle(graph);
        let edges = || shape.edges.iter().filter_map(|&index| graph.edges().get(index));
        let mut nodes: Vec<_> = edges().map(|edge| edge.from.to_string()).collect();
        nodes.extend(edges().next_back().filter(|_| !is_cycle).map(|edge| edge.to.to_string()));
        Self { kind: shape.kind.name(), is_cycle, nodes, edges: shape.edges }
    }
}
