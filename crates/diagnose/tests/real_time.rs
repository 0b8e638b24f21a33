//! Real-time spinners: they keep their CPU from fair tasks on any kernel, with breaks only for tasks of a higher rank.

mod support;

use support::*;
use vmcore_diagnose::{CheckResult, Confidence, Diagnosis, Issue, KernelPreemption};
use vmcore_kernel::{Class, Policy, Task, TaskState};
use vmcore_memory::PageLevel;

const SECOND: u64 = 1_000_000_000;
const LIVELOCK: Option<Issue> = Some(Issue::ThpLivelock);

fn confidence(diagnosis: &Diagnosis) -> (Option<Issue>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

/// The livelock with `SCHED_FIFO` spinners, which came back to their CPUs `ago` nanoseconds before.
fn real_time(ago: u64) -> World {
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Yes;
    for pid in SPINNER {
        let spinner = world.task(pid);
        spinner.policy = Policy(1);
        spinner.prio = 50;
        spinner.last_arrival_ns = Some(CLOCK - ago);
    }
    world
}

/// A task that sleeps, and last ran on CPU 1.
fn sleeper(prio: i32, ran_ago: u64) -> Task {
    Task {
        prio,
        state: TaskState { state: 1, exit_state: 0 },
        on_cpu: false,
        on_rq: 0,
        last_arrival_ns: Some(CLOCK - 8 * SECOND),
        exec_start_ns: Some(CLOCK - ran_ago),
        ..task(300, 1)
    }
}

#[test]
fn a_real_time_spinner_starves_the_splitter_on_any_kernel() {
    let diagnosis = real_time(10 * SECOND).judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
}

/// `SCHED_FIFO` gives way to nobody of its own priority on any kernel; `SCHED_RR` takes turns.
#[test]
fn a_fifo_spinner_starves_its_equals_on_any_kernel() {
    let with = |prio: i32, policy: u64| {
        let mut world = real_time(10 * SECOND);
        for pid in SPINNER {
            (world.task(pid).prio, world.task(pid).policy) = (prio, Policy(policy));
        }
        let splitter = world.task(SPLITTER);
        (splitter.prio, splitter.policy) = (prio, Policy(1));
        world.cpus[1].run_queue.as_mut().unwrap().queued[0].class = Class::RealTime;
        world.judge()
    };
    let equal = with(50, 1);
    assert_eq!(confidence(&equal), (LIVELOCK, Confidence::Confirmed));
    assert!(equal.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
    let rank = "gives way to nobody of its own priority: SCHED_FIFO priority 49 against SCHED_FIFO priority 49";
    assert!(equal.splitters[0].evidence.iter().any(|fact| fact.meaning.contains(rank)));
    assert_eq!(confidence(&with(50, 2)).1, Confidence::Possible, "SCHED_RR takes turns");
    // By their deadlines, which are not compared.
    assert_eq!(confidence(&with(-1, 1)).1, Confidence::Possible);
}

/// User code gives its CPU away on its way back from each fault, if the scheduler asks. It does not ask a real-time task.
#[test]
fn a_real_time_task_spins_in_user_code_as_well() {
    let with = |prio: i32, user_code: bool, change: fn(&mut World)| {
        let mut world = real_time(10 * SECOND);
        for (index, pid) in SPINNER.into_iter().enumerate() {
            let spinner = world.task(pid);
            (spinner.prio, spinner.policy) = (prio, Policy(u64::from(prio < 100)));
            world.running[index].1 = user_faulting_stack(index, pid, FAULT[index]);
        }
        world.memory.user_code = user_code;
        change(&mut world);
        world.judge()
    };
    let read = with(50, true, |_| ());
    assert_eq!(confidence(&read), (LIVELOCK, Confidence::Confirmed), "{:?}", read.unknown);
    assert!(read.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
    let proof = &read.spinners[0].evidence;
    assert!(proof.iter().any(|fact| fact.meaning.contains("page fault taken by user code")), "{proof:?}");
    // Its code is not in the dump: which address it was is only likely.
    let guessed = with(50, false, |_| ());
    assert_eq!(confidence(&guessed), (LIVELOCK, Confidence::Probable));
    assert_eq!(guessed.spinners.len(), 2);
    assert!(with(120, true, |_| ()).spinners.is_empty(), "a fair task");
    let elsewhere = |world: &mut World| {
        for address in FAULT {
            world.memory.entries.insert(address & !0xfff, (PageLevel::Pte, 0x420_3067));
        }
    };
    assert!(with(50, false, elsewhere).spinners.is_empty() && with(50, true, elsewhere).spinners.is_empty());
    let computes = |world: &mut World| {
        for pid in SPINNER {
            world.task(pid).accounting.minor_faults = Some(300);
        }
    };
    assert!(confidence(&with(50, true, computes)).1 < Confidence::Probable);
}

/// The soft-lockup watchdog's thread has every CPU for a moment, every few seconds.
#[test]
fn a_break_for_the_stopper_thread_changes_nothing() {
    let mut world = real_time(3 * SECOND / 10);
    world.tasks.push(sleeper(0, 3 * SECOND / 10));
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    // The splitter has been waiting on CPU 1 for 4 s. Nobody waits on CPU 0: it may have been idle.
    let spinners: Vec<_> = diagnosis.spinners.iter().map(|one| (one.cpu, one.running_ns, one.kept_ns)).collect();
    assert_eq!(spinners, [(1, Some(3 * SECOND / 10), Some(4 * SECOND))]);
    assert!(diagnosis.verdict.summary.contains("for up to 4.0 s"), "{}", diagnosis.verdict.summary);
    let witness = format!("pid {SPLITTER} has been waiting for CPU 1");
    assert!(diagnosis.spinners[0].evidence.iter().any(|fact| fact.meaning.starts_with(&witness)));
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result != CheckResult::Holds));
}

#[test]
fn a_real_time_task_that_has_only_just_come_outranks_nobody_for_long() {
    let mut world = real_time(SECOND / 1000);
    world.tasks.push(sleeper(120, SECOND / 1000));
    let diagnosis = world.judge();
    assert!(diagnosis.verdict.confidence < Confidence::Confirmed, "{:?}", diagnosis.verdict);
    assert!(diagnosis.spinners.is_empty());
}

/// The task clock stands still in interrupts: what it says is compared with itself only.
#[test]
fn run_times_are_by_the_task_clock() {
    let mut world = real_time(SECOND / 10);
    let mut other = sleeper(120, 20 * SECOND + SECOND / 10);
    world.cpus[1].run_queue.as_mut().unwrap().task_clock_ns = Some(CLOCK - 20 * SECOND);
    world.tasks.push(other.clone());
    assert!(world.judge().spinners.is_empty());
    // Where that clock or the time is not known, nothing is concluded from it.
    for unknown in 0..2 {
        let mut world = real_time(SECOND / 10);
        other.exec_start_ns = Some(CLOCK - 20 * SECOND).filter(|_| unknown == 0);
        world.cpus[1].run_queue.as_mut().unwrap().task_clock_ns = Some(CLOCK).filter(|_| unknown == 1);
        world.tasks.push(other.clone());
        assert!(world.judge().spinners.is_empty());
    }
}

#[test]
fn a_fair_task_has_no_rank_to_keep_its_cpu_by() {
    let mut world = World::livelock();
    world.task(SPINNER[1]).last_arrival_ns = Some(CLOCK - SECOND / 10);
    assert!(world.judge().spinners.iter().all(|spinner| spinner.cpu == 0));
}

/// A real-time task in user code keeps the splitter's CPU: it is the first thing to name and to deal with.
#[test]
fn a_real_time_hog_that_starves_the_splitter_is_named_first() {
    let mut world = World::livelock();
    let hog = task(400, 1);
    world.cpus[1].run_queue.as_mut().unwrap().current = hog.address;
    world.running[1] = (1, stack(world.tasks.len(), 400, &[]));
    world.tasks.push(Task { policy: Policy(1), prio: 79, ..hog });
    world.task(SPINNER[1]).on_cpu = false;
    world.task(SPLITTER).last_queued_ns = Some(CLOCK - 8 * SECOND);
    world.task(SPLITTER).exec_start_ns = Some(CLOCK - 8 * SECOND);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (Some(Issue::Starvation), Confidence::Confirmed));
    let summary = &diagnosis.verdict.summary;
    for part in ["CPU 1 (pid 400 \"comm400\") keeps its CPU as SCHED_FIFO", "the huge-page livelock", "pid 100"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    assert_eq!(diagnosis.spinners.iter().map(|spinner| spinner.cpu).collect::<Vec<_>>(), [0]);
    assert!(diagnosis.remedy[0].action.contains("real-time task"), "{:?}", diagnosis.remedy);
    assert!(diagnosis.remedy.len() > 1 && diagnosis.known_issue.is_some(), "the bug is there all the same");
}
