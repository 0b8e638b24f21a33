//! The second time through all rows: what is shown of them.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::census::{Counted, Rank};
use super::{Affected, Extent, Group, Pile};
use crate::confidence::Confidence;
use crate::row::Row;

const DAY: i64 = 86400;
/// Days of which crashes are counted: the last of them.
const DAYS: usize = 4096;

/// What is put together while rows go by.
pub(super) struct Gather {
    counted: Counted,
    extent: Extent,
    pile: Pile,
    at: u32,
    /// By signature.
    groups: HashMap<String, Group>,
    newest: BinaryHeap<Newest>,
    /// What dumps of each kernel say of each known bug, from its code.
    told: BTreeMap<(String, String), bool>,
    releases: BTreeSet<String>,
    /// Kernels that have crashed of each known bug.
    crashed: BTreeMap<String, BTreeSet<String>>,
}

impl Gather {
    pub(super) fn new(counted: Counted, extent: Extent) -> Self {
        Self {
            extent,
            pile: Pile { left_out: counted.left_out, ..Pile::default() },
            counted,
            at: 0,
            groups: HashMap::new(),
            newest: BinaryHeap::new(),
            told: BTreeMap::new(),
            releases: BTreeSet::new(),
            crashed: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, row: Row) {
        let rank = Rank::of(&row, self.at);
        let is_duplicate = self.counted.is_duplicate(self.at);
        self.at = self.at.saturating_add(1);
        self.count(&row, rank.confidence, is_duplicate);
        let is_crash = !is_duplicate && !row.is_missing();
        self.add_kernel(&row, rank.confidence);
        if self.counted.shown.contains_key(&row.signature.exact) {
            let group = match self.groups.get_mut(&row.signature.exact) {
                Some(group) => group,
                None => self.groups.entry(row.signature.exact.clone()).or_insert_with(|| Group::of(&row)),
            };
            if is_duplicate { group.add_duplicate(rank, &row) } else { group.add(rank, &row) }
        } else if is_crash {
            self.pile.left_out.crashes += 1;
        }
        self.keep_newest(row);
    }

    fn count(&mut self, row: &Row, confidence: Confidence, is_duplicate: bool) {
        let pile = &mut self.pile;
        pile.rows += 1;
        *pile.confidences.entry(confidence).or_default() += 1;
        if let Some(failure) = &row.failure {
            *pile.failures.entry(failure.kind.name()).or_default() += 1;
        }
        if is_duplicate {
            pile.duplicates += 1;
            return;
        }
        if row.is_missing() {
            return;
        }
        pile.crashes += 1;
        if let Some(crashed) = row.crashed {
            let (problems, others) = pile.days.entry(crashed.div_euclid(DAY)).or_default();
            *if confidence.is_problem() { problems } else { others } += 1;
            if pile.days.len() > DAYS {
                pile.days.pop_first();
            }
        }
    }

    fn add_kernel(&mut self, row: &Row, confidence: Confidence) {
        let summary = &row.summary;
        let Some(release) = &summary.release else { return };
        if !self.releases.contains(release) {
            self.releases.insert(release.clone());
        }
        let Some(bug) = &summary.known_issue else { return };
        if summary.issue.is_some() && confidence.is_judged() {
            self.crashed.entry(bug.clone()).or_default().insert(release.clone());
        }
        if let Some(has) = summary.in_this_kernel.as_deref().filter(|has| *has != "unknown") {
            *self.told.entry((bug.clone(), release.clone())).or_default() |= has == "yes";
        }
    }

    fn keep_newest(&mut self, row: Row) {
        if self.newest.len() < self.extent.newest {
            self.newest.push(Newest(row));
        } else if let Some(mut oldest) = self.newest.peek_mut()
            && newer_first(&row, &oldest.0).is_lt()
        {
            *oldest = Newest(row);
        }
    }

    pub(super) fn finish(mut self, affected: Affected<'_>) -> Pile {
        self.add_next(affected);
        let Self { mut pile, counted, groups, newest, .. } = self;
        for (signature, group) in groups {
            let judged = counted.shown.get(&signature).copied().unwrap_or(false);
            if judged { pile.groups.push(group) } else { pile.unjudged.push(group) }
        }
        let order = |group: &Group| (Reverse(group.crashes), group.id.clone());
        pile.groups.sort_by_cached_key(|group| (group.is_healthy(), order(group)));
        pile.unjudged.sort_by_cached_key(order);
        add_like(&mut pile.groups);
        pile.newest = newest.into_sorted_vec().into_iter().map(|Newest(row)| row).collect();
        pile
    }

    /// Which other kernels of the pile have the known bug of a group: a machine with one may be the next.
    ///
    /// What a dump of such a kernel itself says, from its code, goes before what `affected` says of its release.
    fn add_next(&mut self, affected: Affected<'_>) {
        let Self { told, releases, crashed, groups, counted, .. } = self;
        let judged = |signature: &String| counted.shown.get(signature).copied().unwrap_or(false);
        for (_, group) in groups.iter().filter(|(signature, _)| judged(signature)) {
            if let Some((_, bug, _)) = &group.bug {
                crashed.entry(bug.clone()).or_default().extend(group.kernels.keys().cloned());
            }
        }
        for (_, group) in groups.iter_mut().filter(|(signature, _)| judged(signature)) {
            let Some((_, bug, issue)) = &group.bug else { continue };
            let told = |release: &String| told.get(&(bug.clone(), release.clone())).copied();
            let has = |release: &String| told(release).or_else(|| affected(issue, release));
            let is_new = |release: &String| !crashed.get(bug).is_some_and(|kernels| kernels.contains(release));
            let next = releases.iter().filter(|release| is_new(release) && has(release) == Some(true));
            group.next = next.cloned().collect();
        }
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

/// A row in a heap with the oldest on top.
struct Newest(Row);

fn newer_first(one: &Row, other: &Row) -> Ordering {
    (Reverse(one.crashed), &one.key).cmp(&(Reverse(other.crashed), &other.key))
}

impl Ord for Newest {
    fn cmp(&self, other: &Self) -> Ordering {
        newer_first(&self.0, &other.0)
    }
}

impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Newest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Newest {}
