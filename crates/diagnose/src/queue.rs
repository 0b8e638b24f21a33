//! Who is in the queue of a lock, and since when.
//!
//! Only a sleep that no signal ends, or only a deadly one, shows that something hangs. Any other may last: the second reader of a
//! terminal sleeps for the mutex of the first (`n_tty_read()` in `drivers/tty/n_tty.c`) until somebody types.

use vmcore_kernel::{Lock, Task};

use crate::clock::off_cpu_ns;
use crate::{Facts, describe};

/// The queue of a lock in which somebody sleeps uninterruptibly.
pub(crate) struct Queue<'f> {
    uninterruptible: Vec<&'f Task>,
    others: Vec<&'f Task>,
    /// Who of them has not run for longest and sleeps uninterruptibly.
    pub(crate) longest: &'f Task,
    /// For how long that one has not run, in nanoseconds.
    pub(crate) waited_ns: u64,
}

impl<'f> Queue<'f> {
    /// `None` where nobody in the queue sleeps uninterruptibly, or for how long is not known.
    pub(crate) fn of(facts: &'f Facts<'_>, lock: &Lock) -> Option<Self> {
        let waiters = lock.waiters.iter().filter_map(|waiter| facts.snapshot.task(waiter.task));
        let (uninterruptible, others): (Vec<_>, Vec<_>) = waiters.partition(|task| task.sleeps_uninterruptibly());
        let waits = uninterruptible.iter().filter_map(|&task| Some((task, off_cpu_ns(facts, task)?)));
        let (longest, waited_ns) = waits.max_by_key(|(task, waited)| (*waited, std::cmp::Reverse(task.pid)))?;
        Some(Self { uninterruptible, others, longest, waited_ns })
    }

    /// All of them.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &'f Task> + '_ {
        self.uninterruptible.iter().chain(&self.others).copied()
    }

    /// Their names: first those that sleep uninterruptibly.
    pub(crate) fn names(&self) -> String {
        let others = match self.others.as_slice() {
            [] => String::new(),
            others => format!("; in its queue, too: {}", describe::pids(others.iter().copied())),
        };
        format!("{}{others}", describe::pids(self.uninterruptible.iter().copied()))
    }
}
