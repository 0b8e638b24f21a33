//! The first time through all rows: which are of one crash, and how large each group is.

use std::cmp::Reverse;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{Extent, LeftOut};
use crate::brief::Brief;
use crate::confidence::Confidence;
use crate::row::Row;

/// How well a row stands for its crash or group: the lowest does best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) confidence: Confidence,
    of_log: bool,
    size: u64,
    /// The how manieth row it is: they come by their keys.
    at: u32,
}

impl Rank {
    fn of_brief(row: &Brief<'_>, at: u32) -> Self {
        Self { confidence: row.confidence, of_log: !row.of_dump, size: row.size, at }
    }

    pub(super) fn of(row: &Row, at: u32) -> Self {
        Self::of_brief(&Brief::of(row), at)
    }
}

/// What is counted while rows go by.
#[derive(Default)]
pub(super) struct Census {
    rows: u32,
    /// Of each row whose crash is known: which it is, and how well the row stands for it.
    forms: Vec<(CrashId, Rank)>,
    groups: HashMap<String, Tally>,
}

/// Stands for what is the same in all dumps of a crash.
type CrashId = [u8; 16];

fn crash_id(crash: &str) -> CrashId {
    let hash = Sha256::digest(crash);
    hash.first_chunk().copied().unwrap_or_default()
}

#[derive(Clone, Copy, Default)]
struct Tally {
    rows: usize,
    judged: bool,
    problem: bool,
}

/// What the second time needs to know.
pub(super) struct Counted {
    /// Rows that are of the same crash as a better one, a bit each.
    duplicates: Vec<u64>,
    /// Signatures of the groups that are shown, and whether each has a verdict.
    pub(super) shown: HashMap<String, bool>,
    /// How many others there are.
    pub(super) left_out: LeftOut,
}

impl Counted {
    pub(super) fn is_duplicate(&self, at: u32) -> bool {
        let word = usize::try_from(at / u64::BITS).ok().and_then(|word| self.duplicates.get(word));
        word.is_some_and(|word| word >> (at % u64::BITS) & 1 == 1)
    }
}

impl Census {
    pub(super) fn add(&mut self, row: &Brief<'_>) {
        if let Some(crash) = row.crash {
            self.forms.push((crash_id(crash), Rank::of_brief(row, self.rows)));
        }
        self.rows = self.rows.saturating_add(1);
        // Most rows are of a group that is there.
        let tally = match self.groups.get_mut(row.signature) {
            Some(tally) => tally,
            None => self.groups.entry(row.signature.to_owned()).or_default(),
        };
        tally.rows += 1;
        tally.judged |= row.confidence.is_judged();
        tally.problem |= row.confidence.is_problem();
    }

    pub(super) fn finish(self, extent: Extent) -> Counted {
        let (judged, unjudged): (Vec<_>, Vec<_>) = self.groups.into_iter().partition(|(_, tally)| tally.judged);
        let left_out = LeftOut {
            groups: judged.len().saturating_sub(extent.groups),
            unjudged: unjudged.len().saturating_sub(extent.unjudged),
            crashes: 0,
        };
        let shown: HashMap<_, _> = [(judged, extent.groups, true), (unjudged, extent.unjudged, false)]
            .into_iter()
            .flat_map(|(groups, most, judged)| largest(groups, most).map(move |signature| (signature, judged)))
            .collect();
        Counted { duplicates: duplicates(self.rows, self.forms), left_out, shown }
    }
}

/// Those with a problem before those without, and of these the largest.
fn largest(mut groups: Vec<(String, Tally)>, most: usize) -> impl Iterator<Item = String> {
    groups.sort_unstable_by(|(one, a), (other, b)| {
        (!a.problem, Reverse(a.rows), one).cmp(&(!b.problem, Reverse(b.rows), other))
    });
    groups.into_iter().take(most).map(|(signature, _)| signature)
}

/// All but the best row of each crash.
fn duplicates(rows: u32, mut forms: Vec<(CrashId, Rank)>) -> Vec<u64> {
    forms.sort_unstable();
    let mut bits = vec![0u64; usize::try_from(rows.div_ceil(u64::BITS)).unwrap_or(0)];
    for pair in forms.windows(2) {
        let [(crash, _), (next, rank)] = pair else { continue };
        let word = usize::try_from(rank.at / u64::BITS).unwrap_or(usize::MAX);
        if crash == next
            && let Some(word) = bits.get_mut(word)
        {
            *word |= 1 << (rank.at % u64::BITS);
        }
    }
    bits
}
