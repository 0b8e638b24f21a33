//! Fair tasks that get some milliseconds of every second beside real-time spinners, and other reasons why a task does not
//! run that are no matter of rank.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

mod support;

use support::*;
use vmcore_diagnose::{CheckResult, Confidence, Diagnosis, Issue, KernelPreemption};
use vmcore_kernel::{Class, CpuGrants, FairServer, Policy, Queued, Task, TaskCounters};
use vmcore_memory::PageLevel;
use vmcore_memory::arch::x86_64::Registers;

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

/// The same, and the dump was taken as the splitter had CPU 1 for 20 ms of what fair tasks are granted.
fn moment() -> World {
    let mut world = granted();
    let (splitter, spinner) = (world.waiting.remove(0), world.running[1].1.clone());
    world.running[1] = (1, splitter);
    world.waiting.push(spinner);
    let queue = world.cpus[1].run_queue.as_mut().unwrap();
    queue.current = task_address(SPLITTER);
    queue.queued = vec![Queued { task: task_address(SPINNER[1]), class: Class::RealTime }];
    let spinner = world.task(SPINNER[1]);
    (spinner.on_cpu, spinner.last_queued_ns) = (false, Some(CLOCK - 20 * MS));
    spinner.last_arrival_ns = Some(CLOCK - 970 * MS);
    let splitter = world.task(SPLITTER);
    (splitter.on_cpu, splitter.last_queued_ns) = (true, Some(0));
    (splitter.last_arrival_ns, splitter.exec_start_ns) = (Some(CLOCK - 20 * MS), Some(CLOCK));
    world
}

/// CPU 0 idles.
fn idle_on_cpu_0(world: &mut World) {
    let idle = task(0, 0);
    world.cpus[0].run_queue.as_mut().unwrap().current = idle.address;
    world.task(SPINNER[0]).on_cpu = false;
    world.task(SPINNER[0]).on_rq = 0;
    world.task(SPINNER[0]).state.state = 1;
    world.running[0] = (0, stack(world.tasks.len(), 0, &["default_idle", "do_idle"]));
    world.tasks.push(idle);
}

fn spinning(diagnosis: &Diagnosis) -> Vec<i32> {
    diagnosis.spinners.iter().map(|spinner| spinner.pid).collect()
}

#[test]
fn a_splitter_that_has_its_cpu_for_a_moment_is_starved() {
    let diagnosis = moment().judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{:?}", diagnosis.unknown);
    assert_eq!(spinning(&diagnosis), SPINNER);
    assert!(diagnosis.refutations.iter().all(|check| check.result == CheckResult::Refuted));
    // Its current task does not spin, but the CPU is that of one which does.
    assert!(!diagnosis.refutations.iter().any(|check| check.claim == "CPU 1 spins in the page-fault path"));
    let summary = "has CPU 1 for a moment, and gets no more than moments of it";
    assert!(diagnosis.verdict.summary.contains(summary), "{}", diagnosis.verdict.summary);
    let shape = &diagnosis.graph.shapes()[0];
    assert!(shape.is_cycle(&diagnosis.graph), "the circle closes: {shape:?}");
    assert!(diagnosis.graph.edges().iter().all(|edge| !edge.evidence.is_empty()));
    let shown = |what: &str, words: &str| {
        let mut evidence = diagnosis.splitters[0].evidence.iter();
        evidence.any(|fact| fact.what.contains(what) && fact.meaning.contains(words))
    };
    assert!(shown("on_cpu", "for a moment of 20 ms") && shown("sched_info.last_queued", "it was passed over"));
    assert!(diagnosis.splitters[0].on_cpu && diagnosis.splitters[0].waiting_ns.is_none());
}

#[test]
fn a_lone_spinner_is_seen_while_it_lends_its_cpu() {
    let mut world = moment();
    idle_on_cpu_0(&mut world);
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{:?}", diagnosis.unknown);
    assert_eq!(spinning(&diagnosis), [SPINNER[1]]);
    // Its page in a register of the CPU ties the splitter as well as one on its stack.
    let mut world = moment();
    idle_on_cpu_0(&mut world);
    world.splitter_word(0);
    assert_eq!(verdict(&world.judge()).1, Confidence::Probable, "nothing ties it");
    let mut world = moment();
    idle_on_cpu_0(&mut world);
    world.splitter_word(0);
    let rbx = page_address(0x4200).get();
    world.cpus[1].registers.as_mut().unwrap().registers = Registers { rbx, ..Registers::default() }.into();
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert!(diagnosis.splitters[0].evidence.iter().any(|fact| fact.what == "register"));
}

#[test]
fn another_fair_task_may_have_the_moment() {
    let mut world = moment();
    let other = Task { last_arrival_ns: Some(CLOCK - 20 * MS), ..task(300, 1) };
    let queue = world.cpus[1].run_queue.as_mut().unwrap();
    queue.current = other.address;
    queue.queued.push(Queued { task: task_address(SPLITTER), class: Class::Fair });
    queue.nr_running = 3;
    let splitter = world.task(SPLITTER);
    (splitter.on_cpu, splitter.last_queued_ns) = (false, Some(CLOCK - 900 * MS));
    let of_splitter = std::mem::replace(&mut world.running[1].1, stack(world.tasks.len(), 300, &["do_work"]));
    world.waiting.push(of_splitter);
    world.tasks.push(other);
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{:?}", diagnosis.unknown);
    assert_eq!(spinning(&diagnosis), SPINNER);
    assert!(diagnosis.verdict.summary.contains("is runnable on CPU 1 and gets moments of it only."));
    assert!(diagnosis.graph.shapes()[0].is_cycle(&diagnosis.graph));
}

/// In each of these somebody spins on CPU 0, and the splitter has CPU 1: by its own right, or for how long is not known.
#[test]
fn a_splitter_that_runs_by_its_own_right_is_not_starved() {
    type Change = fn(&mut World);
    type Case = (&'static str, Change, (Option<Issue>, Confidence));
    // A real-time hog stays one where it cannot be shown to spin.
    let hog = (Some(Issue::Starvation), Confidence::Probable);
    let possible = (LIVELOCK, Confidence::Possible);
    let other: [Case; 7] = [
        (
            "the real-time task has only just woken",
            |world| {
                world.task(SPINNER[1]).last_queued_ns = Some(CLOCK - 10 * MS);
            },
            possible,
        ),
        ("its priority is borrowed", |world| world.task(SPINNER[1]).policy = Policy(0), possible),
        (
            "it has the CPU for longer than for a moment",
            |world| {
                let since = Some(CLOCK - 5 * SECOND);
                world.task(SPLITTER).last_arrival_ns = since;
                world.task(SPINNER[1]).last_queued_ns = since;
            },
            possible,
        ),
        (
            "cores are scheduled as one",
            |world| {
                let grants = CpuGrants { core_cookie: Some(7), ..CpuGrants::default() };
                world.state.scheduler.cpus.insert(1, grants);
            },
            hog,
        ),
        (
            "no counter of a spinner tells",
            |world| {
                for pid in SPINNER {
                    world.task(pid).accounting.minor_faults = Some(3000);
                }
            },
            hog,
        ),
        (
            "no spinner has spent most of its life so",
            |world| {
                for pid in SPINNER {
                    world.state.scheduler.tasks.get_mut(&task_address(pid)).unwrap().run_ns = Some(5 * SECOND);
                }
            },
            possible,
        ),
        (
            "the splitter's counters do not tell",
            |world| {
                world.state.scheduler.tasks.get_mut(&task_address(SPLITTER)).unwrap().run_ns = Some(20 * SECOND);
            },
            (LIVELOCK, Confidence::Probable),
        ),
    ];
    for (what, change, expected) in other {
        let mut world = moment();
        change(&mut world);
        let diagnosis = world.judge();
        assert_eq!(verdict(&diagnosis), expected, "{what}: {}", diagnosis.verdict.summary);
    }
}

/// A real-time program beside which fair tasks are granted moments, one of which splits a page that nobody waits for.
#[test]
fn a_split_in_a_moment_is_no_livelock_where_nobody_spins() {
    let mut world = moment();
    idle_on_cpu_0(&mut world);
    world.memory.entries.clear();
    world.memory.entries.insert(FAULT[1] & !0xfff, (PageLevel::Pte, 0x420_3067));
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    assert!(diagnosis.spinners.is_empty());
}

/// What a spinner waits for that is off its CPU for a moment may be missing: that is not healthy.
#[test]
fn a_spinner_that_lends_its_cpu_and_cannot_be_read_is_not_known() {
    let mut world = moment();
    idle_on_cpu_0(&mut world);
    world.state.scheduler.tasks.remove(&task_address(SPLITTER));
    world.memory.entries.clear();
    let diagnosis = world.judge();
    assert_ne!(diagnosis.verdict.confidence, Confidence::None);
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("pgd")), "{:?}", diagnosis.unknown);
}

/// A real-time task that spins for nothing has the CPU of the splitter but for moments: it is the first thing to deal with.
#[test]
fn a_hog_that_lends_the_splitter_moments_is_named_first() {
    let mut world = moment();
    world.waiting[0] = stack(1, SPINNER[1], &["do_work"]);
    let diagnosis = world.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::Starvation), Confidence::Probable));
    let summary = &diagnosis.verdict.summary;
    for part in ["CPU 1 (pid 102", "the huge-page livelock", "has CPU 1 for a moment"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    assert_eq!(spinning(&diagnosis), [SPINNER[0]]);
}
