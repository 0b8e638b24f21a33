//! What is of the machine as a whole: its CPUs, its clock, how it died, its watchdogs.

use vmcore_diagnose::KernelPreemption;
use vmcore_kernel::{Cpu, RunQueue};
use vmcore_memory::Architecture;
use vmcore_synth::MAX_CPUS;
use vmcore_synth::scenario::{Change, GracePeriod, Limits, Missing, Scenario, Word};

use crate::cast::Cast;
use crate::{Source, log, seconds};

/// What a clock may be behind the others and still be called the same.
pub(crate) const SAME_CLOCK_NS: u64 = 100_000_000;
/// A synthetic grace period has one node of this many CPUs.
const CPUS_OF_A_NODE: u32 = 64;

/// A scenario with everything but its tasks and objects.
pub(crate) fn frame(source: &Source<'_, '_>, cast: &Cast) -> Scenario {
    let facts = source.facts;
    let cpus = facts.snapshot.cpus.iter().map(|cpu| cpu.cpu + 1).max().unwrap_or(1).min(MAX_CPUS);
    let panicked = facts.state.panic.message.as_ref().and(facts.state.panic.cpu).filter(|cpu| *cpu < cpus);
    let never_started = |cpu: &&Cpu| match &cpu.run_queue {
        Some(queue) => !cpu.online && panicked.is_none() && queue.is_out_of_service(),
        None => !cpu.online,
    };
    let offline: Vec<_> =
        facts.snapshot.cpus.iter().filter(never_started).map(|cpu| cpu.cpu).filter(|cpu| *cpu < cpus).collect();
    let unseen = facts.snapshot.cpus.iter().filter(|cpu| cpu.is_unseen() && !offline.contains(&cpu.cpu));
    let unseen: Vec<_> = unseen.map(|cpu| cpu.cpu).filter(|cpu| *cpu < cpus).collect();
    Scenario {
        about: about(source),
        cpus,
        uptime: seconds(now_ns(source)),
        page_kib: page_kib(source.reader.page_shift()),
        preempt: facts.preemption.of_kernel_code == KernelPreemption::Yes,
        panicked,
        offline,
        log: log::lines(source),
        grace_period: grace_period(source, cpus),
        limits: limits(source),
        missing: Missing { notes: unseen, stacks: Vec::new(), log: facts.log.is_empty() },
        change: late_clocks(source, cast),
        ..Scenario::default()
    }
}

/// The size of a page where it is another than that of most kernels.
fn page_kib(page_shift: u32) -> Option<u32> {
    1u32.checked_shl(page_shift.checked_sub(10)?).filter(|kib| *kib != 4)
}

fn about(source: &Source<'_, '_>) -> String {
    let issue = source.diagnosis.verdict.issue.map_or("nothing wrong", |issue| issue.id());
    format!("what a dump's verdict comes down to: {issue}")
}

/// The end of a scenario: when the kernel panicked, or the latest that a clock or the log says.
pub(crate) fn now_ns(source: &Source<'_, '_>) -> u64 {
    let facts = source.facts;
    let clocks = facts.snapshot.cpus.iter().filter_map(|cpu| cpu.run_queue.as_ref()).map(|queue| queue.clock_ns);
    let logged = facts.log.iter().map(|line| line.timestamp_ns).max();
    facts.panicked_ns().or_else(|| clocks.max().max(logged)).unwrap_or_default()
}

/// How far a CPU's clock is behind the end.
pub(crate) fn lag_ns(source: &Source<'_, '_>, queue: &RunQueue) -> u64 {
    let lag = now_ns(source).saturating_sub(queue.clock_ns);
    if lag > SAME_CLOCK_NS { lag } else { 0 }
}

/// The clocks of busy CPUs that stopped before the end: their interrupts were off, or nobody ran them.
fn late_clocks(source: &Source<'_, '_>, cast: &Cast) -> Vec<Change> {
    let is_cast = |queue: &&RunQueue| cast.pid(source, queue.current).is_some();
    let queues = source.facts.snapshot.cpus.iter().filter_map(|cpu| cpu.run_queue.as_ref()).filter(is_cast);
    let late = queues.filter(|queue| lag_ns(source, queue) > 0);
    late.map(|queue| Change {
        task: None,
        cpu: Some(queue.cpu),
        variable: None,
        member: vec!["clock".to_owned()],
        value: Word::Number(queue.clock_ns),
    })
    .collect()
}

fn grace_period(source: &Source<'_, '_>, cpus: u32) -> Option<GracePeriod> {
    let period = source.facts.state.grace_period.as_ref().filter(|period| period.running)?;
    let held = period.cpus.iter().map(|held| held.cpu).filter(|cpu| *cpu < cpus.min(CPUS_OF_A_NODE));
    let cpus: Vec<_> = held.collect();
    // A young one is going on at any time, and proves nothing.
    let age = period.age_ns.filter(|age| *age >= 1_000_000_000)?;
    (!cpus.is_empty()).then(|| GracePeriod { seconds: seconds(age), cpus })
}

fn limits(source: &Source<'_, '_>) -> Limits {
    let read = &source.facts.state.limits;
    let seconds = |ns: Option<u64>, default: u32| {
        ns.and_then(|ns| u32::try_from(ns / 1_000_000_000).ok()).filter(|seconds| *seconds != default)
    };
    Limits {
        hung_task: seconds(read.hung_task, 120),
        // A watchdog that is on says more of silence than one that is off.
        watchdog: read.watchdog.and_then(|ns| u32::try_from(ns / 1_000_000_000).ok()),
        rcu_stall: seconds(read.rcu_stall, 21),
    }
}

/// Leaves out the kernels that the scenario cannot be on.
pub(crate) fn limit_kernels(scenario: &mut Scenario, machine: Architecture) {
    let has = |name: &str| scenario.object.iter().any(|object| object.type_name == name);
    let kernels: &[&str] = match (scenario.preempt, has("rw_semaphore") || scenario.grace_period.is_some()) {
        (true, _) if machine == Architecture::Arm64 => &["arm64-6.12"],
        _ if machine == Architecture::Arm64 => &[],
        // Chosen at boot since 5.12.
        (true, _) => &["6.1", "6.12"],
        // The words of 4.19's are others.
        (false, true) => &["5.10", "6.1", "6.12"],
        (false, false) => &[],
    };
    scenario.kernels = kernels.iter().map(|name| (*name).to_owned()).collect();
}
