//! Reads [`KernelState`].

use vmcore_kernel::{Detail, Kernel, LogRecord, Owner, Snapshot, Stack};

use vmcore_memory::ReadVirtual;

use super::{KernelState, Limits, spin_scan};
use crate::names;

/// More tasks that have locks or works than anybody wants to see the stacks of.
const MAX_OWNERS: usize = 256;

/// `irqchip.gicv3_pseudo_nmi=1` was given to a kernel of arm64 (`arch/arm64/kernel/cpufeature.c`).
fn masks_by_priority(kernel: &Kernel<'_>) -> bool {
    let given = kernel.symbol("enable_pseudo_nmi").and_then(|switch| kernel.memory().read_bytes(switch, 1).ok());
    given.is_some_and(|given| given != [0])
}

/// Reads what findings need besides the facts of the livelock; `blocked` are the stacks of sleeping tasks,
/// `running` those of the CPUs.
pub(crate) fn collect(
    kernel: &Kernel<'_>,
    snapshot: &Snapshot,
    blocked: &[Stack],
    running: &[(u32, Stack)],
    log: &[LogRecord],
) -> KernelState {
    let (lock_waits, locks) = kernel.lock_waits(snapshot, blocked);
    let owner = |owner: &Owner| match owner {
        Owner::Task(task) => Some(*task),
        Owner::Readers { last, .. } => *last,
        Owner::Nobody | Owner::Unknown(_) => None,
    };
    let asleep = |index: &usize| {
        let task = snapshot.tasks.get(*index);
        task.is_some_and(|task| !task.state.is_running() && !task.on_cpu && !task.state.is_uninterruptible())
    };
    let work_waits = kernel.work_waits(snapshot, blocked);
    let workers = work_waits.iter().filter_map(|wait| wait.work.worker());
    let owners = locks.iter().filter_map(|lock| owner(&lock.owner)).chain(workers);
    let owners = owners.filter_map(|task| snapshot.task_index(task));
    let mut owners: Vec<_> = owners.filter(asleep).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.truncate(MAX_OWNERS);
    let callers: Vec<_> =
        running.iter().filter(|(_, stack)| names::waits_for_answer(stack)).map(|(cpu, _)| *cpu).collect();
    KernelState {
        panic: kernel.panic(snapshot, log),
        lock_waits,
        locks,
        page_waits: kernel.page_waits(snapshot, blocked),
        work_waits,
        spins: spin_scan::spins(kernel, snapshot, running),
        calls: kernel.pending_calls(snapshot, &callers),
        grace_period: kernel.grace_period(),
        owners: snapshot.stacks(kernel, &owners, Detail::Symbols),
        limits: Limits::read(kernel),
        followed: snapshot.stacks_followed(kernel),
        scheduler: kernel.scheduler_state(snapshot),
        timekeeper_ns: kernel.timekeeper_ns(),
        masks_by_priority: masks_by_priority(kernel),
    }
}
