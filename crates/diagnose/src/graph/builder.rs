//! Edges from several detectors become one graph.

use std::collections::BTreeMap;

use crate::graph::{Edge, EdgeKind, Node};

/// More edges than the tasks of a large machine have; the graph of a hostile dump stays small.
const MAX_EDGES: usize = 1 << 16;

/// Collects edges. Those that several detectors saw become one, with the evidence of all.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    edges: BTreeMap<(Node, EdgeKind, Node), Edge>,
    left_out: usize,
}

impl GraphBuilder {
    /// Without edges.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an edge, or its evidence to the edge that is there. The words of the first stay.
    pub fn add(&mut self, edge: Edge) {
        let (from, kind, to) = edge.key();
        let key = (from.clone(), kind, to.clone());
        if let Some(known) = self.edges.get_mut(&key) {
            for fact in edge.evidence {
                if !known.evidence.contains(&fact) {
                    known.evidence.push(fact);
                }
            }
        } else if self.edges.len() < MAX_EDGES {
            self.edges.insert(key, edge);
        } else {
            self.left_out += 1;
        }
    }

    /// The graph. It does not depend on the order in which its edges came, but for the order of evidence.
    #[must_use]
    pub fn finish(self) -> Graph {
        let mut nodes: Vec<&Node> = self.edges.values().flat_map(|edge| [&edge.from, &edge.to]).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let nodes = nodes.into_iter().cloned().collect();
        Graph { nodes, edges: self.edges.into_values().collect(), left_out: self.left_out }
    }
}

impl Extend<Edge> for GraphBuilder {
    fn extend<I: IntoIterator<Item = Edge>>(&mut self, edges: I) {
        edges.into_iter().for_each(|edge| self.add(edge));
    }
}

/// Who waits for whom on the whole machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    left_out: usize,
}

impl Graph {
    /// The nodes, sorted, each once.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The edges, sorted by where they lead from, each once.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// How many edges were more than a graph may have: where this is not 0, shapes may be missing.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// The graph as numbers: for each node the edges that leave it, as `(node, edge)`.
    pub(super) fn successors(&self) -> Vec<Vec<(usize, usize)>> {
        let number = |node: &Node| self.nodes.binary_search(node).ok();
        let mut successors = vec![Vec::new(); self.nodes.len()];
        for (index, edge) in self.edges.iter().enumerate() {
            let (Some(from), Some(to)) = (number(&edge.from), number(&edge.to)) else { continue };
            if let Some(list) = successors.get_mut(from) {
                list.push((to, index));
            }
        }
        successors
    }
}
