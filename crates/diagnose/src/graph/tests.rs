use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::Evidence;

fn task(number: u8) -> Node {
    Node::Task { address: vmcore_memory::VirtAddr::new(u64::from(number)), pid: number.into(), comm: "t".to_owned() }
}

fn page(number: u8) -> Node {
    Node::Page { address: vmcore_memory::VirtAddr::new(u64::from(number)) }
}

fn address(number: u8) -> Node {
    let address = vmcore_memory::VirtAddr::new(u64::from(number));
    Node::UserAddress { mm: address, address }
}

fn mutex(number: u8) -> Node {
    Node::Lock { kind: LockKind::Mutex, address: vmcore_memory::VirtAddr::new(u64::from(number)) }
}

fn graph(edges: &[(Node, EdgeKind, Node)]) -> Graph {
    let mut builder = GraphBuilder::new();
    builder.extend(edges.iter().map(|(from, kind, to)| Edge::new(from.clone(), *kind, to.clone(), "")));
    builder.finish()
}

fn kinds(graph: &Graph) -> Vec<ShapeKind> {
    graph.shapes().iter().map(|shape| shape.kind).collect()
}

/// The nodes that a shape passes, by name.
fn story(graph: &Graph, shape: &Shape) -> Vec<String> {
    shape.edges.iter().map(|&edge| graph.edges()[edge].from.to_string()).collect()
}

fn livelock() -> Vec<(Node, EdgeKind, Node)> {
    let queue = || Node::RunQueue { cpu: 1 };
    vec![
        (task(1), EdgeKind::FaultsOn, address(1)),
        (task(2), EdgeKind::FaultsOn, address(2)),
        (address(1), EdgeKind::EntryOf, page(1)),
        (address(2), EdgeKind::EntryOf, page(1)),
        (page(1), EdgeKind::LockedBy, task(3)),
        (task(3), EdgeKind::QueuedOn, queue()),
        (queue(), EdgeKind::RunBy, task(2)),
    ]
}

#[test]
fn a_spinner_on_the_cpu_of_whom_it_waits_for_is_a_livelock() {
    let graph = graph(&livelock());
    let shapes = graph.shapes();
    assert_eq!(kinds(&graph), [ShapeKind::Livelock]);
    assert!(shapes[0].is_cycle(&graph));
    let expected = ["task 2 \"t\"", "user address 0x2 of mm 0x2", "page 0x1", "task 3 \"t\"", "run queue of CPU 1"];
    assert_eq!(story(&graph, &shapes[0]), expected);
}

#[test]
fn without_any_one_edge_of_the_cycle_there_is_no_livelock() {
    let whole = livelock();
    let cycle = [1, 3, 4, 5, 6];
    for missing in cycle {
        let rest: Vec<_> =
            whole.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, edge)| edge.clone()).collect();
        assert!(!kinds(&graph(&rest)).contains(&ShapeKind::Livelock), "without {:?}", whole[missing]);
    }
}

#[test]
fn an_unknown_owner_ends_the_chain() {
    let mut edges = livelock();
    edges[4] = (page(1), EdgeKind::LockedBy, Node::unknown("owner of the page", "not in the dump"));
    let graph = graph(&edges);
    // Task 3 is starved, but that it holds up anybody is not known.
    assert_eq!(kinds(&graph), [ShapeKind::Starvation]);
    assert!(graph.nodes().iter().any(Node::is_unknown));
}

#[test]
fn sleepers_in_a_circle_are_a_deadlock() {
    let edges = [
        (task(1), EdgeKind::SleepsOn, mutex(1)),
        (mutex(1), EdgeKind::OwnedBy, task(2)),
        (task(2), EdgeKind::SleepsOn, mutex(2)),
        (mutex(2), EdgeKind::OwnedBy, task(1)),
        (task(9), EdgeKind::SleepsOn, mutex(2)),
    ];
    let whole = graph(&edges);
    assert_eq!(kinds(&whole), [ShapeKind::Deadlock]);
    assert_eq!(whole.shapes()[0].edges.len(), 4);
    for missing in 0..4 {
        let rest: Vec<_> =
            edges.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, edge)| edge.clone()).collect();
        assert_eq!(kinds(&graph(&rest)), [], "without {:?}", edges[missing]);
    }
}

#[test]
fn spinners_that_hold_each_others_lock_are_a_deadlock_whoever_waits_for_a_cpu() {
    let lock = |number| Node::Lock { kind: LockKind::Spinlock, address: vmcore_memory::VirtAddr::new(number) };
    let mut edges = vec![
        (task(1), EdgeKind::SpinsOn, lock(1)),
        (lock(1), EdgeKind::OwnedBy, task(2)),
        (task(2), EdgeKind::SpinsOn, lock(2)),
        (lock(2), EdgeKind::OwnedBy, task(1)),
    ];
    assert_eq!(kinds(&graph(&edges)), [ShapeKind::Deadlock]);
    // A task that starves behind one of them, and for which the other waits besides, changes nothing.
    edges.push((lock(1), EdgeKind::ReadBy, task(3)));
    edges.push((task(3), EdgeKind::QueuedOn, Node::RunQueue { cpu: 0 }));
    edges.push((Node::RunQueue { cpu: 0 }, EdgeKind::RunBy, task(1)));
    assert_eq!(kinds(&graph(&edges)), [ShapeKind::Deadlock]);
}

#[test]
fn a_task_that_gets_no_cpu_from_an_outsider_starves() {
    let edges = [
        (task(1), EdgeKind::SleepsOn, mutex(1)),
        (mutex(1), EdgeKind::OwnedBy, task(2)),
        (task(2), EdgeKind::QueuedOn, Node::RunQueue { cpu: 0 }),
        (Node::RunQueue { cpu: 0 }, EdgeKind::RunBy, task(3)),
    ];
    let graph = graph(&edges);
    let shapes = graph.shapes();
    assert_eq!(kinds(&graph), [ShapeKind::Starvation]);
    assert!(!shapes[0].is_cycle(&graph));
    assert_eq!(story(&graph, &shapes[0]), ["task 1 \"t\"", "mutex 0x1", "task 2 \"t\"", "run queue of CPU 0"]);
}

#[test]
fn who_waits_only_for_a_cycle_is_no_shape_of_its_own() {
    let mut edges = livelock();
    edges.push((task(7), EdgeKind::QueuedOn, Node::RunQueue { cpu: 1 }));
    edges.push((task(8), EdgeKind::WaitsForPage, page(1)));
    assert_eq!(kinds(&graph(&edges)), [ShapeKind::Livelock]);
}

#[test]
fn separate_hangs_are_separate_shapes() {
    let mut edges = livelock();
    edges.push((task(20), EdgeKind::SleepsOn, mutex(1)));
    edges.push((mutex(1), EdgeKind::OwnedBy, task(20)));
    assert_eq!(kinds(&graph(&edges)), [ShapeKind::Livelock, ShapeKind::Deadlock]);
}

#[test]
fn waiting_that_ends_is_no_shape() {
    assert_eq!(kinds(&graph(&[])), []);
    assert_eq!(kinds(&graph(&[(task(1), EdgeKind::SleepsOn, mutex(1)), (mutex(1), EdgeKind::OwnedBy, task(2))])), []);
    // A circle of things that nobody waits for.
    assert_eq!(kinds(&graph(&[(mutex(1), EdgeKind::OwnedBy, task(1)), (task(1), EdgeKind::Runs, mutex(1))])), []);
}

#[test]
fn the_same_edge_from_two_detectors_is_one_with_the_evidence_of_both() {
    let mut builder = GraphBuilder::new();
    let edge = || Edge::new(task(1), EdgeKind::SleepsOn, mutex(1), "why");
    builder.add(edge().shown_by([Evidence::new("a", "")]));
    builder.add(edge().shown_by([Evidence::new("b", ""), Evidence::new("a", "")]));
    let graph = builder.finish();
    let names: Vec<_> = graph.edges()[0].evidence.iter().map(|fact| fact.what.as_str()).collect();
    assert_eq!((graph.edges().len(), names), (1, vec!["a", "b"]));
}

#[test]
fn a_long_chain_neither_recurses_nor_takes_long() {
    let mut edges = Vec::new();
    let node = |number: u64| Node::Work { address: vmcore_memory::VirtAddr::new(number) };
    for number in 0..60_000 {
        edges.push((node(number), EdgeKind::SpinsOn, node((number + 1) % 60_000)));
    }
    let graph = graph(&edges);
    assert_eq!(graph.shapes()[0].edges.len(), 60_000);
}

#[test]
fn a_graph_has_a_limit_and_says_so() {
    let mut builder = GraphBuilder::new();
    for number in 0..70_000 {
        let work = Node::Work { address: vmcore_memory::VirtAddr::new(number) };
        builder.add(Edge::new(task(1), EdgeKind::WaitsForWork, work, ""));
    }
    let graph = builder.finish();
    assert_eq!(graph.edges().len() + graph.left_out(), 70_000);
    assert!(graph.left_out() > 0);
}

#[test]
fn names_are_distinct() {
    let nodes = [task(1), page(1), address(1), mutex(1), Node::Cpu { cpu: 1 }, Node::RunQueue { cpu: 1 }];
    let names: BTreeSet<_> = nodes.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), nodes.len());
    let kinds: BTreeSet<_> = EdgeKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds.len(), EdgeKind::ALL.len());
}

fn any_edges() -> impl Strategy<Value = Vec<(Node, EdgeKind, Node)>> {
    let kind = (0..EdgeKind::ALL.len()).prop_map(|index| EdgeKind::ALL[index]);
    proptest::collection::vec((0_u8..12, kind, 0_u8..12), 0..40)
        .prop_map(|edges| edges.into_iter().map(|(from, kind, to)| (task(from), kind, task(to))).collect())
}

/// Whether a simple cycle exists over edges that `keep` allows, one of which is `wanted`: by trying every way.
fn has_cycle(graph: &Graph, keep: impl Fn(&Edge) -> bool, wanted: impl Fn(&Edge) -> bool) -> bool {
    let edges: Vec<_> = graph.edges().iter().filter(|edge| keep(edge)).collect();
    edges.iter().filter(|edge| wanted(edge)).any(|first| {
        let mut reached = BTreeSet::from([&first.to]);
        while let Some(edge) = edges.iter().find(|edge| reached.contains(&edge.from) && !reached.contains(&edge.to)) {
            reached.insert(&edge.to);
        }
        reached.contains(&first.from)
    })
}

proptest! {
    #[test]
    fn the_order_in_which_edges_come_does_not_matter(edges in any_edges(), seed: u64) {
        let mut shuffled = edges.clone();
        let len = shuffled.len().max(1);
        for index in 0..shuffled.len() {
            shuffled.swap(index, (seed as usize).wrapping_mul(index + 7) % len);
        }
        prop_assert_eq!(graph(&edges), graph(&shuffled));
        prop_assert_eq!(graph(&edges).shapes(), graph(&shuffled).shapes());
    }

    #[test]
    fn every_shape_is_what_it_says(edges in any_edges()) {
        let graph = graph(&edges);
        for shape in graph.shapes() {
            let path: Vec<_> = shape.edges.iter().map(|&index| &graph.edges()[index]).collect();
            prop_assert!(path.windows(2).all(|pair| pair[0].to == pair[1].from));
            let has = |nature| path.iter().any(|edge| edge.kind.nature() == nature);
            match shape.kind {
                ShapeKind::Livelock => {
                    prop_assert!(shape.is_cycle(&graph) && has(Nature::Spins) && has(Nature::Scheduler));
                }
                ShapeKind::Deadlock => {
                    prop_assert!(shape.is_cycle(&graph) && !has(Nature::Scheduler));
                    prop_assert!(has(Nature::Sleeps) || has(Nature::Spins));
                }
                ShapeKind::Starvation => prop_assert!(path.iter().any(|edge| edge.kind == EdgeKind::QueuedOn)),
            }
            if shape.is_cycle(&graph) {
                let nodes: BTreeSet<_> = path.iter().map(|edge| &edge.from).collect();
                prop_assert_eq!(nodes.len(), path.len(), "no node comes twice");
            }
        }
    }

    #[test]
    fn no_cycle_is_missed(edges in any_edges()) {
        let graph = graph(&edges);
        let waits = |edge: &Edge| matches!(edge.kind.nature(), Nature::Spins | Nature::Sleeps);
        let no_scheduler = |edge: &Edge| edge.kind.nature() != Nature::Scheduler;
        let deadlock = has_cycle(&graph, no_scheduler, waits);
        prop_assert_eq!(deadlock, kinds(&graph).contains(&ShapeKind::Deadlock));
        if !deadlock {
            let livelock = has_cycle(&graph, |_| true, |edge| edge.kind.nature() == Nature::Spins);
            prop_assert_eq!(livelock, kinds(&graph).contains(&ShapeKind::Livelock));
        }
    }
}
