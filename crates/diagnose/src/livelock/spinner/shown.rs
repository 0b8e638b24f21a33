//! What is shown of for how long a task has had its CPU.

use vmcore_kernel::{Cpu, Task};

use crate::evidence::{self, decimal};
use crate::text::seconds;
use crate::time_on_cpu::TimeOnCpu;
use crate::{Evidence, Reader};

/// Who shows that only tasks of a higher rank came in between.
pub(super) fn witness_evidence(cpu: &Cpu, time: &TimeOnCpu<'_>, reader: &dyn Reader) -> Option<Evidence> {
    let witness = time.witness?;
    let meaning = format!(
        "pid {} has been waiting for CPU {} since then, so the CPU was not idle, and for {} nothing has run there \
         except its current task and tasks that outrank it",
        witness.pid,
        cpu.cpu,
        seconds(time.ns)
    );
    let member = ("task_struct", "sched_info.last_queued");
    Some(evidence::member(reader, witness.address, member, decimal(witness.last_queued_ns?), meaning))
}

/// Since when it has it.
pub(super) fn running_evidence(
    cpu: &Cpu,
    task: &Task,
    running_ns: Option<u64>,
    reader: &dyn Reader,
) -> Option<Evidence> {
    let queue = cpu.run_queue.as_ref()?;
    let meaning = format!(
        "on CPU {} without being scheduled out for {}: rq.clock {} minus this",
        cpu.cpu,
        seconds(running_ns?),
        queue.clock_ns
    );
    let member = ("task_struct", "sched_info.last_arrival");
    Some(evidence::member(reader, task.address, member, decimal(task.last_arrival_ns?), meaning))
}
