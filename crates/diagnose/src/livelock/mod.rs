//! The detector that this tool exists for.
//!
//! CPUs spin in the page-fault path on an entry that says "wait for this page", while the task that would put the page
//! back, because it is splitting it, is runnable and gets no CPU. The proof has seven links, and a verdict is as sure as
//! its strongest pair of spinner and splitter:
//!
//! 1. a CPU whose task took a page fault in kernel mode and has not been scheduled out for longer than the threshold;
//! 2. the user address that faults;
//! 3. the page-table entry there: a migration entry, or one in the middle of a split;
//! 4. the page behind it, and that its head is locked;
//! 5. a task with a split on its stack that is runnable, queued, not running, has been waiting for longer than the
//!    threshold, and is tied to that page;
//! 6. why it does not run: a spinner has its CPU and is not preempted, or something outranks it;
//! 7. that the spinner has been faulting all the time and not only now: its faults and its times are counted.
//!
//! A link that cannot be checked makes the pair probable at most; one that something contradicts makes it possible, and the
//! contradiction is named.

mod edges;
mod faulting;
mod queued;
mod refutations;
mod spinner;
mod splitter;
mod tie;
mod ties;
mod times;
mod waited_page;

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};

use vmcore_kernel::{Cpu, RunQueue, Stack, Task};
use vmcore_memory::VirtAddr;

use crate::derived::runs_ahead;
use crate::granted::grant;
use crate::graph::Edge;
use crate::interrupts::{flags, interrupts_off};
use crate::names::split_function;
use crate::{CheckResult, Confidence, Facts, Options, Reader, Refutation, Spinner, Splitter, stoppers};
use edges::edges;
use refutations::{any_holds, of_spinner, verdict_refutations};
use spinner::{Assessment, Candidate, assess, assess_displaced, lags};
use splitter::{Sleep, Starved, Tied, candidates, granted_candidates, sleeping_candidates};
use ties::Ties;

/// What the detector came to.
pub(crate) struct Livelock {
    pub(crate) confidence: Confidence,
    pub(crate) spinners: Vec<Spinner>,
    pub(crate) splitters: Vec<Splitter>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) refutations: Vec<Refutation>,
    pub(crate) unknown: Vec<String>,
    pub(crate) splitter_stacks: Vec<Stack>,
    /// A task that does not spin, and has the CPU that every splitter waits for by its rank: it is the cause, and the
    /// livelock goes on for as long as it does not let them.
    pub(crate) hog: Option<VirtAddr>,
    /// What splitters sleep for, by the addresses of their tasks, and which of those waits for a CPU.
    pub(crate) sleeps: HashMap<VirtAddr, (String, i32)>,
    /// Spinners and splitters have breaks and grants, and only counters show for how long it has been going on.
    pub(crate) granted: bool,
}

/// Runs the detector.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader, options: &Options) -> Livelock {
    let threshold_ns = options.spin_threshold_ns;
    let mut spinning = Vec::new();
    let mut unknown = Vec::new();
    let mut refutations = Vec::new();
    for cpu in &facts.snapshot.cpus {
        let displaced = displaced(facts, cpu, reader, threshold_ns);
        let is_lent = displaced.iter().any(|one| matches!(one, Assessment::Candidate(_)));
        match assess(facts, cpu, reader, threshold_ns) {
            Assessment::Candidate(candidate) => spinning.push(*candidate),
            Assessment::Unknown(why) => unknown.push(why),
            // That its current task has only just come says nothing of who lends it the CPU.
            Assessment::No(_) if is_lent => {}
            Assessment::No(why) => refutations.push(Refutation {
                claim: format!("CPU {} spins in the page-fault path", cpu.cpu),
                checked: why,
                result: CheckResult::Refuted,
            }),
        }
        for assessment in displaced {
            match assessment {
                Assessment::Candidate(candidate) => spinning.push(*candidate),
                Assessment::Unknown(why) => unknown.push(why),
                Assessment::No(_) => {}
            }
        }
    }
    unknown.extend(spinning.iter().flat_map(Candidate::doubts));
    let mut splitting = candidates(facts, &facts.waiting, reader);
    splitting.extend(granted_candidates(facts, reader));
    splitting.extend(sleeping_candidates(facts, reader));
    let ties = Ties::new(facts, &spinning, &splitting, reader, threshold_ns);
    let confidence = overall(&ties, &spinning, &unknown);
    unknown.extend(of_clocks(facts, &unknown, threshold_ns));
    if spinning.is_empty() {
        return Livelock {
            confidence,
            spinners: Vec::new(),
            splitters: Vec::new(),
            edges: Vec::new(),
            refutations,
            unknown,
            splitter_stacks: Vec::new(),
            hog: None,
            sleeps: HashMap::new(),
            granted: false,
        };
    }
    refutations.extend(verdict_refutations(facts, &spinning, &ties.splitters, confidence, threshold_ns));
    let no_splitter = LazyCell::new(|| no_splitter(facts, reader));
    if ties.splitters.is_empty() {
        unknown.push(no_splitter.clone());
    }
    unknown.extend(ties.splitters.iter().filter_map(|tied| tied.starved.doubt(tied.splitter.waiter.pid)));
    unknown.extend(doubts_of_splitters(&ties));
    let splitters = splitters(facts, &ties, &spinning, reader, threshold_ns);
    unknown.extend(splitters.iter().filter(|splitter| !splitter.is_tied).map(|splitter| {
        format!(
            "which page pid {} splits is not known: nothing on its stack ties it to the one that a spinner waits for",
            splitter.pid
        )
    }));
    Livelock {
        confidence,
        edges: edges(facts, reader, &spinning, &ties, &|| no_splitter.clone(), threshold_ns),
        splitters,
        splitter_stacks: splitter_stacks(facts, &ties),
        hog: hog(facts, &ties, &spinning),
        sleeps: ties.splitters.iter().filter_map(sleep_of).collect(),
        granted: ties.splitters.iter().any(|tied| {
            let has_breaks = || tied.splitter.counted(facts, threshold_ns).is_some() || tied.splitter.moment.is_some();
            tied.splitter.waits_shortly(threshold_ns) && has_breaks()
        }),
        // The others are among what is unknown.
        spinners: spinning.iter().filter(|one| is_in(one, confidence)).map(|one| one.spinner.clone()).collect(),
        refutations,
        unknown,
    }
}

/// Assesses the real-time tasks that are off a CPU for a moment which fair ones are granted there.
fn displaced(facts: &Facts<'_>, cpu: &Cpu, reader: &dyn Reader, threshold_ns: u64) -> Vec<Assessment> {
    let Some(grant) = grant(facts, cpu) else { return Vec::new() };
    let assess = |task: &&Task| assess_displaced(facts, cpu, (&grant, task), reader, threshold_ns);
    grant.displaced.iter().map(assess).collect()
}

/// Whether a candidate is part of a verdict of this confidence: of one that stands, only if nothing speaks against it.
fn is_in(candidate: &Candidate, confidence: Confidence) -> bool {
    candidate.waits_on_entry()
        && !candidate.may_have_just_come
        && (confidence < Confidence::Probable || !any_holds(&of_spinner(candidate)))
}

fn overall(ties: &Ties<'_>, spinning: &[Candidate], unknown: &[String]) -> Confidence {
    match ties.confidence() {
        Some(confidence) => confidence,
        None if spinning.iter().any(|one| one.waits_on_entry() && !one.may_have_just_come) => Confidence::Possible,
        None if spinning.is_empty() && unknown.is_empty() => Confidence::None,
        None => Confidence::Insufficient,
    }
}

/// The tied splitters, with what ties each to a head and why it does not run.
fn splitters(
    facts: &Facts<'_>,
    ties: &Ties<'_>,
    spinning: &[Candidate],
    reader: &dyn Reader,
    threshold_ns: u64,
) -> Vec<Splitter> {
    let report = |tied: &Tied<'_>| {
        let mut evidence: Vec<_> = tied.splitter.tie_evidence(tied.tie, reader).into_iter().collect();
        evidence.extend(tied.starved.evidence().cloned());
        if let Some(counted) = tied.splitter.counted(facts, threshold_ns) {
            evidence.extend(counted.evidence(tied.splitter.waiter, reader));
        }
        evidence.push(facts.preemption.evidence.clone());
        let is_tied = tied.tie.is_strong();
        let spinner = ties.first_spinner(tied.tie).and_then(|place| spinning.get(place));
        let head_page = spinner.and_then(|spinner| spinner.spinner.head_page).filter(|_| is_tied);
        tied.splitter.report(facts, reader, (is_tied, head_page), evidence)
    };
    let mut splitters: Vec<_> = ties.splitters.iter().map(report).collect();
    splitters.sort_by_key(|splitter| splitter.pid);
    splitters
}

fn sleep_of(tied: &Tied<'_>) -> Option<(VirtAddr, (String, i32))> {
    let splitter = tied.splitter;
    Some((splitter.task.address, (splitter.sleep.as_ref().map(Sleep::words)?, splitter.waiter.pid)))
}

fn splitter_stacks(facts: &Facts<'_>, ties: &Ties<'_>) -> Vec<Stack> {
    let tasks: HashSet<_> = ties.splitters.iter().map(|tied| tied.splitter.task.address).collect();
    let is_splitter = |stack: &&Stack| facts.task(stack).is_some_and(|task| tasks.contains(&task.address));
    facts.waiting.iter().chain(&facts.blocked).filter(is_splitter).cloned().collect()
}

/// Who keeps the CPU of all splitters by its rank and spins for nothing itself.
fn hog(facts: &Facts<'_>, ties: &Ties<'_>, spinning: &[Candidate]) -> Option<VirtAddr> {
    let spinning: HashSet<_> = spinning.iter().map(|spinner| spinner.spinner.task).collect();
    let hog_of = |tied: &Tied<'_>| {
        if let Starved::Granted { displaced, .. } = tied.starved {
            return Some(displaced).filter(|task| !spinning.contains(task));
        }
        let cpu = facts.snapshot.cpu(tied.splitter.place.cpu)?;
        let current = facts.snapshot.current(cpu)?;
        let spins = spinning.contains(&current.address);
        let is_victim = spins || stoppers::waits_for_another(facts, cpu.cpu);
        (matches!(tied.starved, Starved::Outranked(_)) && !is_victim).then_some(current.address)
    };
    let hogs: Option<Vec<_>> = ties.splitters.iter().map(hog_of).collect();
    hogs?.into_iter().next()
}

/// CPUs whose clock cannot be right, and busy ones without ticks though their interrupts were on, where that was not said.
fn of_clocks(facts: &Facts<'_>, said: &[String], threshold_ns: u64) -> Vec<String> {
    let busy = facts.snapshot.cpus.iter().filter(|cpu| {
        let runs = |queue: &RunQueue| queue.current != queue.idle;
        let ticks = flags(facts, cpu.cpu).is_some() && !interrupts_off(facts, cpu.cpu);
        cpu.run_queue.as_ref().is_some_and(runs) && ticks
    });
    let stolen = busy.filter_map(|cpu| Some(format!("CPU {}: {}", cpu.cpu, lags(facts, cpu, threshold_ns)?)));
    let lines = facts.snapshot.cpus.iter().filter_map(|cpu| runs_ahead(facts, cpu)).chain(stolen);
    lines.filter(|line| !said.iter().any(|known| known.starts_with(line))).collect()
}

/// What is contradictory about the splitters, each once.
fn doubts_of_splitters(ties: &Ties<'_>) -> Vec<String> {
    let (mut doubts, mut known) = (Vec::new(), HashSet::new());
    for splitter in ties.splitters.iter().map(|tied| tied.splitter) {
        let place = &splitter.place;
        let queue =
            (place.result != CheckResult::Refuted).then(|| format!("pid {}: {}", splitter.waiter.pid, place.checked));
        for doubt in splitter.contradictions.iter().cloned().chain(queue) {
            if known.insert(doubt.clone()) {
                doubts.push(doubt);
            }
        }
    }
    doubts
}

/// Where no waiting task splits the page: whether a running or a sleeping one does.
fn no_splitter(facts: &Facts<'_>, reader: &dyn Reader) -> String {
    let runs =
        facts.running.iter().find_map(|(cpu, stack)| Some((cpu, facts.task(stack)?, split_function(&stack.frames)?)));
    if let Some((cpu, task, (_, function))) = runs {
        return format!(
            "no task that waits for a CPU is splitting the page; pid {} is in {function} and runs on CPU {cpu}, so it \
             is not starved",
            task.pid
        );
    }
    let blocked = candidates(facts, &facts.blocked, reader);
    match blocked.iter().find(|sleeper| !sleeper.moves()) {
        Some(sleeper) => format!(
            "no runnable task is splitting the page; pid {} is in {} but sleeps in state {}, which is another problem",
            sleeper.task.pid,
            sleeper.function,
            sleeper.task.state.letter()
        ),
        None => "no task that is splitting the page was found, so who would put it back is not known".to_owned(),
    }
}
