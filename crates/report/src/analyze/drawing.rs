//! Who waits for whom, drawn: one line a step, read from the top down.
//!
//! ```text
//! task 154 "fstat/3"
//!   faults on   user address 0x7fb738c12000 of mm 0xff2bd5afc1a54b00
//!   entry of    page 0xffb727ce40130000
//!   locked by   task 147 "splitter"
//!   queued on   run queue of CPU 3
//!   run by      task 154 "fstat/3": the circle closes
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use super::{Analyze, Edge, Shape};
use crate::verdict::heading;
use crate::wrap::Lines;
use crate::{Painted, Sanitized, Theme};

/// More shapes are only counted: the proof has all edges.
const MAX_DRAWN: usize = 2;
/// For more shapes it is not counted who waits besides: the same tasks wait for many.
const MAX_COUNTED: usize = 8;
/// The steps of a drawing that fits the screen together with the answer.
const MAX_STEPS: usize = 16;

/// One way through the graph that is worth showing.
pub(super) struct Way<'r, 'a> {
    /// What it amounts to.
    pub(super) title: String,
    /// Its steps, each beginning where the one before it ends.
    pub(super) edges: Vec<&'r Edge<'a>>,
    /// How many tasks besides those on the way wait for something on it; 0 too for a way below the first few, for which
    /// they are not counted.
    pub(super) others: usize,
}

impl Way<'_, '_> {
    /// Whether it ends where it began.
    pub(super) fn closes(&self) -> bool {
        matches!((self.edges.first(), self.edges.last()), (Some(first), Some(last)) if first.from == last.to)
    }
}

/// The shapes of the graph, the gravest first; where there are none, as far as the edges lead.
pub(super) fn ways<'r, 'a>(report: &'r Analyze<'a>) -> Vec<Way<'r, 'a>> {
    let edges = |shape: &Shape| shape.edges.iter().filter_map(|&index| report.edges.get(index)).collect();
    let waiters = waiters(report);
    let way = |(index, shape)| {
        let others = if index < MAX_COUNTED { others(&waiters, shape) } else { 0 };
        Way { title: title(shape), edges: edges(shape), others }
    };
    let shapes: Vec<_> = report.shapes.iter().enumerate().map(way).collect();
    let longest = longest(&report.edges);
    if !shapes.is_empty() || longest.is_empty() {
        return shapes;
    }
    vec![Way { title: "a chain, no cycle".to_owned(), edges: longest, others: 0 }]
}

/// Draws the ways for a screen.
pub(super) fn draw(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    // What waits where nothing is wrong is in the proof.
    let ways = if report.verdict.confidence == "none" { Vec::new() } else { ways(report) };
    for way in ways.iter().take(MAX_DRAWN) {
        heading(&format!("Why: {}", way.title), out, theme)?;
        steps(way, out, theme)?;
        if let Some(others) = others_text(way.others) {
            writeln!(out, "  {others}")?;
        }
    }
    match ways.len().checked_sub(MAX_DRAWN) {
        Some(more @ 1..) => writeln!(out, "  ... and {more} more: see the proof"),
        _ => Ok(()),
    }
}

fn title(shape: &Shape) -> String {
    match (shape.kind, shape.is_cycle) {
        ("livelock", _) => "livelock, a cycle: one task spins, the other gets no CPU".to_owned(),
        ("deadlock", _) => "deadlock, a cycle that no CPU time can end".to_owned(),
        ("starvation", true) => "starvation, in a cycle".to_owned(),
        ("starvation", false) => "starvation, a runnable task gets no CPU".to_owned(),
        (kind, _) => kind.to_owned(),
    }
}

fn steps(way: &Way<'_, '_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let edges = way.edges.as_slice();
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return Ok(()) };
    let closes = if way.closes() { ": the circle closes" } else { "" };
    write!(out, "{}", Lines::new(2, &clean(&first.from)).within(theme.width))?;
    let width = edges.iter().map(|edge| edge.kind.len()).max().unwrap_or_default();
    let (head, tail) = match edges.len().checked_sub(MAX_STEPS) {
        None | Some(0) => edges.split_at(edges.len()),
        // The last two close the circle.
        Some(_) => (edges.get(..MAX_STEPS - 2).unwrap_or_default(), edges.get(edges.len() - 2..).unwrap_or_default()),
    };
    let mut step = |edge: &Edge<'_>| {
        let end = if std::ptr::eq(edge, *last) { closes } else { "" };
        let words = edge.kind.replace('_', " ");
        write!(out, "    {}  ", Painted(theme.dim, format_args!("{words:<width$}")))?;
        write!(out, "{}", Lines::hanging(6 + width, &format!("{}{end}", clean(&edge.to))).within(theme.width))
    };
    head.iter().try_for_each(|edge| step(edge))?;
    if !tail.is_empty() {
        step(&Edge { to: format!("({} more steps)", edges.len() - MAX_STEPS), kind: "...", ..(*last).clone() })?;
    }
    tail.iter().try_for_each(|edge| step(edge))
}

fn clean(text: &str) -> String {
    Sanitized::new(text).to_string()
}

/// Who waits for each node.
fn waiters<'r>(report: &'r Analyze<'_>) -> HashMap<&'r str, Vec<&'r str>> {
    let mut waiters: HashMap<&str, Vec<&str>> = HashMap::new();
    for edge in &report.edges {
        waiters.entry(&edge.to).or_default().push(&edge.from);
    }
    waiters
}

/// How many tasks besides those in the shape wait for something in it.
fn others<'r>(waiters: &HashMap<&'r str, Vec<&'r str>>, shape: &'r Shape) -> usize {
    let own: HashSet<&str> = shape.nodes.iter().map(String::as_str).collect();
    let mut waiting = own.clone();
    let mut open: Vec<&str> = own.iter().copied().collect();
    while let Some(node) = open.pop() {
        open.extend(waiters.get(node).into_iter().flatten().filter(|&&waiter| waiting.insert(waiter)));
    }
    waiting.difference(&own).filter(|node| node.starts_with("task ")).count()
}

/// Those, in words.
pub(super) fn others_text(others: usize) -> Option<String> {
    match others {
        0 => None,
        1 => Some("1 more task waits for it".to_owned()),
        _ => Some(format!("{others} more tasks wait for it")),
    }
}

/// The longest way by the first edge that leaves each node, without passing a node twice.
fn longest<'e, 'a>(edges: &'e [Edge<'a>]) -> Vec<&'e Edge<'a>> {
    let mut first: BTreeMap<&str, &Edge<'a>> = BTreeMap::new();
    for edge in edges {
        first.entry(&edge.from).or_insert(edge);
    }
    edges.iter().map(|edge| follow(&first, edge)).max_by_key(Vec::len).unwrap_or_default()
}

fn follow<'e, 'a>(first: &BTreeMap<&str, &'e Edge<'a>>, start: &'e Edge<'a>) -> Vec<&'e Edge<'a>> {
    let mut way = vec![start];
    let mut here = start;
    while let Some(&edge) = first.get(here.to.as_str()) {
        if way.len() >= MAX_STEPS || way.iter().any(|known| known.from == edge.from) {
            break;
        }
        way.push(edge);
        here = edge;
    }
    way
}
