//! Machines that have the livelock and died of something else, and what a livelock that is only possible leaves to others.

mod support;

use support::*;
use vmcore_diagnose::{Confidence, Diagnosis, Issue, LogLine};
use vmcore_kernel::Policy;

const SECOND: u64 = 1_000_000_000;

fn verdict(diagnosis: &Diagnosis) -> (Option<Issue>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

/// The livelock, and a panic after these lines; the spinners have kept their CPUs for so long.
fn panics(lines: &[&str], reason: &str, seconds: u64) -> Diagnosis {
    let mut world = World::livelock();
    let panic = format!("Kernel panic - not syncing: {reason}");
    for text in lines.iter().copied().chain([panic.as_str()]) {
        world.log.push(LogLine { timestamp_ns: CLOCK, caller: None, text: text.to_owned() });
    }
    world.state.panic.message = Some(panic.clone());
    for pid in SPINNER {
        world.task(pid).last_arrival_ns = Some(CLOCK - seconds * SECOND);
    }
    world.judge()
}

#[test]
fn what_the_kernel_panicked_for_is_the_verdict() {
    let mce = ["mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 4: be00000000800400"];
    let diagnosis = panics(&mce, "Fatal machine check", 25);
    assert_eq!(verdict(&diagnosis).0, Some(Issue::HardwareError));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("The machine has the huge-page livelock as well: 2 CPUs have been spinning"), "{summary}");
    assert_eq!((diagnosis.spinners.len(), diagnosis.splitters.len()), (2, 1));
}

#[test]
fn what_a_long_livelock_may_lead_to_does_not_hide_it() {
    let kill = ["Out of memory: Killed process 999 (java) total-vm:1kB, anon-rss:1kB"];
    let of_memory = |seconds| verdict(&panics(&kill, "Out of memory: system-wide panic_on_oom is enabled", seconds)).0;
    assert_eq!(of_memory(5), Some(Issue::OutOfMemory));
    assert_eq!(of_memory(25), Some(Issue::ThpLivelock));
    let by_watchdog = panics(&[], "softlockup: hung tasks", 5);
    assert_eq!(verdict(&by_watchdog), (Some(Issue::ThpLivelock), Confidence::Confirmed));
    // Others have reasons of their own to give up.
    let by_module = panics(&[], "my_watchdog: nobody resets me", 5);
    assert_eq!(verdict(&by_module), (Some(Issue::ThpLivelock), Confidence::Confirmed));
}

/// A real-time task in a loop of faults whose splitter nobody found: what it starves is seen all the same. It may itself be a victim of who is
/// starved, so nobody is sure of it.
#[test]
fn a_possible_livelock_hides_no_starvation() {
    let mut world = World::livelock();
    world.waiting.retain(|stack| world.tasks[stack.task].pid != SPLITTER);
    for pid in SPINNER {
        let spinner = world.task(pid);
        (spinner.policy, spinner.prio) = (Policy(1), 49);
        spinner.last_arrival_ns = Some(CLOCK - 18 * SECOND);
    }
    world.task(SPLITTER).last_queued_ns = Some(CLOCK - 15 * SECOND);
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("it may be the huge-page livelock"), "{summary}");
}
