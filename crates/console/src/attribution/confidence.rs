//! How sure each line of the best solution is, by what the solutions cost that differ in it.

use std::collections::HashMap;

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

/// The lines up to `last` that two solutions give to different CPUs, without lines of equal text that were only swapped.
fn differing(solution: &Solution, lines: &[Line], (one, other): (u32, u32), last: usize) -> Vec<usize> {
    let pairs = solution.backwards(one).zip(solution.backwards(other)).take(MAX_BACK);
    let mut differ = Vec::new();
    for (back, ((one, one_step), (other, other_step))) in pairs.enumerate() {
        if one == other {
            break;
        }
        let Some(line) = last.checked_sub(back) else { break };
        if one_step.printer != other_step.printer {
            differ.push((line, one_step.printer, other_step.printer));
        }
    }
    let text = |line: &usize| lines.get(*line).map(|line| line.text);
    let mut balance: HashMap<(Option<u64>, u16), i32> = HashMap::new();
    for (line, one, other) in &differ {
        *balance.entry((text(line), *one)).or_default() += 1;
        *balance.entry((text(line), *other)).or_default() -= 1;
    }
    let is_swapped = |line: &usize| balance.iter().all(|((of, _), count)| *of != text(line) || *count == 0);
    differ.into_iter().map(|(line, ..)| line).filter(|line| !is_swapped(line)).collect()
}
