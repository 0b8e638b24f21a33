//! What the rows of a store tell together: groups of the same problem, and who may be next.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::TriageError;
use crate::row::Row;
use crate::store::Store;

/// How sure a verdict is, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Every link of the proof is there.
    Confirmed,
    /// Some could not be established.
    Probable,
    /// Most could not.
    Possible,
    /// What is needed is not in the dump.
    Insufficient,
    /// Nothing was found, and everything could be read.
    None,
    /// It was not judged at all.
    Failed,
}

impl Confidence {
    /// Of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        match row.summary.confidence.as_deref() {
            _ if row.failure.is_some() && !row.from_log => Self::Failed,
            Some("confirmed") => Self::Confirmed,
            Some("probable") => Self::Probable,
            Some("possible") => Self::Possible,
            Some("none") => Self::None,
            // A word of a newer version is not taken for health.
            _ => Self::Insufficient,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Probable => "probable",
            Self::Possible => "possible",
            Self::Insufficient => "insufficient",
            Self::None => "none",
            Self::Failed => "failed",
        }
    }

    /// Whether a problem counts as found.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        matches!(self, Self::Confirmed | Self::Probable)
    }
}

/// Dumps of the same problem.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Its name: digits.
    pub id: String,
    /// The signature, exact.
    pub signature: String,
    /// The coarser one.
    pub similar: String,
    /// Positions of its rows, the exemplar first: the surest, of a dump, the smallest. Of each crash one row; the others
    /// are in `duplicates`.
    pub rows: Vec<usize>,
    /// Rows of crashes that are among `rows` already.
    pub duplicates: Vec<usize>,
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
}

/// All rows, with the groups that they make.
#[derive(Clone, Debug, Default)]
pub struct Pile {
    /// The rows, by content.
    pub rows: Vec<Row>,
    /// Groups with a verdict, the ones with most crashes first.
    pub groups: Vec<Group>,
    /// Groups of what could not be judged: failures, and what lacks what is needed.
    pub unjudged: Vec<Group>,
}

impl Pile {
    /// Reads a store. `keep` says which rows are of interest.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`].
    pub fn read(
        store: &Store,
        affected: Affected<'_>,
        mut keep: impl FnMut(&Row) -> bool,
    ) -> Result<Self, TriageError> {
        let mut rows = Vec::new();
        store.each_row(|row| {
            if keep(&row) {
                rows.push(row);
            }
            Ok::<_, TriageError>(())
        })?;
        Ok(Self::of(rows, affected))
    }

    /// Groups rows.
    #[must_use]
    pub fn of(rows: Vec<Row>, affected: Affected<'_>) -> Self {
        let mut by_group: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            by_group.entry(row.signature.group()).or_default().push(at);
        }
        let originals = originals(&rows);
        let mut pile = Self::default();
        for (id, members) in by_group {
            let Some(group) = group(id, members, &rows, &originals) else { continue };
            let judged = group.rows.iter().chain(&group.duplicates).filter_map(|&at| rows.get(at)).any(is_judged);
            if judged { pile.groups.push(group) } else { pile.unjudged.push(group) }
        }
        let order = |group: &Group| (std::cmp::Reverse(group.rows.len()), group.id.clone());
        pile.groups.sort_by_key(|group| (is_healthy(group, &rows), order(group)));
        pile.unjudged.sort_by_key(order);
        add_next(&mut pile.groups, &rows, affected);
        add_like(&mut pile.groups);
        pile.rows = rows;
        pile
    }

    /// The row that stands for a group.
    #[must_use]
    pub fn exemplar(&self, group: &Group) -> Option<&Row> {
        let at = group.rows.first().or_else(|| group.duplicates.first())?;
        self.rows.get(*at)
    }

    /// Whether the kernels of a group's crashes have the known bug: one word where all are alike, else how many are.
    #[must_use]
    pub fn in_these_kernels(&self, group: &Group) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in group.rows.iter().filter_map(|&at| self.rows.get(at)) {
            *counts.entry(row.summary.in_this_kernel.as_deref().unwrap_or("unknown")).or_default() += 1;
        }
        match counts.len() {
            0 | 1 => counts.keys().next().map_or_else(|| "unknown".to_owned(), ToString::to_string),
            _ => counts.iter().map(|(word, count)| format!("{word} ({count})")).collect::<Vec<_>>().join(", "),
        }
    }

    /// Positions of rows that are of the same crash as another row.
    #[must_use]
    pub fn duplicates(&self) -> BTreeSet<usize> {
        self.groups.iter().chain(&self.unjudged).flat_map(|group| group.duplicates.iter().copied()).collect()
    }

    /// How many crashes there are: rows that are not of one that is there already.
    #[must_use]
    pub fn crashes(&self) -> usize {
        self.groups.iter().chain(&self.unjudged).map(|group| group.rows.len()).sum()
    }
}

fn is_judged(row: &Row) -> bool {
    !matches!(Confidence::of(row), Confidence::Failed | Confidence::Insufficient)
}

fn is_healthy(group: &Group, rows: &[Row]) -> bool {
    group.rows.first().and_then(|&at| rows.get(at)).is_some_and(|row| Confidence::of(row) == Confidence::None)
}

/// How well a row stands for its crash: the lowest does best.
fn rank(row: &Row) -> (Confidence, bool, u64, &str) {
    (Confidence::of(row), !row.kind.is_dump() || row.from_log, row.size, &row.key)
}

/// Of each crash the row that stands for it.
fn originals(rows: &[Row]) -> BTreeMap<&str, usize> {
    let mut best: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let Some(crash) = row.crash.as_deref() else { continue };
        let current = best.entry(crash).or_insert(at);
        if rows.get(*current).is_none_or(|best| rank(row) < rank(best)) {
            *current = at;
        }
    }
    best
}

fn group(id: String, mut members: Vec<usize>, rows: &[Row], originals: &BTreeMap<&str, usize>) -> Option<Group> {
    members.sort_by_key(|&at| rows.get(at).map(rank));
    let first = members.first().and_then(|&at| rows.get(at))?;
    let mut group = Group {
        id,
        signature: first.signature.exact.clone(),
        similar: first.signature.similar.clone(),
        ..Group::default()
    };
    for at in members {
        let Some(row) = rows.get(at) else { continue };
        let original =
            row.crash.as_deref().and_then(|crash| originals.get(crash)).is_none_or(|&original| original == at);
        if !original {
            group.duplicates.push(at);
            continue;
        }
        group.rows.push(at);
        group.hosts.extend(row.host.clone());
        if let Some(release) = &row.summary.release {
            *group.kernels.entry(release.clone()).or_default() += 1;
        }
        if let Some(time) = row.crashed {
            let (first, last) = group.seen.unwrap_or((time, time));
            group.seen = Some((first.min(time), last.max(time)));
        }
    }
    Some(group)
}

/// Says whether kernels of a release have the known bug of an issue; `None` where that is not known.
pub type Affected<'a> = &'a dyn Fn(&str, &str) -> Option<bool>;

/// Which other kernels of the pile have the known bug of a group: a machine with one may be the next.
///
/// What a dump of such a kernel itself says, from its code, goes before what `affected` says of its release.
fn add_next(groups: &mut [Group], rows: &[Row], affected: Affected<'_>) {
    let mut told: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let mut releases = BTreeSet::new();
    for row in rows {
        let Some(release) = row.summary.release.as_deref() else { continue };
        releases.insert(release);
        let has = row.summary.in_this_kernel.as_deref().filter(|has| *has != "unknown");
        if let (Some(bug), Some(has)) = (&row.summary.known_issue, has) {
            *told.entry((bug, release)).or_default() |= has == "yes";
        }
    }
    let bug_of = |group: &Group| {
        group.rows.iter().find_map(|&at| {
            let summary = &rows.get(at)?.summary;
            Some((summary.known_issue.as_deref()?, summary.issue.as_deref()?))
        })
    };
    let mut crashed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for group in groups.iter() {
        if let Some((bug, _)) = bug_of(group) {
            crashed.entry(bug).or_default().extend(group.kernels.keys().cloned());
        }
    }
    for group in groups {
        let Some((bug, issue)) = bug_of(group) else { continue };
        let has = |release: &str| told.get(&(bug, release)).copied().or_else(|| affected(issue, release));
        let is_new = |release: &str| !crashed.get(bug).is_some_and(|kernels| kernels.contains(release));
        let next = releases.iter().filter(|release| is_new(release) && has(release) == Some(true));
        group.next = next.map(|&release| release.to_owned()).collect();
    }
}

fn add_like(groups: &mut [Group]) {
    let mut by_similar: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for group in groups.iter() {
        by_similar.entry(group.similar.clone()).or_default().push(group.id.clone());
    }
    for group in groups {
        let same = by_similar.get(&group.similar).into_iter().flatten();
        group.like = same.filter(|id| **id != group.id).cloned().collect();
    }
}

#[cfg(test)]
mod tests;
