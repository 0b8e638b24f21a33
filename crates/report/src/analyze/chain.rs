//! Who waits for whom, as one line: a circle where there is one.

use super::Edge;

/// The nodes of the shortest story that the edges tell: `a, b, c, a` where they close a circle, else as far as they
/// lead from the first edge on. Empty without edges.
pub(super) fn chain<'a>(edges: &[Edge<'a>]) -> Vec<&'a str> {
    let paths = edges.iter().map(|edge| follow(edges, edge.from));
    let circle = paths.clone().find(|path| path.len() > 1 && path.first() == path.last());
    circle.or_else(|| paths.max_by_key(Vec::len)).unwrap_or_default()
}

/// The nodes from `start` on, by the first edge that leaves each, until there is none or a node comes again.
fn follow<'a>(edges: &[Edge<'a>], start: &'a str) -> Vec<&'a str> {
    let mut path = vec![start];
    let mut here = start;
    while let Some(edge) = edges.iter().find(|edge| edge.from == here) {
        let seen = path.contains(&edge.to);
        path.push(edge.to);
        if seen {
            break;
        }
        here = edge.to;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(&'static str, &'static str)]) -> Vec<Edge<'static>> {
        pairs.iter().map(|&(from, to)| Edge { from, to, why: "", evidence: Vec::new() }).collect()
    }

    #[test]
    fn a_circle_is_preferred_to_what_leads_into_it() {
        let edges = edges(&[("t1", "page"), ("t2", "page"), ("page", "t3"), ("t3", "cpu"), ("cpu", "t2")]);
        assert_eq!(chain(&edges), ["t2", "page", "t3", "cpu", "t2"]);
    }

    #[test]
    fn without_a_circle_the_longest_path() {
        assert_eq!(chain(&edges(&[("page", "t3"), ("t1", "page")])), ["t1", "page", "t3"]);
        assert!(chain(&[]).is_empty());
    }
}
