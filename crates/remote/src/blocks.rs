//! Blocks in memory: each fetched by one thread while the others that want it wait; those not used for longest make room.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::RemoteError;
use crate::read_ahead::ReadAhead;

/// Blocks that are kept: 64 MiB, more than most analyses need.
const KEPT: usize = 256;

pub(crate) type Block = Arc<[u8]>;

#[derive(Debug, Default)]
pub(crate) struct Blocks {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<u64, Slot>,
    /// Counts uses.
    now: u64,
    ahead: ReadAhead,
    /// Set once, for good: one block that cannot be had is the end.
    failure: Option<RemoteError>,
}

#[derive(Debug)]
enum Slot {
    /// A thread is fetching it.
    Coming,
    Here {
        block: Block,
        used: u64,
    },
}

/// The place of a block, for one thread to fill.
pub(crate) enum Claim {
    Here(Block),
    /// These blocks, from the wanted one on, are to be fetched by who asked.
    Fetch(Range<u64>),
}

impl Blocks {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves every slot whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn advise(&self, pass: bool) {
        self.state().ahead.advise(pass);
    }

    /// Block `index`, or the claim to fetch it with some that follow, of `count` in all; at least `least`, where nobody else
    /// has them.
    pub(crate) fn claim(&self, index: u64, least: u64, count: u64) -> Result<Claim, RemoteError> {
        let mut state = self.state();
        loop {
            state.now += 1;
            let now = state.now;
            match state.slots.get_mut(&index) {
                Some(Slot::Here { block, used }) => {
                    *used = now;
                    return Ok(Claim::Here(Arc::clone(block)));
                }
                Some(Slot::Coming) => {}
                None => break,
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let most = index.saturating_add(state.ahead.len(index).max(least)).min(count);
        let taken = |at: &u64| state.slots.contains_key(at);
        let end = (index + 1..most).find(taken).unwrap_or(most.max(index + 1));
        for at in index..end {
            state.slots.insert(at, Slot::Coming);
        }
        Ok(Claim::Fetch(index..end))
    }

    /// Puts what was claimed in its place. What is missing of it, others may claim.
    pub(crate) fn fill(&self, claimed: Range<u64>, blocks: Vec<Block>) {
        let mut state = self.state();
        let mut blocks = blocks.into_iter();
        for at in claimed {
            state.now += 1;
            let used = state.now;
            match blocks.next() {
                Some(block) => state.slots.insert(at, Slot::Here { block, used }),
                None => state.slots.remove(&at),
            };
        }
        state.make_room();
        self.arrived.notify_all();
    }

    /// Gives a claim up, and with it everything.
    pub(crate) fn fail(&self, claimed: Range<u64>, failure: RemoteError) {
        let mut state = self.state();
        for at in claimed {
            state.slots.remove(&at);
        }
        state.failure.get_or_insert(failure);
        self.arrived.notify_all();
    }
}

impl State {
    fn make_room(&mut self) {
        let used = |slot: &Slot| match slot {
            Slot::Here { used, .. } => Some(*used),
            Slot::Coming => None,
        };
        let mut here: Vec<_> = self.slots.iter().filter_map(|(at, slot)| Some((used(slot)?, *at))).collect();
        if here.len() > KEPT {
            here.sort_unstable();
            for (_, at) in here.iter().take(here.len() - KEPT) {
                self.slots.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn block(fill: u8) -> Block {
        vec![fill; 4].into()
    }

    fn fetch(claim: Claim) -> Range<u64> {
        match claim {
            Claim::Fetch(range) => range,
            Claim::Here(_) => panic!("it is here"),
        }
    }

    #[test]
    fn one_thread_fetches_and_all_have_it() {
        let (blocks, fetched) = (Blocks::default(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for index in [3, 9, 3] {
                        match blocks.claim(index, 1, 100).unwrap() {
                            Claim::Here(block) => assert_eq!(block[0], index as u8),
                            Claim::Fetch(range) => {
                                fetched.fetch_add(1, Ordering::Relaxed);
                                thread::sleep(std::time::Duration::from_millis(20));
                                blocks.fill(range.clone(), range.map(|at| block(at as u8)).collect());
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(fetched.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_follows_is_claimed_up_to_what_is_there_or_the_end() {
        let blocks = Blocks::default();
        let range = fetch(blocks.claim(4, 1, 9).unwrap());
        blocks.fill(range, vec![block(4)]);
        assert_eq!(fetch(blocks.claim(1, 8, 9).unwrap()), 1..4);
        assert_eq!(fetch(blocks.claim(5, 8, 9).unwrap()), 5..9);
        blocks.fill(5..9, vec![block(5)]);
        assert_eq!(fetch(blocks.claim(6, 1, 9).unwrap()), 6..7, "of what did not come another may try");
    }

    #[test]
    fn memory_has_a_bound_and_what_is_used_stays() {
        let blocks = Blocks::default();
        for index in 0..2000 {
            let range = fetch(blocks.claim(index * 2, 1, u64::MAX).unwrap());
            blocks.fill(range, vec![block(0)]);
            assert!(matches!(blocks.claim(0, 1, u64::MAX), Ok(Claim::Here(_))));
        }
        assert_eq!(blocks.state().slots.len(), KEPT);
    }

    #[test]
    fn one_failure_is_the_end_for_all_who_wait() {
        let blocks = Blocks::default();
        let failure = RemoteError::Replaced { shown: "x".into() };
        let range = fetch(blocks.claim(7, 1, 100).unwrap());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| blocks.claim(7, 1, 100).map(drop));
            thread::sleep(std::time::Duration::from_millis(20));
            blocks.fail(range, failure.clone());
            assert_eq!(waiting.join().unwrap(), Err(failure.clone()));
        });
        assert_eq!(blocks.claim(50, 1, 100).map(drop), Err(failure));
    }
}
