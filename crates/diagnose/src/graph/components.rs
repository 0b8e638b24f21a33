//! Strongly connected components: the sets of nodes of which each waits, over some way, for every other. Every cycle
//! lies in one.
//!
//! Source: R. Tarjan, "Depth-first search and linear graph algorithms" (1972), without recursion: a hostile dump must
//! not choose how deep the stack gets.

/// The number of each node's component. `successors[node]` are `(node, edge)`; edges that `keep` refuses do not count.
pub(super) fn components(successors: &[Vec<(usize, usize)>], keep: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut search = Search {
        index: vec![None; successors.len()],
        low: vec![0; successors.len()],
        component: vec![None; successors.len()],
        open: Vec::new(),
        next_index: 0,
        next_component: 0,
    };
    for root in 0..successors.len() {
        if search.index.get(root).copied().flatten().is_none() {
            search.run(root, successors, &keep);
        }
    }
    search.component.into_iter().map(Option::unwrap_or_default).collect()
}

struct Search {
    index: Vec<Option<usize>>,
    low: Vec<usize>,
    component: Vec<Option<usize>>,
    /// Nodes that are visited and have no component yet.
    open: Vec<usize>,
    next_index: usize,
    next_component: usize,
}

impl Search {
    fn run(&mut self, root: usize, successors: &[Vec<(usize, usize)>], keep: &impl Fn(usize) -> bool) {
        // A node and how many of its edges have been followed.
        let mut path = vec![(root, 0)];
        self.enter(root);
        while let Some((node, followed)) = path.last_mut() {
            let node = *node;
            let edge = successors.get(node).and_then(|edges| edges.get(*followed));
            *followed += 1;
            match edge {
                Some(&(_, edge)) if !keep(edge) => {}
                Some(&(to, _)) => match self.index.get(to).copied().flatten() {
                    None => {
                        self.enter(to);
                        path.push((to, 0));
                    }
                    Some(index) if self.is_open(to) => self.lower(node, index),
                    Some(_) => {}
                },
                None => {
                    path.pop();
                    self.leave(node, path.last().map(|&(parent, _)| parent));
                }
            }
        }
    }

    fn enter(&mut self, node: usize) {
        let index = self.next_index;
        self.next_index += 1;
        if let (Some(slot), Some(low)) = (self.index.get_mut(node), self.low.get_mut(node)) {
            *slot = Some(index);
            *low = index;
        }
        self.open.push(node);
    }

    fn is_open(&self, node: usize) -> bool {
        self.component.get(node).is_some_and(Option::is_none)
    }

    fn lower(&mut self, node: usize, index: usize) {
        if let Some(low) = self.low.get_mut(node) {
            *low = index.min(*low);
        }
    }

    /// All edges of `node` have been followed: it passes on how far back it leads, or closes a component.
    fn leave(&mut self, node: usize, parent: Option<usize>) {
        let low = self.low.get(node).copied().unwrap_or_default();
        if let Some(parent) = parent {
            self.lower(parent, low);
        }
        if self.index.get(node).copied().flatten() != Some(low) {
            return;
        }
        while let Some(member) = self.open.pop() {
            if let Some(slot) = self.component.get_mut(member) {
                *slot = Some(self.next_component);
            }
            if member == node {
                break;
            }
        }
        self.next_component += 1;
    }
}
