//! Stacks of the same frames put together: four hundred tasks that wait for one lock are one stack.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use rayon::prelude::*;
use vmcore_diagnose::FaultingAddresses;
use vmcore_kernel::{Segment, StackEnd, Task};
use vmcore_memory::VirtAddr;

use super::{Stack, Stacks, Walked};
use crate::Sanitized;

/// Tasks that are named; others are counted.
const MAX_NAMED: usize = 12;

/// What two stacks must have in common: how they end, what is wrong with them, and where each frame is.
fn key<'a>(
    (task, stack): Walked<'a>,
) -> (StackEnd, Option<&'a str>, char, impl Iterator<Item = (VirtAddr, Option<Segment>)> + use<'a>) {
    let frames = stack.frames.iter().map(|frame| (frame.pc, frame.segment));
    (stack.end, stack.error.as_deref(), task.state.letter(), frames)
}

fn is_like(one: Walked<'_>, other: Walked<'_>) -> bool {
    let (one, other) = (key(one), key(other));
    (one.0, one.1, one.2) == (other.0, other.1, other.2) && one.3.eq(other.3)
}

/// Stacks that are alike.
pub(super) struct Group<'a> {
    first: Walked<'a>,
    others: Vec<&'a Task>,
    faults: &'a FaultingAddresses,
}

impl<'a> Group<'a> {
    /// The one that is shown.
    pub(super) fn first(&self) -> Stack<'a> {
        Stack::new(self.first.0, self.first.1, self.faults)
    }

    /// The others, if there are any.
    pub(super) fn others(&self) -> Option<Like<'_, 'a>> {
        (!self.others.is_empty()).then_some(Like(&self.others))
    }
}

/// Groups of stacks with the same frames and state, in the order of their first members.
pub(super) fn fold<'a>(stacks: Stacks<'a>) -> Vec<Group<'a>> {
    // By a hash, as a key for each of a hundred thousand stacks would take more time and memory than all the rest.
    let mut places: HashMap<u64, Vec<usize>, RandomState> = HashMap::default();
    let state = places.hasher().clone();
    let hash = |walked: Walked<'_>| {
        let mut hasher = state.build_hasher();
        let (end, error, state, frames) = key(walked);
        (end.name(), error, state).hash(&mut hasher);
        frames.for_each(|(pc, segment)| (pc, segment.map(Segment::name)).hash(&mut hasher));
        hasher.finish()
    };
    let walked: Vec<_> = stacks.walked().collect();
    let hashes: Vec<_> = walked.par_iter().map(|&walked| hash(walked)).collect();
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (hash, walked) in hashes.into_iter().zip(walked) {
        let same = places.entry(hash).or_default();
        let is_of = |place: &usize| groups.get(*place).is_some_and(|group| is_like(group.first, walked));
        match same.iter().copied().find(is_of) {
            Some(place) => groups.get_mut(place).into_iter().for_each(|group| group.others.push(walked.0)),
            None => {
                same.push(groups.len());
                groups.push(Group { first: walked, others: Vec::new(), faults: stacks.faults });
            }
        }
    }
    groups
}

/// The other members of a group: `and 399 tasks like this: 143 "fstat/1" on CPU 2, ...`.
pub(super) struct Like<'g, 'a>(&'g [&'a Task]);

impl fmt::Display for Like<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(others) = self;
        let tasks = if others.len() == 1 { "task" } else { "tasks" };
        write!(f, "  and {} {tasks} like this:", others.len())?;
        for (index, task) in others.iter().take(MAX_NAMED).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {} \"{}\"", task.pid, Sanitized::new(&task.comm))?;
            if task.on_cpu {
                write!(f, " on CPU {}", task.cpu)?;
            }
        }
        match others.len().checked_sub(MAX_NAMED) {
            Some(more @ 1..) => write!(f, ", {more} more"),
            _ => Ok(()),
        }
    }
}
