//! The shortest way from a node to one of a kind. What it costs depends on what it passes, not on the graph's size.

use std::collections::{HashMap, VecDeque};

/// The edges of a shortest way from `start` to `goal` over edges that `keep` allows; of several equally short ones that
/// with the lowest nodes. Empty where `start` is `goal`.
pub(super) fn path(
    successors: &[Vec<(usize, usize)>],
    start: usize,
    goal: impl Fn(usize) -> bool,
    keep: impl Fn(usize) -> bool,
) -> Option<Vec<usize>> {
    // The node and the edge by which each node was first reached.
    let mut reached: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        if goal(node) {
            return Some(walk_back(&reached, start, node));
        }
        for &(to, edge) in successors.get(node).into_iter().flatten().filter(|(_, edge)| keep(*edge)) {
            if to != start && !reached.contains_key(&to) {
                reached.insert(to, (node, edge));
                queue.push_back(to);
            }
        }
    }
    None
}

fn walk_back(reached: &HashMap<usize, (usize, usize)>, start: usize, goal: usize) -> Vec<usize> {
    let mut edges = Vec::new();
    let mut node = goal;
    while node != start {
        let Some(&(before, edge)) = reached.get(&node) else { break };
        edges.push(edge);
        node = before;
    }
    edges.reverse();
    edges
}
