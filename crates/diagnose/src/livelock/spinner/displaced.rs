//! A real-time task that is off its CPU for a moment which fair tasks are granted there: does it spin when it has the CPU?
//!
//! It was preempted wherever it was. Where that was in a page fault of kernel code, its stack says so as that of a running task does;
//! how long it has been doing nothing else only its counters say.

use vmcore_kernel::{Cpu, Task};

use super::{Assessment, Candidate, assess_fault, by_count, keeping_mm};
use crate::granted::Grant;
use crate::{Facts, Reader, fault};

/// Assesses a task that was passed over on a CPU.
pub(crate) fn assess_displaced(
    facts: &Facts<'_>,
    cpu: &Cpu,
    (grant, task): (&Grant<'_>, &Task),
    reader: &dyn Reader,
    threshold_ns: u64,
) -> Assessment {
    let assessment = match facts.stack_of(task.address) {
        None => Assessment::Unknown(format!("CPU {}: the stack of pid {} was not read", cpu.cpu, task.pid)),
        Some(stack) => match (fault::find(stack, None, keeping_mm(task), reader), &stack.error) {
            (Some(fault), _) => assess_fault(facts, cpu, task, (stack, &fault), None, reader),
            (None, Some(error)) => Assessment::Unknown(format!(
                "CPU {}: the stack of pid {} cannot be followed: {error}",
                cpu.cpu, task.pid
            )),
            (None, None) => Assessment::No(format!("pid {} is in no page fault of kernel code", task.pid)),
        },
    };
    let assessment = match assessment {
        Assessment::Candidate(candidate) => {
            let lends = Some(format!("its CPU was taken from it for a moment: {}", grant.words()));
            let mut candidate = Candidate { lends, ..*candidate };
            let evidence = grant.evidence(task, reader);
            candidate.spinner.evidence.insert(0, evidence.clone());
            candidate.fault_evidence.insert(0, evidence);
            Assessment::Candidate(Box::new(candidate))
        }
        other => other,
    };
    by_count(facts, task, "nothing shows that it faults all the time".to_owned(), assessment, reader, threshold_ns)
}
