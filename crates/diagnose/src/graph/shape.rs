//! What a graph amounts to, by the natures of the edges of its cycles.
//!
//! - *Deadlock*: a cycle in which nobody waits for a CPU. No scheduling decision can end it.
//! - *Livelock*: a cycle in which somebody spins and somebody waits for a CPU: the spinner has the CPU that the one it
//!   waits for would need.
//! - *Starvation*: a task that could run does not get a CPU, and who has it waits for none of this.
//!
//! A cycle that a chain only leads into is not counted again for the chain: those tasks are victims of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::graph::components::components;
use crate::graph::cycle::{Reached, path};
use crate::graph::{EdgeKind, Graph, Nature};

/// More edges than these are not tried as the start of a shortest cycle. In the order of the graph, so that the answer
/// is the same every time.
const MAX_STARTS: usize = 256;
/// Nor is a shorter cycle looked for when those that were found are as long as this together.
const MAX_STEPS: usize = 1 << 16;
/// More shapes of a kind than anybody reads.
const MAX_SHAPES: usize = 64;

/// What a part of the graph amounts to, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShapeKind {
    /// A cycle through one that spins and one that waits for a CPU.
    Livelock,
    /// A cycle in which nobody waits for a CPU.
    Deadlock,
    /// A runnable task that gets no CPU, without a cycle.
    Starvation,
}

impl ShapeKind {
    /// All of them, the gravest first.
    pub const ALL: [Self; 3] = [Self::Livelock, Self::Deadlock, Self::Starvation];

    /// The name used in output. Stable: other programs compare it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Livelock => "livelock",
            Self::Deadlock => "deadlock",
            Self::Starvation => "starvation",
        }
    }
}

/// A part of the graph that is stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How.
    pub kind: ShapeKind,
    /// Indices into [`Graph::edges`], each beginning where the one before it ends. Where [`Shape::is_cycle`], the last
    /// ends where the first begins.
    pub edges: Vec<usize>,
}

impl Shape {
    /// Whether it closes: always, but for starvation by a task that waits for nothing.
    #[must_use]
    pub fn is_cycle(&self, graph: &Graph) -> bool {
        let edge = |index: Option<&usize>| index.and_then(|&index| graph.edges().get(index));
        match (edge(self.edges.first()), edge(self.edges.last())) {
            (Some(first), Some(last)) => first.from == last.to,
            _ => false,
        }
    }
}

impl Graph {
    /// What the graph amounts to, the gravest first. Empty where nothing in it is stuck for a reason that it shows.
    #[must_use]
    pub fn shapes(&self) -> Vec<Shape> {
        find(self)
    }
}

fn find(graph: &Graph) -> Vec<Shape> {
    let search = Search::new(graph);
    let cycles = search.cycles();
    let mut shapes = search.starvation(&search.leads_to_cycle());
    shapes.extend(cycles);
    shapes.sort_by(|a, b| (a.kind, &a.edges).cmp(&(b.kind, &b.edges)));
    shapes
}

/// A graph as numbers, and its components.
struct Search<'g> {
    graph: &'g Graph,
    successors: Vec<Vec<(usize, usize)>>,
    predecessors: Vec<Vec<(usize, usize)>>,
    /// The component of each node.
    component: Vec<usize>,
    /// The same without the edges of the scheduler.
    without_cpu: Vec<usize>,
    reached: RefCell<Reached>,
}

/// An edge and the nodes that it joins.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    to: usize,
    edge: usize,
}

impl<'g> Search<'g> {
    fn new(graph: &'g Graph) -> Self {
        let successors = graph.successors();
        let mut predecessors = vec![Vec::new(); successors.len()];
        for Step { from, to, edge } in steps(&successors) {
            if let Some(list) = predecessors.get_mut(to) {
                list.push((from, edge));
            }
        }
        let is_scheduling = |edge: usize| nature(graph, edge) == Some(Nature::Scheduler);
        let component = components(&successors, |_| true);
        let without_cpu = components(&successors, |edge| !is_scheduling(edge));
        let reached = RefCell::new(Reached::new(successors.len()));
        Self { graph, successors, predecessors, component, without_cpu, reached }
    }

    fn waits(&self, edge: usize) -> bool {
        matches!(nature(self.graph, edge), Some(Nature::Spins | Nature::Sleeps))
    }

    fn spins(&self, edge: usize) -> bool {
        nature(self.graph, edge) == Some(Nature::Spins)
    }

    fn is_scheduling(&self, edge: usize) -> bool {
        nature(self.graph, edge) == Some(Nature::Scheduler)
    }

    fn is_queued(&self, edge: usize) -> bool {
        self.graph.edges().get(edge).is_some_and(|edge| edge.kind == EdgeKind::QueuedOn)
    }

    /// Whether the edge can be part of a cycle.
    fn is_cyclic(&self, Step { from, to, .. }: Step) -> bool {
        same(&self.component, from, to)
    }

    /// One shape for each component that has a cycle.
    fn cycles(&self) -> Vec<Shape> {
        let mut components: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
        for step in steps(&self.successors).filter(|&step| self.is_cyclic(step)) {
            components.entry(self.component.get(step.from).copied().unwrap_or_default()).or_default().push(step);
        }
        components.values().filter_map(|steps| self.shape_of(steps)).take(MAX_SHAPES).collect()
    }

    /// The cycle that a component is stuck in. One without the scheduler is sought first: it would not end if everybody
    /// had a CPU. Where there is none, every cycle through one that spins is a livelock.
    fn shape_of(&self, steps: &[Step]) -> Option<Shape> {
        let deadlock = steps.iter().filter(|step| self.waits(step.edge) && same(&self.without_cpu, step.from, step.to));
        if let Some(edges) = self.cycle(deadlock, |edge| !self.is_scheduling(edge)) {
            return Some(Shape { kind: ShapeKind::Deadlock, edges });
        }
        let livelock = steps.iter().filter(|step| self.spins(step.edge));
        if let Some(edges) = self.cycle(livelock, |_| true) {
            return Some(Shape { kind: ShapeKind::Livelock, edges });
        }
        let starved = steps.iter().filter(|step| self.is_queued(step.edge));
        let edges = self.cycle(starved, |_| true)?;
        Some(Shape { kind: ShapeKind::Starvation, edges })
    }

    /// The shortest cycle that begins with one of `starts`, over edges that `keep` allows.
    fn cycle<'s>(&self, starts: impl Iterator<Item = &'s Step>, keep: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
        let mut shortest: Option<Vec<usize>> = None;
        let mut steps = 0;
        for start in starts.take(MAX_STARTS) {
            let rest =
                path(&self.successors, start.to, |node| node == start.from, &keep, &mut self.reached.borrow_mut());
            let Some(cycle) = rest.map(|rest| [vec![start.edge], rest].concat()) else { continue };
            steps += cycle.len();
            if shortest.as_ref().is_none_or(|known| (cycle.len(), &cycle) < (known.len(), known)) {
                shortest = Some(cycle);
            }
            if steps > MAX_STEPS {
                break;
            }
        }
        shortest
    }

    /// For each node whether it is in a cycle, or waits for one over some way.
    fn leads_to_cycle(&self) -> Vec<bool> {
        let mut leads = vec![false; self.successors.len()];
        let mut open: Vec<_> =
            steps(&self.successors).filter(|&step| self.is_cyclic(step)).map(|step| step.from).collect();
        while let Some(node) = open.pop() {
            if let Some(slot @ false) = leads.get_mut(node) {
                *slot = true;
                open.extend(self.predecessors.get(node).into_iter().flatten().map(|&(before, _)| before));
            }
        }
        leads
    }

    /// Runnable tasks that get no CPU and wait for no cycle: who waits for one, the task, who has the CPU.
    fn starvation(&self, leads_to_cycle: &[bool]) -> Vec<Shape> {
        let starved = steps(&self.successors).filter(|step| self.is_queued(step.edge));
        let own = starved.filter(|step| leads_to_cycle.get(step.from) != Some(&true));
        let shape = |step: Step| {
            let mut edges = self.lead_in(step.from);
            edges.push(step.edge);
            edges.extend(self.run_by(step.to));
            Shape { kind: ShapeKind::Starvation, edges }
        };
        own.map(shape).take(MAX_SHAPES).collect()
    }

    /// Who has the CPU of a run queue, where that is shown.
    fn run_by(&self, queue: usize) -> Option<usize> {
        self.successors.get(queue)?.iter().map(|&(_, edge)| edge).find(|&edge| self.is_scheduling(edge))
    }

    /// The shortest way to `task` from one for which nobody waits.
    fn lead_in(&self, task: usize) -> Vec<usize> {
        let is_root = |node: usize| self.predecessors.get(node).is_some_and(Vec::is_empty);
        let mut way =
            path(&self.predecessors, task, is_root, |_| true, &mut self.reached.borrow_mut()).unwrap_or_default();
        way.reverse();
        way
    }
}

fn nature(graph: &Graph, edge: usize) -> Option<Nature> {
    graph.edges().get(edge).map(|edge| edge.kind.nature())
}

fn same(component: &[usize], a: usize, b: usize) -> bool {
    component.get(a).is_some_and(|number| component.get(b) == Some(number))
}

fn steps(successors: &[Vec<(usize, usize)>]) -> impl Iterator<Item = Step> + '_ {
    let edges = successors.iter().enumerate();
    edges.flat_map(|(from, list)| list.iter().map(move |&(to, edge)| Step { from, to, edge }))
}
