//! Which splitters are tied to which spinners, without a look at every pair of them: on a large machine there may be
//! hundreds of either.
//!
//! A spinner waits for a page, at an address in the range of one huge page of a process. A splitter has the page's head or such an address on
//! its stack, or belongs to the process. So both are put under these three as keys: two that share one are a pair, and the
//! strongest key that they share is how they are tied. How sure a pair is follows from how much is known of either
//! and from the tie, so that the best pair under a key is that of its best spinner and its best splitter.

use std::collections::{BTreeMap, HashMap};

use vmcore_memory::VirtAddr;

use super::refutations::{all_refuted, any_holds, first_doubt, of_spinner, of_splitter};
use super::spinner::Candidate;
use super::splitter::{Occupants, SplitCandidate, Starved, Tied};
use super::tie::Tie;
use crate::{Confidence, Facts, Reader};

/// How much of what a proof needs is known of one of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// Something speaks against it.
    Doubtful,
    /// Something could not be checked.
    Likely,
    Proven,
}

impl Grade {
    fn of_spinner(spinner: &Candidate) -> Self {
        let checks = of_spinner(spinner);
        if !spinner.waits_on_entry() || spinner.may_have_just_come || any_holds(&checks) {
            return Self::Doubtful;
        }
        let proven = spinner.in_handler && spinner.certainly_spins() && all_refuted(&checks);
        if proven { Self::Proven } else { Self::Likely }
    }

    fn of_splitter(facts: &Facts<'_>, splitter: &SplitCandidate<'_>, starved: &Starved, threshold_ns: u64) -> Self {
        let checks = of_splitter(facts, splitter, threshold_ns);
        if any_holds(&checks) || matches!(starved, Starved::NotExplained(_)) {
            return Self::Doubtful;
        }
        let counted = splitter.counted(facts, threshold_ns).map(|_| true);
        let waits_long = counted.or_else(|| splitter.waiting_ns.map(|waiting| waiting >= threshold_ns));
        let sleep = splitter.sleep.as_ref().is_none_or(|sleep| sleep.is_proven(threshold_ns));
        let proven = all_refuted(&checks) && waits_long == Some(true) && starved.evidence().is_some() && sleep;
        if proven { Self::Proven } else { Self::Likely }
    }
}

/// Spinners and splitters that share a tie.
#[derive(Default)]
struct Group {
    /// Places among the spinners.
    spinners: Vec<usize>,
    /// Places among the tied splitters.
    splitters: Vec<usize>,
    best_splitter: Option<Grade>,
}

/// All ties of a machine.
pub(super) struct Ties<'p> {
    pub(super) splitters: Vec<Tied<'p>>,
    groups: HashMap<Tie, Group>,
    grades: Vec<Grade>,
}

impl<'p> Ties<'p> {
    pub(super) fn new(
        facts: &Facts<'_>,
        spinning: &'p [Candidate],
        splitting: &'p [SplitCandidate<'p>],
        reader: &dyn Reader,
        threshold_ns: u64,
    ) -> Self {
        let mut groups: HashMap<Tie, Group> = HashMap::new();
        for (place, spinner) in spinning.iter().enumerate() {
            for tie in
                [Tie::by_head(spinner), Tie::by_range(spinner, reader), Tie::by_mm(spinner)].into_iter().flatten()
            {
                groups.entry(tie).or_default().spinners.push(place);
            }
        }
        let occupants = Occupants::new(spinning, first_doubt);
        let mut splitters = Vec::new();
        for splitter in splitting {
            let ties = ties_of(splitter, &groups, reader.huge_page_size());
            let Some(&tie) = ties.first() else { continue };
            let starved = splitter.starved(facts, &occupants, reader, threshold_ns);
            let grade = Grade::of_splitter(facts, splitter, &starved, threshold_ns);
            for tie in &ties {
                let Some(group) = groups.get_mut(tie) else { continue };
                group.splitters.push(splitters.len());
                group.best_splitter = group.best_splitter.max(Some(grade));
            }
            splitters.push(Tied { splitter, tie, starved });
        }
        Self { splitters, groups, grades: spinning.iter().map(Grade::of_spinner).collect() }
    }

    /// How sure the best pair is; `None` where there is no pair.
    pub(super) fn confidence(&self) -> Option<Confidence> {
        let best = |(tie, group): (&Tie, &Group)| {
            let splitter = group.best_splitter?;
            let spinner = group.spinners.iter().filter_map(|&place| self.grades.get(place)).max()?;
            Some(match (spinner.min(&splitter), tie.is_strong()) {
                (Grade::Doubtful, _) => Confidence::Possible,
                (Grade::Proven, true) => Confidence::Confirmed,
                (Grade::Likely | Grade::Proven, _) => Confidence::Probable,
            })
        };
        self.groups.iter().filter_map(best).max()
    }

    /// The splitters with this tie, in the order of their stacks.
    pub(super) fn with(&self, tie: Option<Tie>) -> impl Iterator<Item = &Tied<'p>> {
        let places = tie.and_then(|tie| self.groups.get(&tie)).map(|group| group.splitters.as_slice());
        places.unwrap_or_default().iter().filter_map(|&place| self.splitters.get(place))
    }

    /// The place of the first spinner with this tie.
    pub(super) fn first_spinner(&self, tie: Tie) -> Option<usize> {
        self.groups.get(&tie)?.spinners.first().copied()
    }
}

/// The ties of a splitter to any spinner, each once, the strongest first; of equally strong ones that to the first spinner.
/// Huge pages have `huge_page` bytes.
fn ties_of(splitter: &SplitCandidate<'_>, groups: &HashMap<Tie, Group>, huge_page: u64) -> Vec<Tie> {
    let mm = splitter.task.mm.filter(|_| !splitter.moves());
    let by_word = splitter.words().flat_map(|word| {
        let says_page = |tie: &Tie| matches!(tie, Tie::Range(_, start) if splitter.says_page(word, *start, huge_page));
        let known = |tie: &Tie| groups.contains_key(tie);
        let range = mm.map(|mm| Tie::range(mm, word, huge_page)).filter(known).filter(says_page);
        [Some(Tie::Head(VirtAddr::new(word))), range].into_iter().flatten()
    });
    let mut ties = BTreeMap::new();
    for tie in by_word.chain(mm.map(Tie::SameMm)) {
        let first = groups.get(&tie).and_then(|group| group.spinners.first());
        let rank = match tie {
            Tie::Head(_) => 0,
            Tie::Range(..) => 1,
            Tie::SameMm(_) => 2,
        };
        if let Some(first) = first {
            ties.insert((rank, *first, tie), tie);
        }
    }
    ties.into_values().collect()
}
