//! Who spins and who is starved, by what the scheduler counts over time.
//!
//! Real-time tasks do not keep their CPU without a break: real-time throttling and, since 6.12, the deadline server of the
//! fair class hand fair tasks some milliseconds of every second. So a spinner was scheduled in, and a splitter queued,
//! less than a second before the end, though this has gone on for minutes: the splitter is preempted before it gets
//! anywhere. What adds up shows it: a starved task has waited many times as long as it has run, and a spinner
//! has faulted without end. (On a 7.3 kernel after 32 s: 30.5 s of waiting and 1.1 s of running; 1.5 million faults.)
//!
//! The counters are of a task's whole life. Where that was long and busy before, they cannot tell; then this says nothing.

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

/// Whether a task has been starved, by its counters, for `threshold_ns` at least.
pub(crate) fn starved(facts: &Facts<'_>, task: &Task, threshold_ns: u64) -> Option<Starved> {
    let counters = facts.state.scheduler.task(task.address);
    let (waited_ns, run_ns) = counters.run_delay_ns.zip(counters.run_ns)?;
    let is_starved = waited_ns >= threshold_ns && waited_ns / WAITED_PER_RUN >= run_ns;
    is_starved.then_some(Starved { waited_ns, run_ns })
}

/// Whether a real-time task has been running for most of its life, and for `threshold_ns` at least: one that does its work
/// and sleeps has not.
pub(crate) fn is_always_busy(facts: &Facts<'_>, cpu: &Cpu, task: &Task, threshold_ns: u64) -> bool {
    let counters = facts.state.scheduler.task(task.address);
    let clock = cpu.run_queue.as_ref().map(|queue| queue.clock_ns);
    let life = clock.zip(counters.start_ns).and_then(|(clock, start)| clock.checked_sub(start));
    let busy = |(run, life): (u64, u64)| run >= threshold_ns && run >= life / 2;
    task.is_above_fair() && counters.run_ns.zip(life).is_some_and(busy)
}

/// A real-time task that has been faulting all the time that it ran.
pub(crate) struct Spins {
    faults: u64,
    run_ns: u64,
}

impl Spins {
    /// How long it has run in all, in nanoseconds.
    pub(crate) const fn run_ns(&self) -> u64 {
        self.run_ns
    }

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

/// Whether a real-time task has been faulting again and again for `threshold_ns` at least.
pub(crate) fn spins(facts: &Facts<'_>, task: &Task, threshold_ns: u64) -> Option<Spins> {
    let counters = facts.state.scheduler.task(task.address);
    let (run_ns, faults) = counters.run_ns.zip(task.accounting.minor_faults)?;
    let rate = u128::from(faults) * u128::from(SECOND_NS) / u128::from(run_ns.max(1));
    let spins = task.is_above_fair() && run_ns >= threshold_ns && rate >= FAULTS_PER_SECOND.into();
    spins.then_some(Spins { faults, run_ns })
}
