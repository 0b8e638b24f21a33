//! Which line of code or stack follows which, learned from the log itself.
//!
//! The same call chains are printed again and again: by CPUs that hang in the same place, by the same CPU in its lockup
//! report and in the panic's. Counts come from lines that an earlier round of the search was sure of.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// What an unseen pair counts.
const SMOOTHING: f32 = 0.3;
/// How many different lines are thought to be able to follow a line that was not seen.
const BRANCHES: f32 = 4.0;
/// No pair costs more: a call chain may be new.
const MAX_COST: f32 = 4.0;

/// How often one place followed another.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    pairs: HashMap<(u64, u64), f32, FixedState>,
    from: HashMap<u64, f32, FixedState>,
}

impl Chains {
    pub(crate) fn learn(&mut self, before: u64, next: u64) {
        *self.pairs.entry((before, next)).or_default() += 1.0;
        *self.from.entry(before).or_default() += 1.0;
    }

    /// -ln of the probability that `next` follows `before`.
    pub(crate) fn cost(&self, before: u64, next: u64) -> f32 {
        let from = self.from.get(&before).copied().unwrap_or_default();
        let pair = self.pairs.get(&(before, next)).copied().unwrap_or_default();
        let probability = (pair + SMOOTHING) / (from + SMOOTHING * BRANCHES);
        (-probability.ln()).min(MAX_COST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_chain_is_cheaper_than_an_unknown_one_and_that_than_a_contradicted_one() {
        let mut chains = Chains::default();
        (0..3).for_each(|_| chains.learn(1, 2));
        assert!(chains.cost(1, 2) < chains.cost(7, 2));
        assert!(chains.cost(7, 2) < chains.cost(1, 3));
    }
}
