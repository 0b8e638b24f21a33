//! The shortest way from a node to one of a kind. What it costs depends on what it passes, not on the graph's size.

use std::collections::VecDeque;

/// The node and the edge by which each node was first reached, in the search of this number: one table for many searches.
#[derive(Debug)]
pub(super) struct Reached {
    search: usize,
    by: Vec<(usize, usize, usize)>,
}

impl Reached {
    /// A table for a graph of so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        Self { search: 0, by: vec![(0, 0, 0); nodes] }
    }

    fn by(&self, node: usize) -> Option<(usize, usize)> {
        let &(search, before, edge) = self.by.get(node)?;
        (search == self.search).then_some((before, edge))
    }

    /// Notes how a node was reached; whether it had not been before.
    fn note(&mut self, node: usize, before: usize, edge: usize) -> bool {
        match self.by.get_mut(node) {
            Some(by) if by.0 != self.search => {
                *by = (self.search, before, edge);
                true
            }
            _ => false,
        }
    }
}

/// The edges of a shortest way from `start` to `goal` over edges that `keep` allows; of several equally short ones that
/// with the lowest nodes. Empty where `start` is `goal`.
pub(super) fn path(
    successors: &[Vec<(usize, usize)>],
    start: usize,
    goal: impl Fn(usize) -> bool,
    keep: impl Fn(usize) -> bool,
    reached: &mut Reached,
) -> Option<Vec<usize>> {
    reached.search += 1;
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        if goal(node) {
            return Some(walk_back(reached, start, node));
        }
        for &(to, edge) in successors.get(node).into_iter().flatten().filter(|(_, edge)| keep(*edge)) {
            if to != start && reached.note(to, node, edge) {
                queue.push_back(to);
            }
        }
    }
    None
}

fn walk_back(reached: &Reached, start: usize, goal: usize) -> Vec<usize> {
    let mut edges = Vec::new();
    let mut node = goal;
    while node != start {
        let Some((before, edge)) = reached.by(node) else { break };
        edges.push(edge);
        node = before;
    }
    edges.reverse();
    edges
}
