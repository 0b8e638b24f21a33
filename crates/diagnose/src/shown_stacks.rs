//! The stacks that a reader wants to see besides those of the CPUs: of the tasks in the graph of who waits for whom, and
//! of those that findings name.

use std::collections::HashSet;

use vmcore_kernel::Stack;
use vmcore_memory::VirtAddr;

use crate::graph::{Graph, Node};
use crate::{Facts, Finding};

/// More stacks than anybody reads.
const MAX_STACKS: usize = 16;

/// The stacks of tasks in the graph, and of those that findings name, that are not among `shown`: first those of the
/// graph's shapes, in their order.
pub(crate) fn stacks(facts: &Facts<'_>, graph: &Graph, findings: &[Finding], shown: &[Stack]) -> Vec<Stack> {
    let shapes = graph.shapes();
    let in_shapes = shapes.iter().flat_map(|shape| &shape.edges).filter_map(|&edge| graph.edges().get(edge));
    let nodes = in_shapes.flat_map(|edge| [&edge.from, &edge.to]).chain(graph.nodes());
    let named = findings.iter().flat_map(|finding| finding.tasks.iter().copied());
    let wanted = nodes.filter_map(task).chain(named).filter_map(|task| facts.stack_of(task));
    let mut known: HashSet<usize> = shown.iter().map(|stack| stack.task).collect();
    wanted.filter(|stack| known.insert(stack.task)).take(MAX_STACKS).cloned().collect()
}

fn task(node: &Node) -> Option<VirtAddr> {
    match node {
        Node::Task { address, .. } => Some(*address),
        _ => None,
    }
}
