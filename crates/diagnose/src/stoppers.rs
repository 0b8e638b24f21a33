//! CPUs that wait for each other's stopper threads.
//!
//! `multi_cpu_stop()` in `kernel/stop_machine.c` has the `migration/N` threads of several CPUs come together: each keeps its CPU, above
//! all other tasks, until the last of them has come. So where one does not get its CPU, all others seem to be kept by a thread of
//! the highest rank, which is itself only a victim.

use vmcore_kernel::{Class, Cpu};

use crate::Facts;
use crate::names::is_stopper_waiting;

/// Whether what a CPU runs only waits for the stopper thread of another one, which has not got its CPU.
pub(crate) fn waits_for_another(facts: &Facts<'_>, cpu: u32) -> bool {
    let others = facts.snapshot.cpus.iter().filter(|other| other.cpu != cpu);
    facts.running_on(cpu).is_some_and(is_stopper_waiting)
        && others.into_iter().any(|other| has_stopper_waiting(facts, other))
}

fn has_stopper_waiting(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let queued = cpu.run_queue.iter().flat_map(|queue| &queue.queued);
    let mut stoppers = queued.filter(|queued| queued.class == Class::Stop);
    stoppers.any(|queued| facts.snapshot.task(queued.task).is_some_and(vmcore_kernel::Task::waits_for_cpu))
}
