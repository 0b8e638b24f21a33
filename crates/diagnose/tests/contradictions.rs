//! One word of a real livelock is changed: the verdict is no longer confirmed, and what contradicts it is named.

mod support;

use support::*;
use vmcore_diagnose::{CheckResult, Confidence, Diagnosis, Issue, KernelPreemption, LogLine};
use vmcore_kernel::{Class, CpuMask, Policy, PreemptCount, Queued, TaskCounters};

const SECOND: u64 = 1_000_000_000;

fn confidence(diagnosis: &Diagnosis) -> Confidence {
    assert_eq!(diagnosis.verdict.issue, Some(Issue::ThpLivelock), "{:?}", diagnosis.verdict);
    diagnosis.verdict.confidence
}

/// Everything that is said against the verdict or left open.
fn said(diagnosis: &Diagnosis) -> String {
    let open = diagnosis.refutations.iter().filter(|check| check.result != CheckResult::Refuted);
    let open = open.map(|check| format!("{}: {}", check.claim, check.checked));
    open.chain(diagnosis.unknown.iter().cloned()).collect::<Vec<_>>().join("\n")
}

fn changed(damage: impl Fn(&mut World)) -> Diagnosis {
    let mut world = World::livelock();
    world.state.timekeeper_ns = Some(CLOCK);
    assert_eq!(confidence(&world.judge()), Confidence::Confirmed);
    let mut world = World::livelock();
    world.state.timekeeper_ns = Some(CLOCK);
    damage(&mut world);
    world.judge()
}

#[test]
fn a_splitter_that_is_in_no_queue() {
    let diagnosis = changed(|world| {
        let queue = world.cpus[1].run_queue.as_mut().unwrap();
        queue.queued.clear();
        queue.nr_running = 1;
    });
    assert_eq!(confidence(&diagnosis), Confidence::Possible);
    let words = "the splitter (pid 100) is in no run queue: on_rq is 1, but neither CPU 1 nor any other has it";
    assert!(said(&diagnosis).contains(words), "{}", said(&diagnosis));
    assert!(diagnosis.verdict.summary.contains("is in no run queue"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_queue_that_cannot_be_read_is_not_an_empty_one() {
    let diagnosis = changed(|world| {
        world.cpus[1].run_queue.as_mut().unwrap().queued.clear();
        world.gaps.push(vmcore_kernel::Gap::new("run queue of CPU 1", "not in the dump"));
    });
    assert_eq!(confidence(&diagnosis), Confidence::Probable);
    assert!(said(&diagnosis).contains("cannot be read in full"), "{}", said(&diagnosis));
}

#[test]
fn a_splitter_whose_cpu_is_another_than_that_of_its_queue() {
    let diagnosis = changed(|world| world.task(SPLITTER).cpu = 0);
    assert_eq!(confidence(&diagnosis), Confidence::Probable);
    assert_eq!(diagnosis.splitters[0].cpu, 1, "where the scheduler has it");
    let words = "found in the fair queue of CPU 1, though its task_struct says CPU 0";
    assert!(said(&diagnosis).contains(words), "{}", said(&diagnosis));
}

#[test]
fn a_queue_whose_counters_do_not_know_the_splitter() {
    let of_queue =
        |change: fn(&mut vmcore_kernel::RunQueue)| changed(|world| change(world.cpus[1].run_queue.as_mut().unwrap()));
    for (change, words) in [
        (of_queue(|queue| queue.nr_running = 1), "though rq.nr_running counts 1, with the one that runs"),
        (of_queue(|queue| queue.online = Some(false)), "though rq.online says that the CPU was out of service"),
    ] {
        assert_eq!(confidence(&change), Confidence::Probable, "{words}");
        assert!(said(&change).contains(words), "{}", said(&change));
    }
}

#[test]
fn a_splitter_in_the_queue_of_another_class_or_on_a_cpu() {
    let diagnosis = changed(|world| {
        let queue = &mut world.cpus[1].run_queue.as_mut().unwrap().queued;
        *queue = vec![Queued { class: Class::RealTime, ..queue[0] }];
    });
    assert!(confidence(&diagnosis) < Confidence::Confirmed);
    assert!(said(&diagnosis).contains("though its task_struct says prio 120"), "{}", said(&diagnosis));
    let diagnosis = changed(|world| world.cpus[1].run_queue.as_mut().unwrap().current = task_address(SPLITTER));
    assert!(diagnosis.verdict.confidence < Confidence::Confirmed);
}

#[test]
fn a_scheduler_that_does_not_ask_for_a_cpu_that_a_task_waits_for() {
    let diagnosis = changed(|world| world.memory.preempt_count = Some(PreemptCount::Bits32(0x8001_0000)));
    assert!(confidence(&diagnosis) < Confidence::Confirmed);
    let words =
        "does not ask for the CPU (PREEMPT_NEED_RESCHED), though pid 100 is said to have waited in its queue for 4.0 s";
    assert!(said(&diagnosis).contains(words), "{}", said(&diagnosis));
}

#[test]
fn a_preemption_count_of_64_bits_has_its_flag_in_the_highest() {
    let of_count = |count| confidence(&changed(|world| world.memory.preempt_count = Some(PreemptCount::Bits64(count))));
    // Bit 31 is one of the count's own there.
    assert_eq!(of_count(0x8001_0000), Confidence::Confirmed);
    assert!(of_count(0x8000_0000_0001_0000) < Confidence::Confirmed);
}

#[test]
fn a_real_time_spinner_is_not_asked_for_its_cpu() {
    let real_time = |user_ns| {
        let mut world = World::livelock();
        world.preemption = KernelPreemption::Yes;
        world.memory.preempt_count = Some(PreemptCount::Bits32(0x8001_0000));
        for pid in SPINNER {
            let spinner = world.task(pid);
            (spinner.policy, spinner.prio) = (Policy(1), 50);
            spinner.accounting.user_ns = user_ns;
        }
        world.judge()
    };
    assert_eq!(confidence(&real_time(Some(8_000_000))), Confidence::Confirmed);
    assert_eq!(confidence(&real_time(None)), Confidence::Probable);
}

#[test]
fn a_clock_that_is_far_ahead_of_all_others() {
    let diagnosis = changed(|world| {
        let queue = world.cpus[1].run_queue.as_mut().unwrap();
        queue.clock_ns += 1000 * SECOND;
    });
    assert_eq!(confidence(&diagnosis), Confidence::Probable);
    assert!(said(&diagnosis).contains("the clock of CPU 1 (rq.clock) is 999.9 s ahead"), "{}", said(&diagnosis));
    assert!(diagnosis.verdict.summary.contains("for up to 10.0 s"), "{}", diagnosis.verdict.summary);
    assert!(diagnosis.spinners.iter().all(|spinner| spinner.running_ns.is_none_or(|ns| ns < CLOCK)));
}

/// A machine that waits to be restarted after its panic, and of which the dump is taken a minute later.
#[test]
fn the_clock_of_the_cpu_that_panicked_goes_on() {
    let diagnosis = changed(|world| {
        let text = "Kernel panic - not syncing: softlockup: hung tasks".to_owned();
        world.log.push(LogLine { timestamp_ns: CLOCK, caller: None, text: text.clone() });
        world.state.panic.message = Some(text);
        world.state.panic.cpu = Some(1);
        world.cpus[0].online = false;
        world.cpus[1].run_queue.as_mut().unwrap().clock_ns += 60 * SECOND;
    });
    assert_eq!(confidence(&diagnosis), Confidence::Confirmed, "{}", said(&diagnosis));
    let running: Vec<_> = diagnosis.spinners.iter().map(|spinner| spinner.running_ns).collect();
    assert_eq!(running, [Some(10 * SECOND); 2], "and what it counts since then is no time");
}

#[test]
fn times_that_are_still_to_come() {
    type Damage = fn(&mut World);
    let later: [(&str, Damage); 5] = [
        ("sched_info.last_arrival of pid 101 is 5.0 s later than rq.clock of CPU 0", |world| {
            for pid in SPINNER {
                world.task(pid).last_arrival_ns = Some(CLOCK + 5 * SECOND);
            }
        }),
        ("sched_info.last_queued of pid 100 is 5.0 s later", |world| {
            world.task(SPLITTER).last_queued_ns = Some(CLOCK + 5 * SECOND);
        }),
        ("se.exec_start of pid 100 is 5.0 s later", |world| {
            world.task(SPLITTER).exec_start_ns = Some(CLOCK + 5 * SECOND);
        }),
        ("se.exec_start of pid 102 is 5.0 s later", |world| {
            for pid in SPINNER {
                world.task(pid).exec_start_ns = Some(CLOCK + 5 * SECOND);
            }
        }),
        ("sched_info.last_arrival of pid 102 is 10.0 s before it was created", |world| {
            for pid in SPINNER {
                let counters = TaskCounters { start_ns: Some(CLOCK), ..TaskCounters::default() };
                world.state.scheduler.tasks.insert(task_address(pid), counters);
            }
        }),
    ];
    for (words, damage) in later {
        let diagnosis = changed(damage);
        assert_eq!(confidence(&diagnosis), Confidence::Probable, "{words}");
        assert!(said(&diagnosis).contains(words), "{words} in {}", said(&diagnosis));
    }
}

#[test]
fn a_task_that_has_hardly_ever_faulted() {
    let diagnosis = changed(|world| {
        for pid in SPINNER {
            world.task(pid).accounting.minor_faults = Some(203);
        }
    });
    assert_eq!(confidence(&diagnosis), Confidence::Possible);
    assert!(said(&diagnosis).contains("only 203 page faults (min_flt) in its life"), "{}", said(&diagnosis));
    // One of two: it is left out, and that it keeps the splitter's CPU is not proven.
    let diagnosis = changed(|world| world.task(SPINNER[1]).accounting.minor_faults = Some(203));
    assert_eq!(confidence(&diagnosis), Confidence::Probable);
    assert_eq!(diagnosis.spinners.iter().map(|spinner| spinner.pid).collect::<Vec<_>>(), [SPINNER[0]]);
    let diagnosis = changed(|world| {
        for pid in SPINNER {
            world.task(pid).accounting.minor_faults = None;
        }
    });
    assert_eq!(confidence(&diagnosis), Confidence::Probable);
}

#[test]
fn the_proof_shows_what_is_counted() {
    let diagnosis = World::livelock().judge();
    for name in ["task_struct.min_flt", "task_struct.utime", "task_struct.stime"] {
        assert!(
            diagnosis.spinners.iter().all(|spinner| spinner.evidence.iter().any(|fact| fact.what == name)),
            "{name}"
        );
    }
}

#[test]
fn other_reasons_why_a_task_does_not_run() {
    let counters = |counters: TaskCounters| {
        changed(|world| {
            world.cpus[1].run_queue.as_mut().unwrap().queued.clear();
            world.state.scheduler.tasks.insert(task_address(SPLITTER), counters.clone());
        })
    };
    let deadline = counters(TaskCounters { deadline_throttled: Some(true), ..TaskCounters::default() });
    let reason = deadline.splitters[0].evidence.iter().find(|fact| fact.what.contains("dl_throttled")).unwrap();
    assert!(reason.meaning.contains("deadline budget"), "{}", reason.meaning);
    let elsewhere = changed(|world| {
        let allowed = Some(CpuMask::of(&[0]));
        let counters = TaskCounters { allowed, ..TaskCounters::default() };
        world.state.scheduler.tasks.insert(task_address(SPLITTER), counters);
    });
    assert_eq!(confidence(&elsewhere), Confidence::Probable);
    assert!(said(&elsewhere).contains("may not run on CPU 1 (cpus_mask)"), "{}", said(&elsewhere));
    let pinned = changed(|world| {
        let allowed = Some(CpuMask::of(&[1]));
        let counters = TaskCounters { allowed, ..TaskCounters::default() };
        world.state.scheduler.tasks.insert(task_address(SPLITTER), counters);
    });
    assert_eq!(confidence(&pinned), Confidence::Confirmed);
    let mask = pinned.splitters[0].evidence.iter().find(|fact| fact.what.contains("cpus_mask")).unwrap();
    assert!(mask.meaning.contains("may run on CPU 1 only"), "{}", mask.meaning);
}

#[test]
fn a_cpu_that_is_offline_runs_nobody() {
    let diagnosis = changed(|world| {
        world.cpus[1].online = false;
        let queue = world.cpus[1].run_queue.as_mut().unwrap();
        queue.current = queue.idle;
        world.tasks.push(vmcore_kernel::Task { address: queue.idle, ..task(0, 1) });
    });
    assert_eq!(confidence(&diagnosis), Confidence::Probable);
    assert!(said(&diagnosis).contains("CPU 1 is offline"), "{}", said(&diagnosis));
    // After a panic all but one are, with what they ran.
    let diagnosis = changed(|world| world.cpus[1].online = false);
    assert_eq!(confidence(&diagnosis), Confidence::Confirmed);
}

#[test]
fn a_cpu_without_ticks_was_not_run_by_its_host() {
    let lagging = |eflags| {
        changed(|world| {
            for pid in [SPINNER[1], SPLITTER] {
                let task = world.task(pid);
                task.last_arrival_ns = task.last_arrival_ns.map(|at| at - 3 * SECOND);
                task.last_queued_ns = task.last_queued_ns.map(|at| at.saturating_sub(3 * SECOND));
                task.exec_start_ns = task.exec_start_ns.map(|at| at - 3 * SECOND);
            }
            world.cpus[1].run_queue.as_mut().unwrap().clock_ns -= 3 * SECOND;
            set_flags(&mut world.running[1].1.interrupts[0], eflags);
        })
    };
    let on = lagging(0x246);
    assert!(
        said(&on).contains("CPU 1: its clock stopped 3.0 s before the others' though its interrupts were on"),
        "{}",
        said(&on)
    );
    assert!(said(&on).contains("stolen"), "{}", said(&on));
    assert!(!said(&lagging(0x46)).contains("stolen"));
}

#[test]
fn a_log_that_goes_on_is_a_clock_as_well() {
    let diagnosis = changed(|world| {
        world.log.push(LogLine { timestamp_ns: CLOCK + 1000 * SECOND, caller: None, text: "x".to_owned() });
        world.cpus[1].run_queue.as_mut().unwrap().clock_ns += 1000 * SECOND;
        for pid in [SPINNER[1], SPLITTER] {
            let task = world.task(pid);
            task.last_arrival_ns = task.last_arrival_ns.map(|at| at + 1000 * SECOND);
            task.last_queued_ns = Some(CLOCK + 996 * SECOND).filter(|_| pid == SPLITTER).or(Some(0));
            task.exec_start_ns = None;
        }
    });
    assert!(!said(&diagnosis).contains("ahead"), "{}", said(&diagnosis));
}
