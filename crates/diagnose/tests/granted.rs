//! Fair tasks that get some milliseconds of every second beside real-time spinners, and other reasons why a task does not
//! run that are no matter of rank.

mod support;

use support::*;
use vmcore_diagnose::{CheckResult, Confidence, Diagnosis, Issue, KernelPreemption};
use vmcore_kernel::{CpuGrants, FairServer, Policy, TaskCounters};
use vmcore_memory::PageLevel;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const LIVELOCK: Option<Issue> = Some(Issue::ThpLivelock);

fn verdict(diagnosis: &Diagnosis) -> (Option<Issue>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

/// As on a 7.3 kernel half a minute into the livelock: `SCHED_FIFO` spinners that were scheduled in some milliseconds
/// before, a splitter that had its last grant as shortly before that, and counters that tell.
fn granted() -> World {
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Yes;
    for (pid, ago) in SPINNER.into_iter().zip([38, 142]) {
        let spinner = world.task(pid);
        spinner.policy = Policy(1);
        spinner.prio = 89;
        spinner.last_arrival_ns = Some(CLOCK - ago * MS);
        spinner.accounting.minor_faults = Some(1_474_633);
        let counters = TaskCounters {
            run_delay_ns: Some(75 * MS),
            run_ns: Some(27 * SECOND),
            start_ns: Some(SECOND),
            ..TaskCounters::default()
        };
        world.state.scheduler.tasks.insert(task_address(pid), counters);
    }
    let splitter = world.task(SPLITTER);
    splitter.last_queued_ns = Some(CLOCK - 142 * MS);
    splitter.exec_start_ns = Some(CLOCK - 142 * MS);
    let counters = TaskCounters {
        run_delay_ns: Some(27 * SECOND),
        run_ns: Some(SECOND),
        start_ns: Some(SECOND),
        ..TaskCounters::default()
    };
    world.state.scheduler.tasks.insert(task_address(SPLITTER), counters);
    let fair_server = Some(FairServer { runtime_ns: 50 * MS, period_ns: SECOND });
    world.state.scheduler.cpus.insert(1, CpuGrants { fair_server, ..CpuGrants::default() });
    world
}

#[test]
fn a_splitter_that_gets_no_more_than_its_grant_is_starved() {
    let diagnosis = granted().judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert_eq!(diagnosis.spinners.len(), 2);
    // For how long is not said by when they were last scheduled in.
    for part in ["2 CPUs have been spinning in page faults", "is runnable on CPU 1 and gets moments of it only."] {
        assert!(diagnosis.verdict.summary.contains(part), "{part} in {}", diagnosis.verdict.summary);
    }
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
    let shape = &diagnosis.graph.shapes()[0];
    assert!(shape.is_cycle(&diagnosis.graph), "the circle closes: {shape:?}");
    let proof = |name: &str| diagnosis.splitters[0].evidence.iter().any(|fact| fact.what.contains(name));
    assert!(proof("sched_info.run_delay") && proof("se.sum_exec_runtime"));
    let faults = diagnosis.spinners[0].evidence.iter().find(|fact| fact.what.contains("min_flt")).unwrap();
    assert!(faults.meaning.contains("every 18 us"), "{}", faults.meaning);
    let rank = diagnosis.splitters[0].evidence.iter().find(|fact| fact.meaning.contains("outranks")).unwrap();
    assert!(rank.meaning.contains("50 ms of every 1000 ms"), "{}", rank.meaning);
}

/// A thread that has done much before: its counters tell nothing of the last minute. That is not healthy.
#[test]
fn counters_of_a_long_life_do_not_tell_and_nothing_is_called_healthy() {
    let mut world = granted();
    for pid in SPINNER {
        world.task(pid).accounting.minor_faults = Some(300);
    }
    let splitter = world.state.scheduler.tasks.get_mut(&task_address(SPLITTER)).unwrap();
    splitter.run_ns = Some(3000 * SECOND);
    let diagnosis = world.judge();
    assert!(diagnosis.verdict.confidence < Confidence::Probable, "{:?}", diagnosis.verdict);
    assert_ne!(diagnosis.verdict.confidence, Confidence::None);
}

/// A real-time program that works for a tenth of its life, and happens to fault on a page that is being split, for 2 ms now.
/// The splitter has waited more than it has run, too, in the same day. Nothing of that is a livelock.
#[test]
fn an_ordinary_split_under_a_real_time_program_is_not_taken_for_a_livelock() {
    type Ordinary = fn(&mut World);
    let ordinary: [(&str, Ordinary); 5] = [
        ("the spinner has slept for most of its life", |world| {
            world.state.scheduler.tasks.get_mut(&task_address(SPINNER[1])).unwrap().run_ns = Some(10 * SECOND);
        }),
        ("the spinner works in user code", |world| world.task(SPINNER[1]).accounting.user_ns = Some(5 * SECOND)),
        ("how much it works in user code is not known", |world| world.task(SPINNER[1]).accounting.user_ns = None),
        ("the splitter has slept for most of its life", |world| {
            let splitter = world.state.scheduler.tasks.get_mut(&task_address(SPLITTER)).unwrap();
            (splitter.run_delay_ns, splitter.run_ns) = (Some(12 * SECOND), Some(2 * SECOND));
        }),
        ("how long the splitter has lived is not known", |world| {
            world.state.scheduler.tasks.get_mut(&task_address(SPLITTER)).unwrap().start_ns = None;
        }),
    ];
    let unchanged: (&str, Ordinary) = ("", |_| {});
    for (what, change) in [unchanged].into_iter().chain(ordinary) {
        let mut world = granted();
        // The other one would be a spinner still.
        world.memory.entries.insert(FAULT[0] & !0xfff, (PageLevel::Pte, 0x420_3067));
        change(&mut world);
        let diagnosis = world.judge();
        let expected = match (what, diagnosis.verdict.issue) {
            ("", _) => (LIVELOCK, Confidence::Confirmed),
            // A real-time program that has been busy for most of its life starves others, whatever it does.
            (_, Some(Issue::Starvation)) => (Some(Issue::Starvation), Confidence::Probable),
            _ => (LIVELOCK, Confidence::Possible),
        };
        assert_eq!(verdict(&diagnosis), expected, "{what}");
    }
}

#[test]
fn a_fair_task_that_was_scheduled_in_just_before_has_no_breaks_to_come_back_from() {
    let mut world = granted();
    for pid in SPINNER {
        world.task(pid).prio = 120;
        world.task(pid).policy = Policy(0);
    }
    assert!(world.judge().spinners.is_empty());
}

#[test]
fn a_group_without_bandwidth_is_a_reason_of_its_own() {
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Yes;
    let throttled_queue = Some(page_address(0x77));
    world
        .state
        .scheduler
        .tasks
        .insert(task_address(SPLITTER), TaskCounters { throttled_queue, ..TaskCounters::default() });
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    let reason = diagnosis.splitters[0].evidence.iter().find(|fact| fact.what.contains("cfs_rq")).unwrap();
    assert!(reason.meaning.contains("bandwidth"), "{}", reason.meaning);
}

/// Proxy execution: a fair spinner that runs by the rank of a real-time task that waits for its lock.
#[test]
fn a_cpu_runs_its_task_by_the_rank_of_the_donor() {
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Yes;
    assert_eq!(verdict(&world.judge()).1, Confidence::Possible);
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Yes;
    let mut donor = task(400, 1);
    (donor.prio, donor.policy, donor.on_cpu) = (20, Policy(1), false);
    world.tasks.push(donor);
    world.state.scheduler.cpus.insert(1, CpuGrants { donor: Some(task_address(400)), ..CpuGrants::default() });
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    let rank = diagnosis.splitters[0].evidence.iter().find(|fact| fact.meaning.contains("outranks")).unwrap();
    assert!(rank.meaning.contains("by the rank of pid 400"), "{}", rank.meaning);
}
