//! Values of registers by which the report of one CPU is told from another's.

use std::hash::BuildHasher;
use std::rc::Rc;

use foldhash::fast::FixedState;

use super::line::Line;

/// Telling values that are remembered: those of two reports.
const MAX_VALUES: usize = 64;

/// Pointers closer than this point into the same stack or structure.
pub(super) const NEAR: u64 = 16 << 10;

/// The same in every run: what is found must not depend on it. Whoever writes a log so that two hashes are the same has
/// two of its own readings taken for one.
pub(super) const HASH: FixedState = FixedState::with_seed(0);

/// The telling values that a CPU has shown, and a hash of them.
#[derive(Debug, Default)]
pub(super) struct Values {
    list: Vec<(&'static str, u64)>,
    hash: u64,
}

impl Values {
    /// These and what a line has besides, the latest [`MAX_VALUES`].
    pub(super) fn with(self: &Rc<Self>, line: &Line) -> Rc<Self> {
        let mut new = line.values.iter().filter(|value| !self.list.contains(value)).peekable();
        if new.peek().is_none() {
            return Rc::clone(self);
        }
        let mut list: Vec<_> = self.list.iter().chain(new).copied().collect();
        let excess = list.len().saturating_sub(MAX_VALUES);
        list.drain(..excess);
        let hash = HASH.hash_one(&list);
        Rc::new(Self { list, hash })
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether this value is among them, or one no further away than `distance`.
    pub(super) fn have(&self, value: u64, distance: u64) -> bool {
        self.list.iter().any(|(_, seen)| seen.abs_diff(value) <= distance)
    }

    /// What they tell of this value in this register.
    pub(super) fn knows(&self, register: &str, value: u64) -> Known {
        let mut known = Known::No;
        for (other, seen) in &self.list {
            known = known.max(match seen.abs_diff(value) {
                0 if *other == register => Known::SameRegister,
                0 => return Known::Elsewhere,
                1..NEAR => Known::Near,
                _ => Known::No,
            });
        }
        known
    }
}

/// What a CPU has shown of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    No,
    Near,
    SameRegister,
    Elsewhere,
}
