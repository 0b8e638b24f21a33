//! Reads [`KernelState`].

use std::collections::{BTreeSet, HashSet};

use vmcore_kernel::{Detail, Kernel, Lock, LockWait, LogRecord, Owner, Snapshot, Stack, Task, WorkWait};
use vmcore_memory::{Architecture, ReadVirtual, VirtAddr};

use super::{KernelState, Limits, late_disks, owner_spin, spin_scan};
use crate::{Reader, names};

/// More tasks that have locks or works than anybody wants to see the stacks of.
const MAX_OWNERS: usize = 256;

/// `irqchip.gicv3_pseudo_nmi=1` was given to a kernel of arm64 (`arch/arm64/kernel/cpufeature.c`), or nothing says that it was not.
fn masks_by_priority(kernel: &Kernel<'_>) -> bool {
    let Some(switch) = kernel.symbol("enable_pseudo_nmi") else {
        return kernel.architecture() == Architecture::Arm64 && kernel.vmlinux().lacks_variables();
    };
    kernel.memory().read_bytes(switch, 1).is_ok_and(|given| given != [0])
}

/// Reads what findings need besides the facts of the livelock; `blocked` are the stacks of sleeping tasks,
/// `running` those of the CPUs.
pub(crate) fn collect<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    blocked: &[Stack],
    running: &[(u32, Stack)],
    log: &[LogRecord],
) -> KernelState {
    let survey = snapshot.survey_stacks(kernel);
    let interruptible: Vec<_> =
        survey.in_locks.iter().copied().filter(|task| is_interruptible(snapshot, *task)).collect();
    let interruptible = snapshot.stacks(kernel, &interruptible, Detail::Symbols);
    let (lock_waits, locks) = kernel.lock_waits(snapshot, blocked.iter().chain(&interruptible));
    let found: HashSet<_> = lock_waits.iter().filter_map(|wait| snapshot.task_index(wait.task)).collect();
    let not_found = survey.in_locks.iter().filter(|task| !found.contains(task)).count();
    let work_waits = kernel.work_waits(snapshot, blocked);
    let owners = owners(snapshot, &lock_waits, &locks, &work_waits);
    let callers: Vec<_> =
        running.iter().filter(|(_, stack)| names::waits_for_answer(stack)).map(|(cpu, _)| *cpu).collect();
    let pending = kernel.pending_calls(snapshot, &callers);
    let (grace_period, unread_grace_period) = match kernel.grace_period() {
        Ok(period) => (period, None),
        Err(gap) => (None, Some(gap)),
    };
    KernelState {
        panic: kernel.panic(snapshot, log),
        unseen_waits: survey.unseen + not_found,
        lock_waits,
        locks,
        left_out: left_out(kernel, snapshot, blocked),
        page_waits: kernel.page_waits(snapshot, blocked),
        work_waits,
        late_disks: late_disks::late_disks(kernel),
        spins: spin_scan::spins(kernel, snapshot, running),
        owner_spins: owner_spin::owner_spins(kernel, snapshot, running),
        calls: pending.calls,
        unknown_calls: pending.unknown,
        grace_period,
        unread_grace_period,
        owners: snapshot.stacks(kernel, &owners, Detail::Symbols),
        limits: Limits::read(kernel),
        followed: survey.followed,
        traced: survey.traced.iter().filter_map(|task| snapshot.tasks.get(*task)).map(|task| task.pid).collect(),
        scheduler: kernel.scheduler_state(snapshot),
        timekeeper_ns: kernel.timekeeper_ns(),
        masks_by_priority: masks_by_priority(kernel),
    }
}

fn is_interruptible(snapshot: &Snapshot, task: usize) -> bool {
    snapshot.tasks.get(task).is_some_and(|task| task.state.is_interruptible() && !task.waits_for_cpu())
}

/// The sleeping tasks with `PF_FREEZER_SKIP`: threads that wait while their process dumps core, for one. Up to 6.0 (kernel commit
/// f5d39b020809 took the flag and the counter away), `check_hung_task()` passes over them.
fn left_out(kernel: &Kernel<'_>, snapshot: &Snapshot, blocked: &[Stack]) -> HashSet<VirtAddr> {
    const FREEZER_SKIP: u32 = 0x4000_0000;
    if kernel.symbol("system_freezing_cnt").is_none() {
        return HashSet::new();
    }
    let tasks = blocked.iter().filter_map(|stack| snapshot.tasks.get(stack.task)).map(|task| task.address);
    let flags = |task| kernel.memory().read_u32(Reader::member(kernel, task, "task_struct", "flags")?.address).ok();
    tasks.filter(|task| flags(*task).is_some_and(|flags| flags & FREEZER_SKIP != 0)).collect()
}

/// The tasks that have a lock or a work and sleep so that a signal wakes them, at most [`MAX_OWNERS`]; first those that may be
/// part of a circle or keep somebody from running whom no signal wakes.
fn owners(snapshot: &Snapshot, lock_waits: &[LockWait], locks: &[Lock], work_waits: &[WorkWait]) -> Vec<usize> {
    let waiting: HashSet<_> = lock_waits.iter().map(|wait| wait.task).collect();
    let is_blocked = |task| snapshot.task(task).is_some_and(Task::sleeps_uninterruptibly);
    let of_locks = locks.iter().filter_map(|lock| {
        let owner = match &lock.owner {
            Owner::Task(task) => *task,
            Owner::Readers { last, .. } => (*last)?,
            Owner::Nobody | Owner::Unknown(_) => return None,
        };
        let counts = waiting.contains(&owner) || lock.waiters.iter().any(|waiter| is_blocked(waiter.task));
        Some((!counts, owner))
    });
    let workers = work_waits.iter().filter_map(|wait| wait.work.worker()).map(|worker| (false, worker));
    let asleep = |index: &usize| {
        let task = snapshot.tasks.get(*index);
        task.is_some_and(|task| !task.waits_for_cpu() && !task.on_cpu && !task.state.is_uninterruptible())
    };
    let owners: BTreeSet<_> = of_locks.chain(workers).collect();
    let owners = owners.into_iter().filter_map(|(_, task)| snapshot.task_index(task)).filter(asleep);
    let mut seen = HashSet::new();
    let mut owners: Vec<_> = owners.filter(|index| seen.insert(*index)).take(MAX_OWNERS).collect();
    owners.sort_unstable();
    owners
}
