//! Which CPU printed which line.
//!
//! When several CPUs report at the same time, their lines mix. No line but two says whose it is. What helps is that
//! every CPU by itself prints in order, so this is a problem of explaining the whole log at the least cost:
//!
//! * Each CPU is a *printer*: a Markov chain over the kinds of lines ([`grammar`]), with what is known of it so far: its
//!   number and task, its clock, its stack, its register values, the last place in code it printed ([`printer`]).
//! * A *hypothesis* gives every line so far to a printer, to a new one, or to nobody. Its cost is the sum over lines of
//!   -ln P(kind | previous kind of that printer), with a fixed cost for each line that is missing in between, and of
//!   likelihood ratios for what the line says: the CPU it names, clocks that do not go back, stack pointers into the
//!   same stack, register values that this printer has shown before, and places in code that followed each other
//!   elsewhere in this log, or that have only one possible caller ([`callers`]).
//! * The cheapest hypothesis is searched for with a beam ([`search`]): after each line, those that agree in what every
//!   printer printed last are merged as in dynamic programming, and the cheapest few dozen go on.
//! * What follows what in code ([`chains`]) is learned from the first round's answer where that was sure, and the search
//!   is done again (hard expectation maximization).
//! * A line's *confidence* is 1 / (1 + sum of exp(-d)) over the solutions that differ in it, where d is how much more
//!   each costs ([`confidence`]). Swapping lines of the same text changes no trace and does not count.
//!
//! Where the kernel wrote down who printed each line, that decides almost alone.

mod callers;
mod chains;
mod confidence;
mod cost;
mod grammar;
mod line;
mod printer;
mod search;
mod values;

use std::collections::HashMap;

use self::chains::Chains;
pub(crate) use self::grammar::{Part, State};
pub(crate) use self::line::Line;
use self::search::NOBODY;

/// Rounds of the search: one without, then with what the one before learned.
const ROUNDS: usize = 3;

/// Lines that are this sure teach which place follows which.
const SURE: f32 = 0.8;

/// Whose a line is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Assignment {
    /// The printer, counted from 0 in the order in which they begin.
    pub(crate) printer: u16,
    /// What the line is in its report.
    pub(crate) state: State,
    /// How sure that is: 0 to 1.
    pub(crate) confidence: f32,
}

/// How much work a line is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// All that helps.
    Full,
    /// One narrow round: for what comes after more reports than anybody reads.
    Little,
}

impl Effort {
    const fn rounds_and_width(self) -> (usize, usize) {
        match self {
            Self::Full => (ROUNDS, search::BEAM),
            Self::Little => (1, 8),
        }
    }
}

/// Gives each line to a printer; `None` where it fits none.
pub(crate) fn attribute(lines: &[Line], effort: Effort) -> Vec<Option<Assignment>> {
    let (rounds, width) = effort.rounds_and_width();
    let mut chains = Chains::default();
    let mut assignments = Vec::new();
    for _ in 0..rounds {
        let solution = search::search(lines, &chains, width);
        let confidences = confidence::confidences(&solution, lines);
        let next: Vec<_> = solution
            .path(lines.len())
            .zip(confidences)
            .map(|(step, confidence)| {
                let printer = Some(step.printer).filter(|printer| *printer != NOBODY)?;
                Some(Assignment { printer, state: step.state, confidence })
            })
            .collect();
        if next == assignments || is_one_printer(&next) {
            return next;
        }
        chains = learn(lines, &next);
        assignments = next;
    }
    assignments
}

fn is_one_printer(assignments: &[Option<Assignment>]) -> bool {
    let mut printers = assignments.iter().flatten().map(|assignment| assignment.printer);
    let first = printers.next();
    printers.all(|printer| Some(printer) == first)
}

fn learn(lines: &[Line], assignments: &[Option<Assignment>]) -> Chains {
    let mut chains = Chains::default();
    let mut last: HashMap<u16, u64> = HashMap::new();
    for (line, assignment) in lines.iter().zip(assignments) {
        let Some(Assignment { printer, confidence, .. }) = *assignment else { continue };
        if !line.is_place() {
            continue;
        }
        let before = last.insert(printer, line.text);
        if let Some(before) = before.filter(|_| confidence >= SURE) {
            chains.learn(before, line.text);
        }
    }
    chains
}
