//! Reading what a judgement needs, and no more: the stacks of tasks that run, wait for a CPU, or are blocked.

use vmcore_kernel::{Detail, Kernel, Snapshot, Stack, Task};

use crate::{Evidence, Facts, KernelPreemption, LogLine, Place, Value};

/// Reads the facts of a kernel. The stacks that are shown in full have source lines, the others only symbols.
#[must_use]
pub fn collect<'a>(kernel: &Kernel<'_>, snapshot: &'a Snapshot) -> Facts<'a> {
    let running: Vec<_> = snapshot
        .cpus
        .iter()
        .filter_map(|cpu| Some((cpu.cpu, snapshot.task_index(cpu.run_queue.as_ref()?.current)?)))
        .collect();
    let indices: Vec<_> = running.iter().map(|(_, task)| *task).collect();
    let stacks = snapshot.stacks(kernel, &indices, Detail::Source);
    let mut gaps = snapshot.gaps.clone();
    let log = kernel.log(&mut gaps);
    Facts {
        release: kernel.release().map(str::to_owned),
        snapshot,
        running: running.iter().map(|(cpu, _)| *cpu).zip(stacks).collect(),
        waiting: stacks_of(kernel, snapshot, Task::waits_for_cpu),
        blocked: stacks_of(kernel, snapshot, |task| task.state.is_uninterruptible()),
        preemption: preemption(kernel),
        log: log.into_iter().map(|record| LogLine { timestamp_ns: record.timestamp_ns, text: record.text }).collect(),
        gaps,
    }
}

fn preemption(kernel: &Kernel<'_>) -> (KernelPreemption, Evidence) {
    let found = kernel.preemption();
    let preempts = match found.preempts_kernel_code() {
        Some(false) => KernelPreemption::No,
        Some(true) => KernelPreemption::Yes,
        None => KernelPreemption::Unknown,
    };
    let mut evidence = Evidence::new("preemption model", format!("preempt={}: {}", found.model.name(), found.evidence));
    evidence.place = found.address.map(Place::Kernel);
    evidence.value = found.value.map(|value| Value::Decimal(value.into()));
    (preempts, evidence)
}

fn stacks_of(kernel: &Kernel<'_>, snapshot: &Snapshot, which: impl Fn(&Task) -> bool) -> Vec<Stack> {
    let indices: Vec<_> =
        snapshot.tasks.iter().enumerate().filter(|(_, task)| which(task)).map(|(index, _)| index).collect();
    snapshot.stacks(kernel, &indices, Detail::Symbols)
}
