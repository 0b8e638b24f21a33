//! The stacks that a reader wants to see besides those of the CPUs: of the tasks in the graph of who waits for whom.

use vmcore_kernel::Stack;
use vmcore_memory::VirtAddr;

use crate::Facts;
use crate::graph::{Graph, Node};

/// More stacks than anybody reads.
const MAX_STACKS: usize = 16;

/// The stacks of tasks in the graph that are not among `shown`: first those of its shapes, in their order.
pub(crate) fn stacks(facts: &Facts<'_>, graph: &Graph, shown: &[Stack]) -> Vec<Stack> {
    let shapes = graph.shapes();
    let in_shapes = shapes.iter().flat_map(|shape| &shape.edges).filter_map(|&edge| graph.edges().get(edge));
    let nodes = in_shapes.flat_map(|edge| [&edge.from, &edge.to]).chain(graph.nodes());
    let mut stacks: Vec<Stack> = Vec::new();
    for stack in nodes.filter_map(task).filter_map(|task| stack_of(facts, task)) {
        let known = shown.iter().chain(&stacks).any(|known| known.task == stack.task);
        if !known && stacks.len() < MAX_STACKS {
            stacks.push(stack.clone());
        }
    }
    stacks
}

fn task(node: &Node) -> Option<VirtAddr> {
    match node {
        Node::Task { address, .. } => Some(*address),
        _ => None,
    }
}

/// The stack of a task, if it is one of those that were looked at.
pub(crate) fn stack_of<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> Option<&'f Stack> {
    let index = facts.snapshot.task_index(task)?;
    let running = facts.running.iter().map(|(_, stack)| stack);
    let others = facts.blocked.iter().chain(&facts.waiting).chain(&facts.state.owners);
    running.chain(others).find(|stack| stack.task == index)
}
