//! Who spins and who is starved, by what the scheduler counts over time.
//!
//! Real-time tasks do not keep their CPU without a break: real-time throttling and, since 6.12, the deadline server of the
//! fair class hand fair tasks some milliseconds of every second. So a spinner was scheduled in, and a splitter queued,
//! less than a second before the end, though this has gone on for minutes: the splitter is preempted before it gets
//! anywhere. What adds up shows it: a starved task has waited many times as long as it has run, and a spinner
//! has faulted without end. (On a 7.3 kernel after 32 s: 30.5 s of waiting and 1.1 s of running; 1.5 million faults.)
//!
//! The counters are of a task's whole life. They tell of what goes on now only where they fill it: a spinner has run for most
//! of its life and next to never in user code, a starved task has been runnable for most of its. Of one that has slept, or was
//! busy otherwise, for long before, they cannot tell; then this says nothing.

use vmcore_kernel::{Cpu, Task};

use crate::evidence::{decimal, member};
use crate::text::seconds;
use crate::{Evidence, Facts, Reader};

/// A task that has waited so many times as long as it has run does not get its share: with as many runnable tasks of its
/// own kind on one CPU it would, but then it would not be outranked.
const WAITED_PER_RUN: u64 = 4;
/// Real spinners have 50 000 and more, even in emulation; ordinary tasks have that many in all.
pub(crate) const FAULTS_PER_SECOND: u64 = 1000;
const SECOND_NS: u64 = 1_000_000_000;

/// A task that has been kept from running most of the time.
pub(crate) struct Starved {
    /// How long it has waited in all, in nanoseconds.
    pub(crate) waited_ns: u64,
    run_ns: u64,
}

impl Starved {
    pub(crate) fn words(&self) -> String {
        format!("it has waited {} in all and run {}", seconds(self.waited_ns), seconds(self.run_ns))
    }

    pub(crate) fn evidence(&self, task: &Task, reader: &dyn Reader) -> [Evidence; 2] {
        let fact =
            |path, value, meaning: String| member(reader, task.address, ("task_struct", path), decimal(value), meaning);
        let waited = format!("pid {} has waited for a CPU for {} in all its life", task.pid, seconds(self.waited_ns));
        let run = format!("and has run for {} of it: it got no more than it was granted", seconds(self.run_ns));
        [fact("sched_info.run_delay", self.waited_ns, waited), fact("se.sum_exec_runtime", self.run_ns, run)]
    }
}

/// Whether a task has waited for a CPU many times as long as it has run, and for `threshold_ns` at least, in all its life.
pub(crate) fn starved(facts: &Facts<'_>, task: &Task, threshold_ns: u64) -> Option<Starved> {
    let counters = facts.state.scheduler.task(task.address);
    let (waited_ns, run_ns) = counters.run_delay_ns.zip(counters.run_ns)?;
    let is_starved = waited_ns >= threshold_ns && waited_ns / WAITED_PER_RUN >= run_ns;
    is_starved.then_some(Starved { waited_ns, run_ns })
}

/// The same of one that has been doing nothing but wait and run for most of its life: its waits were not those of other days,
/// with long sleeps in between.
pub(crate) fn starved_ever_since(facts: &Facts<'_>, task: &Task, threshold_ns: u64) -> Option<Starved> {
    let life = life_ns(facts, facts.snapshot.cpu(task.cpu)?, task)?;
    starved(facts, task, threshold_ns).filter(|starved| starved.waited_ns.saturating_add(starved.run_ns) >= life / 2)
}

/// How long ago a task was created.
fn life_ns(facts: &Facts<'_>, cpu: &Cpu, task: &Task) -> Option<u64> {
    let start = facts.state.scheduler.task(task.address).start_ns?;
    cpu.run_queue.as_ref()?.clock_ns.checked_sub(start)
}

/// Whether a real-time task has been running for most of its life, and for `threshold_ns` at least: one that does its work
/// and sleeps has not.
pub(crate) fn is_always_busy(facts: &Facts<'_>, cpu: &Cpu, task: &Task, threshold_ns: u64) -> bool {
    let run = facts.state.scheduler.task(task.address).run_ns;
    let busy = |(run, life): (u64, u64)| run >= threshold_ns && run >= life / 2;
    task.is_above_fair() && run.zip(life_ns(facts, cpu, task)).is_some_and(busy)
}

/// A real-time task that has been faulting all the time that it ran, which is most of its life.
pub(crate) struct Spins {
    faults: u64,
    run_ns: u64,
}

impl Spins {
    pub(crate) fn words(&self) -> String {
        format!("it has run for {} in all and faulted {} times", seconds(self.run_ns), self.faults)
    }

    pub(crate) fn evidence(&self, task: &Task, reader: &dyn Reader) -> [Evidence; 2] {
        let fact =
            |path, value, meaning: String| member(reader, task.address, ("task_struct", path), decimal(value), meaning);
        let each = self.run_ns / self.faults.max(1) / 1000;
        let run = format!("has run for {} in all, with breaks for what fair tasks are granted", seconds(self.run_ns));
        let faults = format!("page faults in that time: one every {each} us");
        [fact("se.sum_exec_runtime", self.run_ns, run), fact("min_flt", self.faults, faults)]
    }
}

/// Whether a real-time task has been faulting again and again for `threshold_ns` at least: one that does its work in user code,
/// or sleeps between, has not, however many faults it has had by and by.
pub(crate) fn spins(facts: &Facts<'_>, task: &Task, threshold_ns: u64) -> Option<Spins> {
    if !is_always_busy(facts, facts.snapshot.cpu(task.cpu)?, task, threshold_ns) {
        return None;
    }
    let run_ns = facts.state.scheduler.task(task.address).run_ns?;
    let (faults, user_ns) = task.accounting.minor_faults.zip(task.accounting.user_ns)?;
    let rate = u128::from(faults) * u128::from(SECOND_NS) / u128::from(run_ns.max(1));
    let spins = rate >= FAULTS_PER_SECOND.into() && user_ns <= run_ns / 10;
    spins.then_some(Spins { faults, run_ns })
}
