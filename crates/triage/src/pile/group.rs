//! Dumps of the same problem.

use std::collections::{BTreeMap, BTreeSet};

use super::LISTED;
use super::census::Rank;
use crate::confidence::Confidence;
use crate::row::Row;

/// Dumps of the same problem.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Its name: digits.
    pub id: String,
    /// The signature, exact.
    pub signature: String,
    /// The coarser one.
    pub similar: String,
    /// How many crashes.
    pub crashes: usize,
    /// How many rows are of a crash that another row stands for, here or in another group.
    pub duplicates: usize,
    /// The first and last crash, seconds since 1970.
    pub seen: Option<(i64, i64)>,
    /// The machines, where known.
    pub hosts: BTreeSet<String>,
    /// The kernels, with how many crashes of each.
    pub kernels: BTreeMap<String, usize>,
    /// Kernels in the pile that have the same known bug and have not crashed of it here.
    pub next: BTreeSet<String>,
    /// Names of other groups whose coarser signature is the same.
    pub like: Vec<String>,
    /// The known bug of the best row that has one, with its issue.
    pub(super) bug: Option<(Rank, String, String)>,
    /// Crashes by whether their kernel has the known bug.
    in_these_kernels: BTreeMap<String, usize>,
    best: Best,
    best_duplicates: Best,
}

impl Group {
    /// One without rows, of the signature of this row.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            id: row.signature.group(),
            signature: row.signature.exact.clone(),
            similar: row.signature.similar.clone(),
            ..Self::default()
        }
    }

    /// Counts a row that stands for its crash.
    pub(super) fn add(&mut self, rank: Rank, row: &Row) {
        self.crashes += 1;
        self.hosts.extend(row.host.clone());
        let summary = &row.summary;
        if let Some(release) = &summary.release {
            *self.kernels.entry(release.clone()).or_default() += 1;
        }
        if let Some(time) = row.crashed {
            let (first, last) = self.seen.unwrap_or((time, time));
            self.seen = Some((first.min(time), last.max(time)));
        }
        let word = summary.in_this_kernel.as_deref().unwrap_or("unknown");
        *self.in_these_kernels.entry(word.to_owned()).or_default() += 1;
        if let (Some(bug), Some(issue)) = (&summary.known_issue, &summary.issue)
            && self.bug.as_ref().is_none_or(|(best, ..)| rank < *best)
        {
            self.bug = Some((rank, bug.clone(), issue.clone()));
        }
        self.best.add(rank, row);
    }

    /// Counts another.
    pub(super) fn add_duplicate(&mut self, rank: Rank, row: &Row) {
        self.duplicates += 1;
        self.best_duplicates.add(rank, row);
    }

    /// Rows, the exemplar first: the surest, of a dump, the smallest. Those of crashes that others stand for come last. Of
    /// many there are the best dozen.
    pub fn listed(&self) -> impl Iterator<Item = &Row> + Clone {
        self.best.rows().chain(self.best_duplicates.rows()).take(LISTED)
    }

    /// The row that stands for the group.
    #[must_use]
    pub fn exemplar(&self) -> Option<&Row> {
        self.listed().next()
    }

    /// How many rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.crashes + self.duplicates
    }

    /// Whether nothing was found in its crashes.
    pub(super) fn is_healthy(&self) -> bool {
        self.best.0.first().is_some_and(|(rank, _)| rank.confidence == Confidence::None)
    }

    /// Whether none of its rows was judged at all.
    pub(super) fn has_failed(&self) -> bool {
        self.exemplar().is_some_and(|row| Confidence::of(row) == Confidence::Failed)
    }

    /// Whether the kernels of the crashes have the known bug: one word where all are alike, else how many are.
    #[must_use]
    pub fn in_these_kernels(&self) -> String {
        let counts = &self.in_these_kernels;
        match counts.len() {
            0 | 1 => counts.keys().next().map_or_else(|| "unknown".to_owned(), ToString::to_string),
            _ => counts.iter().map(|(word, count)| format!("{word} ({count})")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The best rows, the best first.
#[derive(Clone, Debug, Default)]
struct Best(Vec<(Rank, Row)>);

impl Best {
    fn add(&mut self, rank: Rank, row: &Row) {
        let at = self.0.partition_point(|(other, _)| *other < rank);
        if at < LISTED {
            self.0.truncate(LISTED - 1);
            self.0.insert(at, (rank, row.clone()));
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> + Clone {
        self.0.iter().map(|(_, row)| row)
    }
}
