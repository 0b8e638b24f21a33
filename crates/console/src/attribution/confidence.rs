//! How sure each line of the best solution is, by what the solutions cost that differ in it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::line::Line;
use super::search::{Solution, Step};

/// How far back two solutions are compared, in lines.
const MAX_BACK: usize = 512;

impl Solution {
    /// The numbers of the best solution's steps, last first.
    fn backwards(&self, from: u32) -> impl Iterator<Item = (u32, Step)> {
        let step = |number: u32| Some((number, *self.steps.get(number as usize)?));
        std::iter::successors(step(from), move |(number, at)| (at.before != *number).then(|| step(at.before)).flatten())
    }

    /// The best solution's steps, one for each line.
    pub(crate) fn path(&self, lines: usize) -> impl Iterator<Item = Step> {
        let mut steps: Vec<Step> = self.backwards(self.best).take(lines).map(|(_, step)| step).collect();
        steps.reverse();
        steps.into_iter()
    }
}

/// The confidence of each line, 0 to 1.
pub(crate) fn confidences(solution: &Solution, lines: &[Line]) -> Vec<f32> {
    // The sum of exp(-d) of what differs in each line.
    let mut against = vec![0.0f32; lines.len()];
    let path = solution.backwards(solution.best).take(lines.len());
    for (back, (number, _)) in path.enumerate() {
        let Some(last) = lines.len().checked_sub(back + 1) else { break };
        for (other, difference) in solution.alternatives.get(&number).into_iter().flatten() {
            for line in differing(solution, lines, (number, *other), last) {
                if let Some(sum) = against.get_mut(line) {
                    *sum += (-difference.max(0.0)).exp();
                }
            }
        }
    }
    against.into_iter().map(|sum| 1.0 / (1.0 + sum)).collect()
}

/// Lines that two solutions give to different CPUs: the line, whom the one gives it to, whom the other.
type Differences = Vec<(usize, u16, u16)>;

/// The lines up to `last` that two solutions give to different CPUs, without lines of equal text that were only swapped.
fn differing(solution: &Solution, lines: &[Line], (one, other): (u32, u32), last: usize) -> Vec<usize> {
    let pairs = solution.backwards(one).zip(solution.backwards(other)).take(MAX_BACK);
    let apart = pairs.take_while(|((one, _), (other, _))| one != other);
    let both: Differences = apart
        .enumerate()
        .filter_map(|(back, ((_, one), (_, other)))| Some((last.checked_sub(back)?, one.printer, other.printer)))
        .collect();
    let names = same_printers(&both);
    let named = |other: u16| names.get(&other).copied();
    let differ: Vec<_> = both.into_iter().filter(|(_, one, other)| named(*other) != Some(*one)).collect();
    let text = |line: &usize| lines.get(*line).map(|line| line.text);
    let mut balance: HashMap<Option<u64>, HashMap<Option<u16>, i32>> = HashMap::new();
    for (line, one, other) in &differ {
        let of_text = balance.entry(text(line)).or_default();
        *of_text.entry(Some(*one)).or_default() += 1;
        *of_text.entry(named(*other)).or_default() -= 1;
    }
    let is_swapped =
        |line: &usize| balance.get(&text(line)).is_some_and(|counts| counts.values().all(|count| *count == 0));
    differ.into_iter().map(|(line, ..)| line).filter(|line| !is_swapped(line)).collect()
}

/// Printers are numbered in the order in which they begin, which may differ: each of the other solution's is the one
/// of this solution that it has the most lines in common with.
fn same_printers(both: &Differences) -> HashMap<u16, u16> {
    let mut common: BTreeMap<(u16, u16), u32> = BTreeMap::new();
    for (_, one, other) in both {
        *common.entry((*one, *other)).or_default() += 1;
    }
    let mut pairs: Vec<_> = common.into_iter().collect();
    // Stable: of equals the lowest numbers.
    pairs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (mut names, mut taken) = (HashMap::new(), HashSet::new());
    for ((one, other), _) in pairs {
        if !names.contains_key(&other) && taken.insert(one) {
            names.insert(other, one);
        }
    }
    names
}
