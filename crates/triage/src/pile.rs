//! What the rows of a store tell together: groups of the same problem, and who may be next.
//!
//! A store may have millions of rows, so they are not kept: they are gone through twice. The first time (`census.rs`) it
//! is found out which of them are of one crash, and how large each group is; the second time (`gather.rs`) what is shown of the
//! largest groups is put together. A row takes some thirty bytes for that, a group of some dozen rows a few kilobytes.

mod census;
mod gather;
mod group;

use std::collections::BTreeMap;

use crate::brief::Brief;
use crate::confidence::Confidence;
use crate::row::{FailureKind, Row};
use crate::store::Store;
use crate::{Failure, TriageError};
use census::Census;
use gather::Gather;
pub use group::Group;

/// Rows that a group lists.
pub(crate) const LISTED: usize = 12;

/// How much is kept of a pile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Groups with a verdict: those with a problem first, then the largest. The others are counted.
    pub groups: usize,
    /// Groups of what could not be judged, the largest.
    pub unjudged: usize,
    /// The newest rows that are kept themselves.
    pub newest: usize,
}

impl Extent {
    /// For a report without rows.
    pub const GROUPS: Self = Self { groups: 1000, unjudged: 200, newest: 0 };
}

/// What rows come to, with the groups that they make.
#[derive(Clone, Debug, Default)]
pub struct Pile {
    /// Groups with a verdict, the ones with most crashes first, the healthy last.
    pub groups: Vec<Group>,
    /// Groups of what could not be judged: failures, and what lacks what is needed.
    pub unjudged: Vec<Group>,
    /// How many rows there are.
    pub rows: usize,
    /// How many crashes: rows that are not of one that is there already, nor of a file that is not.
    pub crashes: usize,
    /// How many rows are of the same crash as another row.
    pub duplicates: usize,
    /// Rows by the confidence of their verdict.
    pub confidences: BTreeMap<Confidence, usize>,
    /// Rows without a verdict of the dump, by reason.
    pub failures: BTreeMap<&'static str, usize>,
    /// Groups of either kind that are only counted, and their crashes.
    pub left_out: LeftOut,
    /// The newest rows, as many as were asked for, the newest first.
    pub newest: Vec<Row>,
    /// Crashes by day, counted from 1970: those with a problem, and others.
    pub(crate) days: BTreeMap<i64, (usize, usize)>,
}

/// What is only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Groups with a verdict.
    pub groups: usize,
    /// Groups of what could not be judged.
    pub unjudged: usize,
    /// Crashes of both.
    pub crashes: usize,
}

/// Says whether kernels of a release have the known bug of an issue; `None` where that is not known.
pub type Affected<'a> = &'a dyn Fn(&str, &str) -> Option<bool>;

impl Pile {
    /// Reads a store. `keep` says by its key which row is of interest.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`].
    pub fn read(
        store: &Store,
        affected: Affected<'_>,
        extent: Extent,
        keep: impl Fn(&str) -> bool,
    ) -> Result<Self, TriageError> {
        // Both times the same rows, whatever others write meanwhile.
        store.reading(|| {
            let mut census = Census::default();
            store.each_brief(|brief| {
                if keep(brief.key) {
                    census.add(&brief);
                }
            })?;
            let mut gather = Gather::new(census.finish(extent), extent);
            store.each_row(|row| {
                if keep(&row.key) {
                    gather.add(row);
                }
                Ok::<_, TriageError>(())
            })?;
            Ok(gather.finish(affected))
        })
    }

    /// Groups rows.
    #[must_use]
    pub fn of(rows: Vec<Row>, affected: Affected<'_>, extent: Extent) -> Self {
        let mut census = Census::default();
        rows.iter().for_each(|row| census.add(&Brief::of(row)));
        let mut gather = Gather::new(census.finish(extent), extent);
        rows.into_iter().for_each(|row| gather.add(row));
        gather.finish(affected)
    }

    /// How many rows lack what is needed, and how many could not be judged at all, in words.
    pub(crate) fn without_verdict(&self) -> String {
        let rows = |confidence| self.confidences.get(&confidence).copied().unwrap_or_default();
        let missing = match self.missing() {
            0 => String::new(),
            missing => format!(", of which {missing} {} not there", if missing == 1 { "is" } else { "are" }),
        };
        format!("{} inconclusive, {} failed{missing}", rows(Confidence::Insufficient), rows(Confidence::Failed))
    }

    /// Groups without a verdict: those that lack what is needed, and those that could not be judged at all, each with its heading.
    pub(crate) fn unjudged_by_kind(&self) -> [(&'static str, Vec<&Group>); 2] {
        let (failed, inconclusive) = self.unjudged.iter().partition(|group| group.has_failed());
        [("Inconclusive: what is needed is not in the dump", inconclusive), ("Failed: could not be judged", failed)]
    }

    /// How many rows are of files that a list names and that are not there.
    fn missing(&self) -> usize {
        self.failures.get(FailureKind::Missing.name()).copied().unwrap_or_default()
    }

    /// How many groups with a verdict there are, shown or not.
    pub(crate) fn all_groups(&self) -> usize {
        self.groups.len() + self.left_out.groups
    }
}

/// What a row says of why there is no verdict, or else of what is lacking.
pub(crate) fn why(row: &Row) -> Option<String> {
    row.failure.as_ref().map(Failure::to_string).or_else(|| row.summary.text.clone())
}

#[cfg(test)]
mod tests;
