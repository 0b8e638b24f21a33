//! Stacks of the same frames put together: four hundred tasks that wait for one lock are one stack.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;

use super::Stack;
use crate::Sanitized;

/// Tasks that are named; others are counted.
const MAX_NAMED: usize = 12;

/// What two stacks must have in common: how they end, what is wrong with them, and where each frame is.
fn key<'s>(
    stack: &'s Stack<'_>,
) -> (&'static str, Option<&'s str>, char, impl Iterator<Item = (u64, Option<&'static str>)>) {
    let frames = stack.frames.iter().map(|frame| (frame.pc.0, frame.segment));
    (stack.end, stack.error, stack.state, frames)
}

fn is_like(one: &Stack<'_>, other: &Stack<'_>) -> bool {
    let (one, other) = (key(one), key(other));
    (one.0, one.1, one.2) == (other.0, other.1, other.2) && one.3.eq(other.3)
}

/// Groups of stacks with the same frames and state, in the order of their first members.
pub(super) fn fold<'s, 'a>(stacks: &'s [Stack<'a>]) -> Vec<Vec<&'s Stack<'a>>> {
    // By a hash, as a key for each of a hundred thousand stacks would take more time and memory than all the rest.
    let mut places: HashMap<u64, Vec<usize>, RandomState> = HashMap::default();
    let mut groups: Vec<Vec<&'s Stack<'a>>> = Vec::new();
    for stack in stacks {
        let mut hasher = places.hasher().build_hasher();
        let (end, error, state, frames) = key(stack);
        (end, error, state).hash(&mut hasher);
        frames.for_each(|frame| frame.hash(&mut hasher));
        let same = places.entry(hasher.finish()).or_default();
        let first_of = |place: &usize| groups.get(*place).and_then(|group| group.first());
        match same.iter().copied().find(|place| first_of(place).is_some_and(|first| is_like(first, stack))) {
            Some(place) => groups.get_mut(place).into_iter().for_each(|group| group.push(stack)),
            None => {
                same.push(groups.len());
                groups.push(vec![stack]);
            }
        }
    }
    groups
}

/// The other members of a group: `and 399 tasks like this: 143 "fstat/1" on CPU 2, ...`.
pub(super) struct Like<'s, 'a>(pub(super) &'s [&'s Stack<'a>]);

impl fmt::Display for Like<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(others) = self;
        let tasks = if others.len() == 1 { "task" } else { "tasks" };
        write!(f, "  and {} {tasks} like this:", others.len())?;
        for (index, stack) in others.iter().take(MAX_NAMED).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {} \"{}\"", stack.pid, Sanitized::new(stack.comm))?;
            if stack.on_cpu {
                write!(f, " on CPU {}", stack.cpu)?;
            }
        }
        match others.len().checked_sub(MAX_NAMED) {
            Some(more @ 1..) => write!(f, ", {more} more"),
            _ => Ok(()),
        }
    }
}
