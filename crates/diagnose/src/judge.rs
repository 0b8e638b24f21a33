//! The detectors run, and their answers become one verdict.

mod advice;
mod summary;
mod unsettled;

use std::collections::{BTreeMap, HashSet};

use vmcore_console::PanicReason;
use vmcore_kernel::{Cpu, Gap};
use vmcore_memory::{Pfn, VirtAddr};

use crate::findings::{self, Context};
use crate::granted::grant;
use crate::graph::{Edge, EdgeKind, Graph, GraphBuilder, Node};
use crate::idle::{OnIdle, has_idle_task, on_idle};
use crate::interrupts::{Flags, flags_at, interrupts_off};
use crate::livelock::{self, Livelock};
use crate::names::own_frame;
use crate::{
    CheckResult, Confidence, Diagnosis, Facts, Finding, Issue, Options, Reader, Refutation, Severity, Verdict, against,
    cut_stacks, fix, known_issues, shown_stacks,
};
use summary::{beside_livelock, livelock_summary};

/// Judges a machine.
#[must_use]
pub fn judge(facts: &Facts<'_>, reader: &dyn Reader, options: &Options) -> Diagnosis {
    let mut livelock = livelock::detect(facts, reader, options);
    livelock.confidence = upheld(livelock.confidence, &livelock.refutations);
    let page_of = |edge: &Edge| (edge.kind == EdgeKind::LockedBy).then(|| edge.from.clone());
    let mut explained = findings::spinning_long(facts);
    if livelock.confidence >= Confidence::Probable {
        explained.extend(faulting_cpus(facts, &livelock));
    }
    let held = livelock.edges.iter().filter_map(page_of).collect();
    let found = findings::detect(&Context { facts, reader, options, explained, livelock: livelock.confidence, held });
    let verdict = in_question(settled(with_unseen(verdict(&livelock, &found.findings, facts), facts), facts), facts);
    let release = facts.release.as_deref();
    let verdict_is_sure = verdict.confidence >= Confidence::Probable;
    let behind_hog = behind_hog(&livelock, &found.findings).is_some();
    let is_livelock = behind_hog || verdict.issue == Some(Issue::ThpLivelock);
    // Whoever starves the splitter is to be dealt with first; the bug is there all the same.
    let known = if behind_hog { Some(Issue::ThpLivelock) } else { verdict.issue };
    let first = verdict.issue.filter(|_| behind_hog);
    let code = is_livelock.then(|| fix::examine(reader));
    let mut unknown: Vec<_> = cut_stacks::warning(facts).into_iter().collect();
    let livelock_unknown = livelock.unknown.clone();
    unknown.extend(livelock.unknown);
    unknown.extend(facts.blind_spots.iter().cloned());
    if has_no_clock(facts) {
        unknown.push("no CPU takes interrupts, so no clock runs: for how long they have not is not known".to_owned());
    }
    unknown.extend(facts.gaps.iter().map(Gap::to_string));
    unknown.extend(facts.incomplete.iter().map(|why| format!("the dump is incomplete: {why}")));
    let mut graph = GraphBuilder::new();
    graph.extend(found.edges);
    graph.extend(livelock.edges);
    let mut stacks: Vec<_> = facts.running.iter().map(|(_, stack)| stack.clone()).collect();
    stacks.extend(livelock.splitter_stacks);
    let graph = graph.finish();
    stacks.extend(shown_stacks::stacks(facts, &graph, &found.findings, &stacks));
    let refutations = if is_livelock || !verdict_is_sure {
        livelock.refutations
    } else {
        against_others(facts, &found.findings, livelock.refutations, &livelock_unknown)
    };
    let confidence = if verdict_is_sure { upheld(verdict.confidence, &refutations) } else { verdict.confidence };
    let verdict = Verdict { confidence, ..verdict };
    let mut remedy = advice::remedies(first.into_iter().chain(known), &found.findings, release, code.as_ref());
    let message = facts.state.panic.message.as_deref();
    remedy.extend(verdict.issue.and_then(|issue| known_issues::setting_behind(issue, message)));
    Diagnosis {
        spinners: livelock.spinners,
        splitters: livelock.splitters,
        page_frames: page_frames(&graph, reader),
        graph,
        findings: found.findings,
        refutations,
        unknown,
        known_issue: known.and_then(|issue| known_issues::known_issue(issue, release, code.as_ref())),
        remedy,
        stacks,
        verdict,
    }
}

fn page_frames(graph: &Graph, reader: &dyn Reader) -> BTreeMap<VirtAddr, Pfn> {
    let frame = |node: &Node| match node {
        Node::Page { address } => Some((*address, reader.page(*address).ok()?.pfn?)),
        _ => None,
    };
    graph.nodes().iter().filter_map(frame).collect()
}

/// The CPUs that may be spinning in page faults: what they keep from running is for the livelock to explain.
fn faulting_cpus(facts: &Facts<'_>, livelock: &Livelock) -> Vec<u32> {
    let edges = livelock.edges.iter().filter(|edge| edge.kind == EdgeKind::FaultsOn);
    let faulting = edges.filter_map(|edge| match edge.from {
        Node::Task { address, .. } => Some(address),
        _ => None,
    });
    let faulting: HashSet<VirtAddr> = faulting.collect();
    let current = |cpu: &Cpu| {
        let has_cpu = cpu.run_queue.as_ref().is_some_and(|queue| faulting.contains(&queue.current));
        // Who keeps the CPU but for a moment is a real-time hog as well, where it cannot be shown to be in the livelock.
        let stands = livelock.confidence >= Confidence::Probable;
        let lends = || {
            grant(facts, cpu).is_some_and(|grant| grant.displaced.iter().any(|task| faulting.contains(&task.address)))
        };
        has_cpu || stands && lends()
    };
    facts.snapshot.cpus.iter().filter(|cpu| current(cpu)).map(|cpu| cpu.cpu).collect()
}

/// Nothing is proven while a claim against it holds, whatever the detector made of it.
fn upheld(confidence: Confidence, refutations: &[Refutation]) -> Confidence {
    let holds = refutations.iter().any(|refutation| refutation.result == CheckResult::Holds);
    if holds { confidence.min(Confidence::Possible) } else { confidence }
}

/// What would make another verdict false: its own checks, and that it is the livelock after all.
fn against_others(
    facts: &Facts<'_>,
    found: &[Finding],
    livelock: Vec<Refutation>,
    unknown: &[String],
) -> Vec<Refutation> {
    let mut checks = findings::best(facts, found).map(|finding| against::checks(facts, finding)).unwrap_or_default();
    checks.push(is_the_livelock(livelock, unknown));
    checks
}

/// That it is the livelock, with why it is not: the claim about it that fails, else what each CPU does.
fn is_the_livelock(refutations: Vec<Refutation>, unknown: &[String]) -> Refutation {
    let claim = "it is the huge-page livelock".to_owned();
    if let Some(against) = refutations.iter().find(|check| check.result == CheckResult::Holds) {
        let checked = format!("{}: {}", against.claim, against.checked);
        return Refutation { claim, checked, result: CheckResult::Refuted };
    }
    if let Some(why) = unknown.first() {
        return Refutation { claim, checked: why.clone(), result: CheckResult::Unknown };
    }
    /// More CPUs say no more.
    const MAX_CPUS: usize = 4;
    let mut reasons: Vec<String> = Vec::new();
    for reason in refutations.into_iter().map(|check| check.checked) {
        if !reasons.contains(&reason) && reasons.len() < MAX_CPUS {
            reasons.push(reason);
        }
    }
    let checked = format!(
        "no CPU faults again and again on a page that is being split; what its CPUs did: {}",
        reasons.join("; ")
    );
    Refutation { claim, checked, result: CheckResult::Refuted }
}

/// The livelock where it is at least probable; else the finding that says best what stopped the machine; else the
/// livelock where it is possible; else none.
fn verdict(livelock: &Livelock, found: &[Finding], facts: &Facts<'_>) -> Verdict {
    let best = findings::best(facts, found);
    let blind = is_blind(facts, livelock);
    let confidence = livelock.confidence;
    if let Some(cause) = behind_hog(livelock, found) {
        let summary = format!(
            "{}. Behind it is the huge-page livelock, which ends once its splitter gets that CPU: {}",
            capitalized(&cause.summary),
            livelock_summary(livelock)
        );
        return Verdict { issue: Some(cause.issue), confidence: cause.confidence, summary };
    }
    if confidence >= Confidence::Probable {
        if let Some(cause) = best.filter(|best| died_of(best, livelock, facts)) {
            let summary = format!(
                "{}. The machine has the huge-page livelock as well: {}",
                capitalized(&cause.summary),
                livelock_summary(livelock)
            );
            return Verdict { issue: Some(cause.issue), confidence: cause.confidence, summary };
        }
        return Verdict { issue: Some(Issue::ThpLivelock), confidence, summary: livelock_summary(livelock) };
    }
    // What may be ill does not become well because somebody asked for the crash, or because the kernel warned of something else. Nor does what
    // was reported long ago say more of the machine than what may be wrong with it now.
    let says_little =
        |best: &Finding| best.severity == Severity::Info || best.severity == Severity::Warning && best.is_long_ago;
    let doubted = |best: &Finding| says_little(best) && findings::doubtful(found).is_some();
    if let Some(finding) = best.filter(|best| !doubted(best)) {
        let (also, most) = beside_livelock(finding, livelock);
        return match finding.severity {
            // What nobody calls a fault, such as a request to crash, is named, and nothing is wrong.
            Severity::Info => not_ill(finding, blind, confidence),
            _ => Verdict {
                issue: Some(finding.issue),
                confidence: finding.confidence.min(most),
                summary: format!("{}{also}.{}", capitalized(&finding.summary), behind_sleep(finding, found)),
            },
        };
    }
    if let Some(finding) = findings::doubtful(found).filter(|_| confidence < Confidence::Possible) {
        let summary = format!("{}.", capitalized(&finding.summary));
        return Verdict { issue: Some(finding.issue), confidence: Confidence::Possible, summary };
    }
    match confidence {
        Confidence::Possible => {
            Verdict { issue: Some(Issue::ThpLivelock), confidence, summary: livelock_summary(livelock) }
        }
        Confidence::Insufficient => Verdict {
            issue: None,
            confidence,
            summary: "It cannot be told whether a CPU was spinning: what would show it is not in the dump.".to_owned(),
        },
        _ if blind => Verdict {
            issue: None,
            confidence: Confidence::Insufficient,
            summary: "No CPU that could be looked at was spinning in the page-fault path, but not everything that \
                      would show a lockup could be read."
                .to_owned(),
        },
        _ => Verdict {
            issue: None,
            confidence: Confidence::None,
            summary: "No CPU was spinning in the page-fault path, and the kernel reported no lockup.".to_owned(),
        },
    }
}

/// Whether a machine that also has the livelock died of this: it panicked for what this explains, and the livelock does not. A livelock
/// that has lasted as long as any watchdog waits may be behind memory that ran out, or a CPU with interrupts off that waits for
/// one of its tasks.
fn died_of(finding: &Finding, livelock: &Livelock, facts: &Facts<'_>) -> bool {
    let Some(death) = facts.death() else { return false };
    let lasts = || {
        let longest = livelock.spinners.iter().filter_map(|spinner| spinner.kept_ns).max();
        livelock.granted || longest.is_none_or(|longest| longest >= facts.state.limits.soft_lockup_ns())
    };
    let may_follow = match death {
        PanicReason::Hardware | PanicReason::Oops => false,
        PanicReason::OutOfMemory | PanicReason::HardLockup => lasts(),
        // Whatever has its own reason to panic may have it because of the livelock.
        _ => true,
    };
    !may_follow && finding.severity == Severity::Critical && finding.issue.explains(Some(death))
}

/// Whether something that could show a hang was not seen.
fn is_blind(facts: &Facts<'_>, livelock: &Livelock) -> bool {
    let is_lost = facts.incomplete.is_some() && !livelock.unknown.is_empty();
    !facts.blind_spots.is_empty() || is_lost || cut_stacks::warning(facts).is_some() || has_no_clock(facts)
}

/// Whether no CPU takes interrupts, on a machine that did not panic: then no clock runs, and for how long it has been like
/// that nothing tells. Several that are caught so by chance are few. The only one of a machine may be by chance, or in a loop in which its
/// clock stands still with it.
fn has_no_clock(facts: &Facts<'_>) -> bool {
    let busy = |cpu: &&Cpu| cpu.run_queue.as_ref().is_some_and(|queue| !queue.is_out_of_service());
    let cpus: Vec<_> = facts.snapshot.cpus.iter().filter(busy).collect();
    let is_off = |cpu: &&Cpu| {
        let idles = cpu.run_queue.as_ref().is_some_and(|queue| queue.current == queue.idle);
        !idles && interrupts_off(facts, cpu.cpu)
    };
    let has_none = match cpus.as_slice() {
        [only] => is_deaf(facts, only),
        several => !several.is_empty() && several.iter().all(is_off),
    };
    facts.death().is_none() && has_none
}

/// Whether the innermost code of a CPU, but for how it was stopped, has interrupts off and does not idle.
fn is_deaf(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let idles = has_idle_task(cpu) && matches!(on_idle(facts, cpu), OnIdle::Nothing);
    let innermost = facts.running_on(cpu.cpu).map(own_frame).unwrap_or_default();
    !idles && flags_at(facts, cpu.cpu, innermost).is_some_and(Flags::off)
}

/// What may be behind tasks that sleep for too long: a disk that does not complete its requests.
fn behind_sleep(hang: &Finding, found: &[Finding]) -> String {
    let sleeps = matches!(hang.issue, Issue::HungTask | Issue::PageLocked | Issue::LockHeld | Issue::WorkNotDone);
    let is_seen = |finding: &&Finding| {
        finding.issue == Issue::IoError && !finding.is_from_log && finding.confidence >= Confidence::Probable
    };
    let disk = found.iter().filter(|_| sleeps).find(is_seen);
    disk.map(|disk| format!(" Behind it may be that {}.", disk.summary)).unwrap_or_default()
}

/// What a task of a higher rank, which spins for nothing, does to the splitters of a livelock that is there as well.
fn behind_hog<'f>(livelock: &Livelock, found: &'f [Finding]) -> Option<&'f Finding> {
    let hog = livelock.hog.filter(|_| livelock.confidence >= Confidence::Probable)?;
    let about = |finding: &&Finding| finding.issue == Issue::Starvation && finding.tasks.first() == Some(&hog);
    found.iter().filter(about).find(|finding| finding.confidence >= Confidence::Probable)
}

/// A machine is not well where nobody saw what one of its CPUs was doing: that its task had just been given it shows no
/// task that keeps it, and not that none is in a loop. Nor is a CPU idle because its current task is the idle one: an
/// interrupt that never ends runs on top of that task (`irq_enter` does not switch), and what a CPU is asked to call by
/// another, the idle task calls itself (`flush_smp_call_function_queue`). A CPU that idles saves its registers when it
/// is stopped; one that did not may have been unable to.
fn with_unseen(verdict: Verdict, facts: &Facts<'_>) -> Verdict {
    let cpus = &facts.snapshot.cpus;
    let idles = |cpu: &Cpu| cpu.run_queue.as_ref().is_some_and(|queue| queue.current == queue.idle);
    let unseen: Vec<_> = cpus.iter().filter(|cpu| cpu.is_unseen()).collect();
    if verdict.confidence != Confidence::None || unseen.is_empty() {
        return verdict;
    }
    let rests = if unseen.iter().all(|cpu| idles(cpu)) {
        "by their run queues they were idle, which says nothing of an interrupt that may have kept them"
    } else {
        "that their tasks did not keep them is told by the scheduler's times alone"
    };
    let unseen = unseen.len();
    let summary = format!(
        "{} The dump has no registers of {unseen} of {} CPUs: {rests}, and what they were doing is not known.",
        verdict.summary,
        cpus.len()
    );
    Verdict { summary, confidence: Confidence::Insufficient, ..verdict }
}

/// Nor is one well that is [between two states](unsettled), or in which nobody gets on.
fn settled(verdict: Verdict, facts: &Facts<'_>) -> Verdict {
    match unsettled::why(facts).filter(|_| verdict.confidence == Confidence::None) {
        Some(why) => {
            let summary = format!("{} But {why}.", verdict.summary);
            Verdict { summary, confidence: Confidence::Insufficient, ..verdict }
        }
        None => verdict,
    }
}

/// Where every byte of the dump may be wrong, nothing is confirmed, nor is anything well.
fn in_question(verdict: Verdict, facts: &Facts<'_>) -> Verdict {
    let Some(damage) = &facts.snapshot.damage else { return verdict };
    let confidence = match verdict.confidence {
        Confidence::Confirmed => Confidence::Probable,
        Confidence::None => Confidence::Insufficient,
        other => other,
    };
    Verdict { confidence, summary: format!("{} But {damage}.", verdict.summary), ..verdict }
}

/// The verdict where all that is known is that somebody asked for the crash, or that the kernel warned of itself.
fn not_ill(finding: &Finding, blind: bool, livelock: Confidence) -> Verdict {
    let (confidence, rest) = match (livelock, blind) {
        (Confidence::Possible | Confidence::Insufficient, _) => {
            (Confidence::Insufficient, "it cannot be told whether a CPU was spinning")
        }
        (_, true) => (Confidence::Insufficient, "not everything that would show a hang could be read"),
        _ => (Confidence::None, "nothing else was found to be wrong"),
    };
    let summary = format!("{}; {rest}.", capitalized(&finding.summary));
    Verdict { issue: Some(finding.issue), confidence, summary }
}

/// A sentence begins with a capital.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_verdict_is_sure_while_a_claim_against_it_holds() {
        let refutation =
            |result| Refutation { claim: "the page is unlocked".to_owned(), checked: "flags 0".to_owned(), result };
        let all = [Confidence::None, Confidence::Insufficient, Confidence::Possible, Confidence::Probable];
        let all = all.into_iter().chain([Confidence::Confirmed]);
        for confidence in all {
            let holds = [refutation(CheckResult::Refuted), refutation(CheckResult::Holds)];
            assert_eq!(upheld(confidence, &holds), confidence.min(Confidence::Possible));
            let stands = [refutation(CheckResult::Refuted), refutation(CheckResult::Unknown)];
            assert_eq!(upheld(confidence, &stands), confidence);
        }
    }

    #[test]
    fn what_speaks_against_the_livelock_speaks_for_another_verdict() {
        let check = |result| Refutation { claim: "CPU 0 spins".to_owned(), checked: "idle".to_owned(), result };
        let result = |checks: Vec<Refutation>, unknown: &[String]| is_the_livelock(checks, unknown).result;
        assert_eq!(result(vec![check(CheckResult::Holds)], &[]), CheckResult::Refuted);
        assert_eq!(result(vec![check(CheckResult::Refuted)], &[]), CheckResult::Refuted);
        assert_eq!(
            result(vec![check(CheckResult::Refuted)], &["CPU 1: no registers".to_owned()]),
            CheckResult::Unknown
        );
    }
}
