//! A lock whose owner may not run: its cgroup has used up the CPU time that `cpu.max` grants it, and the scheduler keeps it from
//! every CPU until the next period, also from an idle one.
//!
//! Whoever waits for the lock waits for that cgroup's quota, in whatever cgroup it is itself. Nothing else shows it: the owner is
//! runnable, no CPU need be busy, and the kernel complains only of those that wait.
//!
//! Control: an owner that may run, and one that is kept waiting for a moment: then the next period comes soon enough.
//!
//! Source: `kernel/sched/fair.c`, `throttle_cfs_rq()`; since 6.18 (kernel commit e1fad12dcb66) a task is throttled on its way
//! back to user mode only, where it has no lock of the kernel's.

use vmcore_kernel::{Lock, Owner, Task};
use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::clock::{as_the_watchdog, off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::describe::{self, lock as lock_text};
use crate::evidence::member;
use crate::queue::Queue;
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, Reader, Value};

/// A wait of many periods, which are 100 ms if nobody chose otherwise: what the group is granted is not enough to get on.
const MANY_PERIODS_NS: u64 = 1_000_000_000;

/// One finding for each such lock.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    facts.state.locks.iter().filter_map(|lock| finding(facts, reader, lock)).collect::<Vec<_>>().into()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, lock: &Lock) -> Option<Finding> {
    let (owner, throttled) = throttled_owner(facts, lock)?;
    let queue = Queue::of(facts, lock).filter(|queue| queue.waited_ns >= patience_ns(facts))?;
    let kept = off_cpu_ns(facts, owner).unwrap_or_default();
    let confidence = if kept >= MANY_PERIODS_NS { Confidence::Confirmed } else { Confidence::Probable };
    let summary = format!(
        "{} is held by {}, which may not run: its cgroup has used up its CPU bandwidth (cpu.max), and it has not run for {}; \
         waiting for the lock, for up to {}: {}",
        lock_text::name(lock.kind, lock.address),
        describe::pid(owner),
        seconds(kept),
        seconds(queue.waited_ns),
        queue.names(),
    );
    let mut evidence = lock_text::lock_evidence(facts, reader, lock);
    let meaning = format!("the run queue of pid {}'s cgroup, which is throttled on CPU {}", owner.pid, owner.cpu);
    evidence.push(member(reader, owner.address, ("task_struct", "se.cfs_rq"), Value::Hex(throttled.get()), meaning));
    evidence.extend(off_cpu_evidence(facts, reader, owner));
    evidence.extend(off_cpu_evidence(facts, reader, queue.longest));
    let tasks = std::iter::once(owner).chain(queue.tasks()).map(|task| task.address);
    let confidence = as_the_watchdog(facts, queue.waited_ns, confidence);
    Some(Finding::new(Issue::ThrottledOwner, confidence, summary, evidence).about(tasks))
}

/// Who has a lock alone, could run, and is kept from it with its group's queue.
fn throttled_owner<'f>(facts: &'f Facts<'_>, lock: &Lock) -> Option<(&'f Task, VirtAddr)> {
    let Owner::Task(owner) = lock.owner else { return None };
    let owner = facts.snapshot.task(owner).filter(|task| task.waits_for_cpu())?;
    Some((owner, facts.state.scheduler.task(owner.address).throttled_queue?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vmcore_kernel::{Cpu, LockKind, Policy, RunQueue, Snapshot, TaskCounters, TaskState, Waiter};

    use super::*;
    use crate::reader::nothing_is_there;
    use crate::{Derived, Evidence, KernelPreemption, KernelState, Options, Preemption, read_log};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1000 * SECOND;
    const OWNER: VirtAddr = VirtAddr::new(0xffff_8880_0001_0000);
    const WAITER: VirtAddr = VirtAddr::new(0xffff_8880_0002_0000);
    const LOCK: VirtAddr = VirtAddr::new(0xffff_8880_0900_0000);
    const QUEUE: VirtAddr = VirtAddr::new(0xffff_8880_0a00_0000);

    /// Members are where their objects are; nothing else can be read.
    struct Members;

    impl Reader for Members {
        nothing_is_there! { pages addresses memory }

        fn member(
            &self,
            object: VirtAddr,
            type_name: &'static str,
            path: &'static str,
        ) -> Option<vmcore_kernel::Source> {
            Some(vmcore_kernel::Source { type_name: Some(type_name), path, address: object })
        }
    }

    fn task(address: VirtAddr, pid: i32, state: u64, off_cpu_ns: u64) -> Task {
        Task {
            address,
            pid,
            tgid: pid,
            ppid: None,
            comm: format!("task{pid}"),
            state: TaskState { state, exit_state: 0 },
            kernel_thread: false,
            cpu: 0,
            on_cpu: false,
            on_rq: u64::from(state == 0),
            sleeps_queued: false,
            policy: Policy(0),
            prio: 120,
            mm: None,
            active_mm: None,
            stack: VirtAddr::new(0),
            last_arrival_ns: Some(NOW - off_cpu_ns),
            last_queued_ns: None,
            exec_start_ns: None,
            accounting: vmcore_kernel::Accounting::default(),
        }
    }

    /// A machine on which one task waits for a lock of another, which has not run for so long.
    fn found(owner: Task, waited_ns: u64, throttled_queue: Option<VirtAddr>) -> Vec<Finding> {
        found_with(owner, task(WAITER, 2, 2, waited_ns), throttled_queue)
    }

    fn found_with(owner: Task, waiter: Task, throttled_queue: Option<VirtAddr>) -> Vec<Finding> {
        let queue = RunQueue {
            cpu: 0,
            address: VirtAddr::new(0xffff_8880_0b00_0000),
            current: VirtAddr::new(0),
            idle: VirtAddr::new(0),
            clock_ns: NOW,
            task_clock_ns: None,
            nr_running: 0,
            servers: 0,
            online: None,
            queued: Vec::new(),
        };
        let cpu = Cpu { cpu: 0, online: true, registers: None, run_queue: Some(queue) };
        let snapshot = Snapshot::from_parts(vec![owner, waiter], vec![cpu]);
        let lock = Lock {
            kind: LockKind::Mutex,
            address: LOCK,
            owner: Owner::Task(OWNER),
            words: Vec::new(),
            waiters: vec![Waiter { address: VirtAddr::new(0), task: WAITER }],
        };
        let mut state = KernelState { locks: vec![lock], ..KernelState::default() };
        state.scheduler.tasks.insert(OWNER, TaskCounters { throttled_queue, ..TaskCounters::default() });
        let facts = Facts {
            release: None,
            snapshot: &snapshot,
            running: Vec::new(),
            waiting: Vec::new(),
            blocked: Vec::new(),
            preemption: Preemption::new(KernelPreemption::Unknown, Evidence::new("preemption model", "not known")),
            log: Vec::new(),
            reports: read_log(&[]),
            gaps: Vec::new(),
            blind_spots: Vec::new(),
            incomplete: None,
            state,
            derived: Derived::default(),
        };
        let context = Context {
            facts: &facts,
            reader: &Members,
            options: &Options::default(),
            explained: BTreeSet::new(),
            livelock: Confidence::None,
            held: BTreeSet::new(),
        };
        detect(&context).findings
    }

    #[test]
    fn an_owner_that_its_quota_keeps_from_running_is_named_with_who_waits() {
        let found = found(task(OWNER, 1, 0, 30 * SECOND), 130 * SECOND, Some(QUEUE));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].issue, found[0].confidence), (Issue::ThrottledOwner, Confidence::Confirmed));
        let summary = &found[0].summary;
        for part in ["held by pid 1", "cpu.max", "not run for 30.0 s", "for up to 130.0 s: pid 2"] {
            assert!(summary.contains(part), "{part} in {summary}");
        }
        assert!(found[0].evidence.iter().any(|fact| fact.value == Some(Value::Hex(QUEUE.get()))));
    }

    #[test]
    fn a_wait_that_any_signal_ends_may_last() {
        let waiter = |state| task(WAITER, 2, state, 130 * SECOND);
        let found = |state| found_with(task(OWNER, 1, 0, 30 * SECOND), waiter(state), Some(QUEUE)).len();
        assert_eq!([found(1), found(2), found(0x102)], [0, 1, 1]);
    }

    #[test]
    fn each_link_counts() {
        let confidence = |owner_off, waited, queue| {
            found(task(OWNER, 1, 0, owner_off), waited, queue).first().map(|finding| finding.confidence)
        };
        let all = confidence(30 * SECOND, 130 * SECOND, Some(QUEUE));
        assert_eq!(all, Some(Confidence::Confirmed));
        assert_eq!(confidence(30 * SECOND, 130 * SECOND, None), None, "it has bandwidth left");
        assert_eq!(confidence(30 * SECOND, SECOND, Some(QUEUE)), None, "ordinary contention");
        let just_now = confidence(SECOND / 20, 130 * SECOND, Some(QUEUE));
        assert_eq!(just_now, Some(Confidence::Probable), "it ran in this period");
        assert!(found(task(OWNER, 1, 2, 30 * SECOND), 130 * SECOND, Some(QUEUE)).is_empty(), "it sleeps");
    }
}
