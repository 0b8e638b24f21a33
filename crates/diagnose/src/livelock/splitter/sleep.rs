//! A splitter that sleeps for what another task has, which waits for a CPU: then that one is who does not run.

use vmcore_kernel::Task;

use crate::chain::step;
use crate::clock::off_cpu_ns;
use crate::{Evidence, Facts, Reader};

/// Chains of owners are followed so far.
const MAX_CHAIN: usize = 64;

/// Why a splitter sleeps.
pub(crate) struct Sleep {
    /// Each lock or work with who has it, in words: `rw_semaphore 0xffff…, held by pid 205 "forker"`.
    pub(crate) clauses: Vec<String>,
    /// Who has one of them is only likely: of readers the last.
    pub(crate) by_hint: bool,
    /// For how long it has slept; `None` where nothing tells.
    pub(crate) slept_ns: Option<u64>,
    tasks: Vec<vmcore_memory::VirtAddr>,
}

impl Sleep {
    /// The chain from a sleeper to a task that waits for a CPU; `None` where it leads to none.
    pub(crate) fn of<'f>(facts: &'f Facts<'_>, sleeper: &Task) -> Option<(Self, &'f Task)> {
        let mut sleep =
            Self { clauses: Vec::new(), by_hint: false, slept_ns: off_cpu_ns(facts, sleeper), tasks: Vec::new() };
        let mut at = sleeper.address;
        for _ in 0..MAX_CHAIN {
            let step = step(facts, at)?;
            sleep.clauses.push(step.clause(facts));
            sleep.by_hint |= step.by_hint;
            sleep.tasks.push(at);
            let owner = facts.snapshot.task(step.owner)?;
            if owner.waits_for_cpu() {
                return Some((sleep, owner));
            }
            at = owner.address;
        }
        None
    }

    /// That it waits, and for whom.
    pub(crate) fn evidence(&self, facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Evidence> {
        self.tasks.iter().filter_map(|&task| step(facts, task)).flat_map(|step| step.evidence(facts, reader)).collect()
    }

    /// Whether it is proven that it has been waiting for that task for `threshold_ns`.
    pub(crate) fn is_proven(&self, threshold_ns: u64) -> bool {
        !self.by_hint && self.slept_ns.is_some_and(|slept| slept >= threshold_ns)
    }

    /// `sleeps for LOCK, held by pid 2 "a", which waits for …`.
    pub(crate) fn words(&self) -> String {
        format!("sleeps for {}", self.clauses.join(", which waits for "))
    }
}
