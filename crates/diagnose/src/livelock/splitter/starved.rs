//! Why a splitter does not run.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use vmcore_kernel::{Cpu, CpuGrants, Task};
use vmcore_memory::VirtAddr;

use super::SplitCandidate;
use crate::evidence;
use crate::granted::Grant;
use crate::livelock::spinner::Candidate;
use crate::time_on_cpu::{keeps_equals_out, time_on_cpu};
use crate::{Evidence, Facts, KernelPreemption, Reader, Value, counted, describe};

/// Why a task that waits for a CPU does not get it.
#[derive(Clone, Debug)]
pub(crate) enum Starved {
    /// The CPU's current task is a spinner, and the kernel does not preempt kernel code.
    BySpinner(Evidence),
    /// The CPU's current task is of a higher class or priority, or of the same one and takes no turns.
    Outranked(Evidence),
    /// Real-time tasks of a higher rank want the CPU, which fair tasks are granted for moments only.
    Granted {
        /// One that wants the CPU.
        displaced: VirtAddr,
        evidence: Evidence,
    },
    /// Its group has used up its bandwidth: it would not run on an idle CPU either.
    Throttled(Evidence),
    /// The CPU's current task is a spinner, but whether the kernel would preempt it is not known.
    PreemptionUnknown,
    /// The CPU's current task may be a spinner: not every link of its own proof is there.
    OccupantUnproven(String),
    /// Its CPU is offline, or it may not run there: then somebody should have moved it.
    NotAllowed(String),
    /// None of these.
    NotExplained(String),
}

impl Starved {
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::BySpinner(evidence)
            | Self::Outranked(evidence)
            | Self::Granted { evidence, .. }
            | Self::Throttled(evidence) => Some(evidence),
            Self::PreemptionUnknown | Self::OccupantUnproven(_) | Self::NotAllowed(_) | Self::NotExplained(_) => None,
        }
    }

    /// What is missing from the explanation why the splitter `pid` does not run.
    pub(crate) fn doubt(&self, pid: i32) -> Option<String> {
        match self {
            Self::BySpinner(_) | Self::Outranked(_) | Self::Granted { .. } | Self::Throttled(_) => None,
            Self::PreemptionUnknown => Some(format!(
                "whether this kernel preempts kernel code is not known, so why pid {pid} does not run is not proven"
            )),
            Self::OccupantUnproven(why) | Self::NotAllowed(why) | Self::NotExplained(why) => {
                Some(format!("why pid {pid} does not run is not known: {why}"))
            }
        }
    }
}

/// What runs on the CPUs that splitters wait for. Looked up once for all splitters of a CPU.
pub(crate) struct Occupants<'c> {
    spinners: HashMap<VirtAddr, &'c Candidate>,
    /// What speaks first against a spinner, behind a colon.
    doubt: fn(&Candidate) -> String,
    long: RefCell<HashMap<u32, bool>>,
}

impl<'c> Occupants<'c> {
    pub(crate) fn new(spinning: &'c [Candidate], doubt: fn(&Candidate) -> String) -> Self {
        let spinners = spinning.iter().map(|spinner| (spinner.spinner.task, spinner)).collect();
        Self { spinners, doubt, long: RefCell::default() }
    }

    /// The spinner that a task is.
    fn spinner(&self, task: VirtAddr) -> Option<&'c Candidate> {
        self.spinners.get(&task).copied()
    }

    /// Whether a CPU's current task has kept it for long.
    fn is_long(&self, facts: &Facts<'_>, cpu: &Cpu, threshold_ns: u64) -> bool {
        let long = || time_on_cpu(facts, cpu).is_some_and(|time| time.ns >= threshold_ns);
        *self.long.borrow_mut().entry(cpu.cpu).or_insert_with(long)
    }
}

impl SplitCandidate<'_> {
    /// Why the task does not run.
    pub(crate) fn starved(
        &self,
        facts: &Facts<'_>,
        occupants: &Occupants<'_>,
        reader: &dyn Reader,
        threshold_ns: u64,
    ) -> Starved {
        if let Some(throttled) = self.throttled(facts, reader) {
            return Starved::Throttled(throttled);
        }
        if let Some(why) = self.may_not_run(facts) {
            return Starved::NotAllowed(why);
        }
        if let Some(moment) = &self.moment {
            return self.passed_over(facts, moment, occupants, reader, threshold_ns);
        }
        let Some((cpu, current)) =
            facts.snapshot.cpu(self.place.cpu).and_then(|cpu| Some((cpu, facts.snapshot.current(cpu)?)))
        else {
            return Starved::NotExplained(format!("what runs on CPU {} is not known", self.place.cpu));
        };
        let rq = cpu.run_queue.as_ref().map(|queue| queue.address).unwrap_or_default();
        let grants = facts.state.scheduler.cpu(cpu.cpu);
        // With proxy execution a CPU runs its current task by the rank of one that waits for it.
        let donor = grants.donor.and_then(|donor| facts.snapshot.task(donor));
        let ranked = donor.unwrap_or(current);
        let rank = rank_over(ranked, self.waiter);
        let occupant = occupants.spinner(current.address);
        let long = occupants.is_long(facts, cpu, threshold_ns)
            || occupant.is_some_and(|occupant| occupant.long_enough == Some(true))
            || self.counted(facts, threshold_ns).is_some();
        let who = format!("pid {} \"{}\"", current.pid, current.comm);
        let evidence = |why: String| {
            let meaning = format!("CPU {}: {why}", cpu.cpu);
            evidence::member(reader, rq, ("rq", "curr"), Value::Hex(current.address.get()), meaning)
        };
        if let Some(rank) = rank.filter(|_| long) {
            let why = format!(
                "{who} runs on its CPU{} and {rank}: {} against {}{}",
                donor.map(|donor| format!(" by the rank of pid {}", donor.pid)).unwrap_or_default(),
                describe::rank(ranked),
                describe::rank(self.waiter),
                granted(&grants)
            );
            return Starved::Outranked(evidence(why));
        }
        if let Some((mine, cores)) = self.may_not_share(facts, &grants).filter(|_| current.pid == 0) {
            return Starved::NotExplained(format!(
                "CPU {} is kept idle by core scheduling: its core runs tasks with cookie {cores:#x}, and this one has {mine:#x}",
                cpu.cpu
            ));
        }
        let Some(occupant) = occupant else {
            // What it was doing can only be told by them: its saved frames are of before.
            if cpu.registers.is_none() {
                let why = "whose registers are not in the dump: that it spins is not proven";
                return Starved::OccupantUnproven(format!("{who} runs on its CPU, {why}"));
            }
            return Starved::NotExplained(format!("{who} runs on its CPU and is not a spinner"));
        };
        match (occupant.certainly_spins(), facts.preemption.of_kernel_code) {
            (_, KernelPreemption::Yes) => {
                Starved::NotExplained(format!("{who} spins on its CPU, but this kernel preempts kernel code"))
            }
            (false, _) => {
                let why = (occupants.doubt)(occupant);
                Starved::OccupantUnproven(format!("{who} runs on its CPU, but that it spins is not proven{why}"))
            }
            (true, KernelPreemption::No) => Starved::BySpinner(evidence(format!(
                "{who} runs on its CPU: a spinner, in kernel code that is not preempted and never offers the CPU"
            ))),
            (true, KernelPreemption::Unknown) => Starved::PreemptionUnknown,
        }
    }

    /// Why it gets no more than moments of a CPU that is in one: who was passed over for that.
    fn passed_over(
        &self,
        facts: &Facts<'_>,
        moment: &Grant<'_>,
        occupants: &Occupants<'_>,
        reader: &dyn Reader,
        threshold_ns: u64,
    ) -> Starved {
        let words = moment.words();
        let Some(cpu) = facts.snapshot.cpu(moment.cpu) else { return Starved::NotExplained(words) };
        if moment.is_core_scheduled {
            return Starved::NotExplained(format!("{words}, which core scheduling may have been for"));
        }
        // One that wants the CPU all the time, if there is one.
        let is_long = |task: &&Task| {
            let spins = occupants.spinner(task.address).is_some_and(Candidate::certainly_spins);
            spins || counted::is_always_busy(facts, cpu, task, threshold_ns)
        };
        let outranks = |task: &&Task| rank_over(task, self.waiter).is_some();
        let above = || moment.displaced.iter().copied().filter(outranks);
        let granted = |displaced: &Task| Starved::Granted {
            displaced: displaced.address,
            evidence: moment.evidence(displaced, reader),
        };
        match (above().find(is_long), above().next()) {
            (Some(displaced), _) => granted(displaced),
            (None, Some(displaced)) if self.counted(facts, threshold_ns).is_some() => granted(displaced),
            (None, Some(_)) => {
                Starved::OccupantUnproven(format!("{words}; for how long that one has kept the CPU is not known"))
            }
            (None, None) => Starved::NotExplained(words),
        }
    }

    /// That its group may not run, whoever has the CPU.
    fn throttled(&self, facts: &Facts<'_>, reader: &dyn Reader) -> Option<Evidence> {
        let counters = facts.state.scheduler.task(self.waiter.address);
        if counters.deadline_throttled == Some(true) {
            let meaning = format!(
                "pid {} has used up its deadline budget, so it is in no queue before the next period",
                self.waiter.pid
            );
            let member = ("task_struct", "dl.dl_throttled");
            return Some(evidence::member(reader, self.waiter.address, member, Value::Decimal(1), meaning));
        }
        let queue = counters.throttled_queue?;
        let meaning = format!(
            "the cgroup of pid {} has used up its CPU bandwidth (cpu.max), so its tasks do not run before the next \
             period",
            self.waiter.pid
        );
        Some(evidence::member(
            reader,
            self.waiter.address,
            ("task_struct", "se.cfs_rq"),
            Value::Hex(queue.get()),
            meaning,
        ))
    }

    /// Why its CPU would not run it, whoever has that CPU.
    fn may_not_run(&self, facts: &Facts<'_>) -> Option<String> {
        let number = self.place.cpu;
        let cpu = facts.snapshot.cpu(number)?;
        // A panic takes CPUs offline that run something; who unplugs one leaves it idle.
        let is_idle = cpu.run_queue.as_ref().is_some_and(|queue| queue.current == queue.idle);
        if !cpu.online && is_idle {
            return Some(format!("CPU {number} is offline, and its tasks should have been moved to others"));
        }
        let allowed = facts.state.scheduler.task(self.waiter.address).allowed?;
        let elsewhere = !allowed.contains(number);
        elsewhere.then(|| format!("it may not run on CPU {number} (cpus_mask), and should have been moved to another"))
    }

    /// Its cookie and its core's, where cores are scheduled as one and the two differ.
    fn may_not_share(&self, facts: &Facts<'_>, grants: &CpuGrants) -> Option<(u64, u64)> {
        let mine = facts.state.scheduler.task(self.waiter.address).core_cookie?;
        grants.core_cookie.filter(|core| *core != mine).map(|core| (mine, core))
    }
}

/// What keeps a task's CPU from one that waits, by their priorities, whatever the preemption model. Deadline tasks, which are all of one
/// priority, go by their deadlines.
fn rank_over(ranked: &Task, waiting: &Task) -> Option<&'static str> {
    match ranked.prio.cmp(&waiting.prio) {
        Ordering::Less if ranked.is_above_fair() => Some("outranks it"),
        Ordering::Equal if keeps_equals_out(ranked) => Some("gives way to nobody of its own priority"),
        _ => None,
    }
}

/// What fair tasks get all the same.
fn granted(grants: &CpuGrants) -> String {
    match grants.fair_server {
        Some(server) if server.runtime_ns > 0 => format!(
            "; the deadline server of the fair class (rq.fair_server) grants such tasks {} ms of every {} ms",
            server.runtime_ns / 1_000_000,
            server.period_ns / 1_000_000
        ),
        _ => String::new(),
    }
}
