//! Stacks of the same frames put together: four hundred tasks that wait for one lock are one stack.

use std::collections::HashMap;
use std::fmt;

use super::Stack;
use crate::Sanitized;

/// Tasks that are named; others are counted.
const MAX_NAMED: usize = 12;

/// What two stacks must have in common: where each frame is, how they end, and what is wrong with them.
type Key<'s> = (Vec<(u64, Option<&'static str>)>, &'static str, Option<&'s str>, char);

/// Groups of stacks with the same frames and state, in the order of their first members.
pub(super) fn fold<'s, 'a>(stacks: &'s [Stack<'a>]) -> Vec<Vec<&'s Stack<'a>>> {
    let mut places: HashMap<Key<'s>, usize> = HashMap::new();
    let mut groups: Vec<Vec<&'s Stack<'a>>> = Vec::new();
    for stack in stacks {
        let frames = stack.frames.iter().map(|frame| (frame.pc.0, frame.segment)).collect();
        let place = *places.entry((frames, stack.end, stack.error, stack.state)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(stack),
            None => groups.push(vec![stack]),
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
