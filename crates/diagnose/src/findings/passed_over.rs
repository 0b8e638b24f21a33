//! Tasks that could run and are never picked, while others take turns on their CPU.
//!
//! Nobody keeps the CPU then, so that whoever looks for one who does finds nothing: the scheduler itself passes them over, or may not pick
//! them. Of a fair task a minute shows that, for shares differ; of a real-time one that fair tasks are passed the CPU for seconds, for
//! real-time throttling lasts a part of a period, of a second mostly. Tasks of a cgroup that has used up its quota (`cpu.max`) are in no queue
//! that a CPU looks at until the next period begins.
//!
//! Control: a task of `SCHED_IDLE`; one that a finding names already, or that waits for a CPU of which one does; a budget of `SCHED_DEADLINE`.

use std::collections::{BTreeMap, HashMap, HashSet};

use vmcore_kernel::{Cpu, Policy, Task};
use vmcore_memory::VirtAddr;

use super::Context;
use super::idle::may_be_forced;
use crate::clock::soft_lockup_ns;
use crate::derived::now_ns;
use crate::describe;
use crate::evidence::{decimal, member};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Severity, Value, stoppers};

/// Fair tasks get real-time ones' share for less than this.
const LONG_NS: u64 = 5_000_000_000;
/// Of fair tasks so many times what kernel code may keep a CPU for.
const TIMES: u64 = 3;

/// Why a task does not run though it could.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Passed {
    /// Fair tasks run instead of a real-time one.
    RealTime,
    /// Its cgroup has no bandwidth left.
    Throttled,
    /// Nothing says why.
    Fair,
}

/// One finding for each CPU and reason; `known` are those of all others.
pub(super) fn findings(context: &Context<'_>, known: &[Finding]) -> Vec<Finding> {
    let facts = context.facts;
    let mut passed: BTreeMap<(u32, Passed), Vec<(&Task, u64)>> = BTreeMap::new();
    let named: HashSet<VirtAddr> = known.iter().flat_map(|finding| &finding.tasks).copied().collect();
    let mut explained: HashMap<u32, bool> = HashMap::new();
    for task in facts.snapshot.tasks.iter().filter(|task| task.waits_for_cpu()) {
        let Some(cpu) = facts.snapshot.cpu(task.cpu) else { continue };
        let passed_over = passed_over(facts, cpu, task).filter(|_| !named.contains(&task.address));
        let Some((why, waited)) = passed_over else { continue };
        if !*explained.entry(cpu.cpu).or_insert_with(|| is_explained(context, known, cpu)) {
            passed.entry((cpu.cpu, why)).or_default().push((task, waited));
        }
    }
    passed.into_iter().map(|((cpu, why), tasks)| finding(context, cpu, why, tasks)).collect()
}

/// Whether it is known already what keeps a CPU from those that wait for it.
fn is_explained(context: &Context<'_>, known: &[Finding], cpu: &Cpu) -> bool {
    let facts = context.facts;
    context.explained.contains(&cpu.cpu)
        || facts.snapshot.current(cpu).is_some_and(|current| is_blamed(known, current))
        || stoppers::waits_for_another(facts, cpu.cpu)
        // Nor is what another CPU's stopper waits for told twice.
        || facts.snapshot.cpus.iter().any(|other| stoppers::waits_for(facts, other.cpu) == Some(cpu.cpu))
}

/// Whether a finding of what lasts is about this task.
fn is_blamed(known: &[Finding], current: &Task) -> bool {
    let lasts = known.iter().filter(|finding| finding.severity == Severity::Critical);
    lasts.into_iter().any(|finding| finding.tasks.contains(&current.address))
}

fn passed_over(facts: &Facts<'_>, cpu: &Cpu, task: &Task) -> Option<(Passed, u64)> {
    const LEFT_OUT: [Policy; 2] = [Policy::IDLE, Policy::DEADLINE];
    let queue = cpu.run_queue.as_ref().filter(|queue| !queue.is_out_of_service())?;
    let counters = facts.state.scheduler.task(task.address);
    if LEFT_OUT.contains(&task.policy) || counters.held_back_queue.is_some() {
        return None;
    }
    // The clock of an idle CPU stands still.
    let by_machine = || now_ns(facts)?.checked_sub(task.last_queued_ns.filter(|&queued| queued != 0)?);
    let waited = if queue.current == queue.idle { by_machine()? } else { facts.waiting_ns(task)? };
    let current = facts.snapshot.current(cpu)?;
    // What waits for an idle CPU is another finding, where it may run there.
    let runs_fair = queue.current != queue.idle && !current.is_above_fair();
    let long = soft_lockup_ns(facts).saturating_mul(TIMES);
    match counters.throttled_queue {
        Some(_) => (waited >= long).then_some((Passed::Throttled, waited)),
        None if !runs_fair => None,
        // One whose priority is borrowed was queued as a fair one.
        None if task.is_above_fair() && task.policy.is_real_time() => {
            (waited >= LONG_NS).then_some((Passed::RealTime, waited))
        }
        None => (waited >= long).then_some((Passed::Fair, waited)),
    }
}

fn finding(context: &Context<'_>, cpu: u32, why: Passed, mut tasks: Vec<(&Task, u64)>) -> Finding {
    let Context { facts, reader, .. } = *context;
    tasks.sort_by_key(|(task, waited)| (std::cmp::Reverse(*waited), task.pid));
    let longest = tasks.first().map(|(_, waited)| *waited).unwrap_or_default();
    let named = describe::pids(tasks.iter().map(|(task, _)| *task));
    let longest = seconds(longest);
    let may_be_forced = facts.snapshot.cpu(cpu).is_some_and(|cpu| may_be_forced(facts, cpu, &tasks));
    let (confidence, summary) = match why {
        Passed::RealTime => (
            if may_be_forced { Confidence::Possible } else { Confidence::Probable },
            format!(
                "CPU {cpu} runs fair tasks, and passes over real-time ones that could run, for up to {longest}: {named}"
            ),
        ),
        Passed::Throttled => (
            Confidence::Possible,
            format!(
                "on CPU {cpu}, these could run and are throttled, for up to {longest}: their cgroup has used up its quota (cpu.max), and \
                 gets no new one or next to nothing of it: {named}"
            ),
        ),
        Passed::Fair => (
            Confidence::Possible,
            format!(
                "others take turns on CPU {cpu}, and these could run and are never picked, for up to {longest}; their share may be small: \
                 {named}"
            ),
        ),
    };
    // They may be in the livelock.
    let confidence = if context.livelock >= Confidence::Possible { Confidence::Possible } else { confidence };
    let shown = tasks.iter().take(describe::MAX_NAMED).map(|(task, waited)| {
        let meaning = format!("pid {} waits in the run queue of CPU {cpu} for {}", task.pid, seconds(*waited));
        let queued = decimal(task.last_queued_ns.unwrap_or_default());
        member(reader, task.address, ("task_struct", "sched_info.last_queued"), queued, meaning)
    });
    let throttled = tasks.iter().take(describe::MAX_NAMED).filter_map(|(task, _)| {
        let queue = facts.state.scheduler.task(task.address).throttled_queue?;
        let meaning = format!("the run queue of pid {}'s cgroup, which is throttled on CPU {cpu}", task.pid);
        Some(member(reader, task.address, ("task_struct", "se.cfs_rq"), Value::Hex(queue.get()), meaning))
    });
    let evidence = shown.chain(throttled).collect();
    Finding::new(Issue::Starvation, confidence, summary, evidence).about(tasks.iter().map(|(task, _)| task.address))
}
