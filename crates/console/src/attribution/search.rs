//! The cheapest way to give every line of an episode to a CPU: a beam search over what each CPU printed last.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::FixedState;

use super::chains::Chains;
use super::grammar::State;
use super::line::Line;
use super::printer::{Context, Printer};
use super::values::HASH;
use crate::token::Token;

/// Hypotheses that are kept after each line.
pub(crate) const BEAM: usize = 96;
/// A hypothesis that costs this much more than the best is given up.
const MARGIN: f32 = 18.0;
/// CPUs in the middle of a report at the same time.
const MAX_PRINTERS: usize = 96;
/// Alternatives to one hypothesis that are remembered.
const MAX_ALTERNATIVES: usize = 8;

/// The line belongs to no report that could be told.
pub(crate) const NOBODY: u16 = u16::MAX;

/// One line's place in a hypothesis. Hypotheses share their pasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The line before; of the first line its own number.
    pub(crate) before: u32,
    pub(crate) printer: u16,
    pub(crate) state: State,
}

/// The best solution and what was nearly as good.
pub(crate) struct Solution {
    pub(crate) steps: Vec<Step>,
    /// The last step of the cheapest hypothesis.
    pub(crate) best: u32,
    /// By step: other ways to the same state of all CPUs, with what they cost more.
    pub(crate) alternatives: HashMap<u32, Vec<(u32, f32)>>,
}

struct Hypothesis {
    cost: f32,
    printers: Vec<Rc<Printer>>,
    /// Who printed the line before.
    last: u16,
    next_id: u16,
    step: u32,
    signature: u64,
}

/// A hypothesis and whom it gives the next line to.
struct Candidate {
    cost: f32,
    hypothesis: usize,
    choice: Choice,
    signature: u64,
}

/// A way to go on, before it is built.
#[derive(Clone, Copy)]
struct Way {
    cost: f32,
    /// Ways are numbered as they are found.
    number: usize,
    hypothesis: usize,
    to: To,
}

#[derive(Clone, Copy)]
enum To {
    Nobody,
    Open(State),
    /// The printer at this index, and what the line is in its report.
    Next(usize, State),
}

enum Choice {
    Nobody,
    Open(Rc<Printer>),
    /// The printer at this index, as it is after the line.
    Next(usize, Rc<Printer>),
}

/// Gives each line to a CPU.
pub(crate) fn search(lines: &[Line], chains: &Chains, width: usize) -> Solution {
    let mut solution = Solution { steps: Vec::new(), best: 0, alternatives: HashMap::new() };
    let start = Hypothesis { cost: 0.0, printers: Vec::new(), last: NOBODY, next_id: 0, step: 0, signature: 0 };
    let mut beam = vec![start];
    let mut latest_ns = None;
    for (index, line) in (0u32..).zip(lines) {
        let context = Context { chains, index, latest_ns };
        let ways = ways(&beam, line, &context, width);
        // Built one by one: when the next beam is full, the others are not needed.
        let candidates = ways.into_iter().filter_map(|way| build(&beam, line, &context, way));
        beam = advance(&beam, candidates, index, width, &mut solution);
        latest_ns = latest_ns.max(line.timestamp_ns);
    }
    finish(&beam, &mut solution);
    solution
}

/// Every way to go on that is not much worse than the best, cheapest first.
fn ways(beam: &[Hypothesis], line: &Line, context: &Context<'_>, width: usize) -> Vec<Way> {
    // Only the costs: most ways are given up before anything is built.
    let mut ways: Vec<Way> = Vec::new();
    let mut best = f32::INFINITY;
    for (number, hypothesis) in beam.iter().enumerate() {
        let mut way = |cost: f32, to| {
            let cost = hypothesis.cost + cost;
            best = best.min(cost);
            if cost <= best + MARGIN {
                ways.push(Way { cost, number: ways.len(), hypothesis: number, to });
            }
        };
        way(nobody(line), To::Nobody);
        for (at, printer) in hypothesis.printers.iter().enumerate() {
            let was_last = printer.id == hypothesis.last;
            if let Some((state, cost)) = printer.fit(line, was_last, &hypothesis.printers, context) {
                way(cost, To::Next(at, state));
            }
        }
        if hypothesis.next_id < NOBODY {
            let opened = Printer::open(line, &hypothesis.printers, context.index);
            opened.for_each(|(state, cost)| way(cost, To::Open(state)));
        }
    }
    ways.retain(|way| way.cost <= best + MARGIN);
    // Of equally cheap ones the first: the number makes that the same whichever way they are sorted.
    let order = |a: &Way, b: &Way| a.cost.total_cmp(&b.cost).then(a.number.cmp(&b.number));
    let most = width * 3;
    if ways.len() > most {
        ways.select_nth_unstable_by(most, order);
        ways.truncate(most);
    }
    ways.sort_unstable_by(order);
    ways
}

fn build(beam: &[Hypothesis], line: &Line, context: &Context<'_>, way: Way) -> Option<Candidate> {
    let Way { cost, hypothesis, to, .. } = way;
    let parent = beam.get(hypothesis)?;
    let (choice, signature) = match to {
        To::Nobody => (Choice::Nobody, parent.signature),
        To::Open(state) => {
            let printer = Printer::first(parent.next_id, state, line, context.index);
            let signature = parent.signature ^ printer.signature;
            (Choice::Open(Rc::new(printer)), signature)
        }
        To::Next(at, state) => {
            let old = parent.printers.get(at)?;
            let printer = old.after(state, line, context.index);
            let signature = parent.signature ^ old.signature ^ printer.signature;
            (Choice::Next(at, Rc::new(printer)), signature)
        }
    };
    Some(Candidate { cost, hypothesis, choice, signature })
}

/// What it costs that a line belongs to nobody's report.
fn nobody(line: &Line) -> f32 {
    match line.token {
        Token::Blank => 0.6,
        Token::MoreModules => 2.5,
        Token::Event(_) => 9.0,
        _ => 6.5,
    }
}

/// The next beam: of hypotheses that differ only in the past the cheapest goes on, the others are its alternatives.
fn advance(
    beam: &[Hypothesis],
    candidates: impl Iterator<Item = Candidate>,
    index: u32,
    width: usize,
    solution: &mut Solution,
) -> Vec<Hypothesis> {
    let mut next: Vec<Hypothesis> = Vec::with_capacity(width);
    let mut known: HashMap<(u64, u16), usize, FixedState> = HashMap::with_capacity_and_hasher(width, HASH);
    for candidate in candidates {
        let Some(parent) = beam.get(candidate.hypothesis) else { continue };
        let (printer, state) = match &candidate.choice {
            Choice::Nobody => (NOBODY, State::End),
            Choice::Open(printer) | Choice::Next(_, printer) => (printer.id, printer.state),
        };
        let last = if printer == NOBODY { parent.last } else { printer };
        let same = known.get(&(candidate.signature, last)).and_then(|at| next.get(*at));
        if same.is_none() && next.len() >= width {
            break;
        }
        let step = u32::try_from(solution.steps.len()).unwrap_or(u32::MAX);
        let before = if index == 0 { step } else { parent.step };
        solution.steps.push(Step { before, printer, state });
        if let Some(same) = same {
            let alternatives = solution.alternatives.entry(same.step).or_default();
            if alternatives.len() < MAX_ALTERNATIVES {
                alternatives.push((step, candidate.cost - same.cost));
            }
            continue;
        }
        known.insert((candidate.signature, last), next.len());
        next.push(grow(parent, candidate, last, step));
    }
    next
}

fn grow(parent: &Hypothesis, candidate: Candidate, last: u16, step: u32) -> Hypothesis {
    let Candidate { cost, choice, signature, .. } = candidate;
    let mut printers = parent.printers.clone();
    let mut next_id = parent.next_id;
    let mut signature = signature;
    match choice {
        Choice::Nobody => {}
        Choice::Next(at, printer) => {
            if let Some(slot) = printers.get_mut(at) {
                *slot = printer;
            }
        }
        Choice::Open(printer) => {
            next_id = next_id.saturating_add(1);
            if printers.len() >= MAX_PRINTERS {
                // The one that has been silent for longest has nothing more to say.
                let silent = printers.iter().enumerate().min_by_key(|(_, printer)| printer.last).map(|(at, _)| at);
                if let Some(at) = silent {
                    signature ^= printers.remove(at).signature;
                }
            }
            printers.push(printer);
        }
    }
    Hypothesis { cost, printers, last, next_id, step, signature }
}

/// What is left of the beam at the end are alternatives to its best.
fn finish(beam: &[Hypothesis], solution: &mut Solution) {
    let by_cost = |a: &&Hypothesis, b: &&Hypothesis| -> Ordering { a.cost.total_cmp(&b.cost) };
    let Some(best) = beam.iter().min_by(by_cost) else { return };
    solution.best = best.step;
    let others = beam.iter().filter(|other| other.step != best.step).map(|other| (other.step, other.cost - best.cost));
    solution.alternatives.entry(best.step).or_default().extend(others);
}
