//! A splitter that sleeps for what a task has that gets no CPU.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

use vmcore_kernel::{Found, Lock, LockKind, LockWait, LockWord, Owner, Source, Task, Waiter};

use super::*;

const OWNER: i32 = 205;
const LOCK: VirtAddr = VirtAddr::new(0xffff_8880_0900_0000);

/// The splitter sleeps for a lock whose owner waits for CPU 1, which a spinner has.
fn asleep(owner: Owner) -> World {
    let mut world = World::livelock();
    let owned_by = Task {
        on_cpu: false,
        last_arrival_ns: Some(CLOCK - 11_000_000_000),
        last_queued_ns: Some(CLOCK - 4_000_000_000),
        exec_start_ns: Some(CLOCK - 4_000_000_000),
        ..task(OWNER, 1)
    };
    let splitter = world.task(SPLITTER);
    splitter.state = TaskState { state: 2, exit_state: 0 };
    (splitter.on_rq, splitter.last_queued_ns) = (0, Some(0));
    world.blocked = std::mem::take(&mut world.waiting);
    world.waiting = vec![stack(world.tasks.len(), OWNER, &["__schedule", "__cond_resched", "anon_vma_fork"])];
    world.cpus[1].run_queue.as_mut().unwrap().queued[0].task = owned_by.address;
    world.tasks.push(owned_by);
    let waiter = Waiter { address: LOCK.wrapping_add(0x100), task: task_address(SPLITTER) };
    world.state.lock_waits.push(LockWait {
        task: task_address(SPLITTER),
        kind: LockKind::RwSemaphore,
        lock: LOCK,
        shared: false,
        found: Found::OnStack {
            function: "rwsem_down_write_slowpath".to_owned(),
            waiter: waiter.address,
            names_task: Source { type_name: Some("rwsem_waiter"), path: "task", address: waiter.address },
        },
    });
    let words = vec![LockWord { member: "owner", value: task_address(OWNER).get(), flags: Vec::new() }];
    world.state.locks.push(Lock { kind: LockKind::RwSemaphore, address: LOCK, owner, words, waiters: vec![waiter] });
    world
}

fn owned() -> World {
    asleep(Owner::Task(task_address(OWNER)))
}

#[test]
fn who_has_what_the_splitter_sleeps_for_takes_its_place() {
    let diagnosis = owned().judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{:?}", diagnosis.unknown);
    let summary = &diagnosis.verdict.summary;
    for part in ["sleeps for", "held by pid 205", "and pid 205 waits for CPU 1 and is never scheduled"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
    let splitter = &diagnosis.splitters[0];
    assert_eq!((splitter.pid, splitter.state, splitter.waiting_ns), (SPLITTER, 'D', None));
    let (kind, nodes) = shape(&diagnosis).unwrap();
    assert_eq!(kind, ShapeKind::Livelock);
    for name in ["task 100 \"comm100\"", "task 205 \"comm205\"", "run queue of CPU 1"] {
        assert!(nodes.iter().any(|node| node == name), "{name} in {nodes:?}");
    }
}

#[test]
fn a_chain_that_is_not_proven_leaves_it_probable() {
    // Of readers the kernel remembers the last.
    let readers = Owner::Readers { last: Some(task_address(OWNER)), count: Some(1) };
    assert_eq!(confidence(&asleep(readers).judge()), (LIVELOCK, Confidence::Probable));
    // It has only just gone to sleep.
    let mut world = owned();
    let splitter = world.task(SPLITTER);
    (splitter.last_arrival_ns, splitter.exec_start_ns) = (Some(CLOCK - 3_000_000), Some(CLOCK - 3_000_000));
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Probable));
}

#[test]
fn an_owner_that_gets_its_cpu_is_no_part_of_it() {
    type Change = fn(&mut World);
    let ordinary: [(&str, Change); 3] = [
        ("waits shortly", |world| world.task(OWNER).last_queued_ns = Some(CLOCK - 3_000_000)),
        ("ran a moment ago", |world| world.task(OWNER).exec_start_ns = Some(CLOCK - 3_000_000)),
        ("sleeps itself", |world| {
            world.task(OWNER).state = TaskState { state: 1, exit_state: 0 };
            world.task(OWNER).on_rq = 0;
        }),
    ];
    for (what, change) in ordinary {
        let mut world = owned();
        change(&mut world);
        let diagnosis = world.judge();
        assert!(diagnosis.verdict.confidence < Confidence::Probable, "{what}: {:?}", diagnosis.verdict);
    }
}
