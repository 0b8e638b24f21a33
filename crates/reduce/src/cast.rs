//! Which tasks take part in a scenario.

use std::collections::BTreeSet;

use vmcore_diagnose::graph::Node;
use vmcore_kernel::Owner;
use vmcore_memory::VirtAddr;

use crate::Source;

/// How much of a machine goes into a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What the verdict names.
    Verdict,
    /// Everybody who runs, waits for a CPU or is blocked as well.
    Everybody,
}

/// More tasks of a kind than anybody wants to read.
const MAX_TASKS: usize = 64;

/// The tasks of a scenario, by their indices in the snapshot.
pub(crate) struct Cast {
    tasks: BTreeSet<usize>,
}

impl Cast {
    pub(crate) fn of(source: &Source<'_, '_>, scope: Scope) -> Self {
        let facts = source.facts;
        let mut cast = Self { tasks: BTreeSet::new() };
        let mut add = |address: VirtAddr| cast.tasks.extend(facts.snapshot.task_index(address));
        let diagnosis = source.diagnosis;
        diagnosis.spinners.iter().for_each(|spinner| add(spinner.task));
        diagnosis.splitters.iter().for_each(|splitter| add(splitter.task));
        for finding in diagnosis.findings.iter().filter(|finding| Some(finding.issue) == diagnosis.verdict.issue) {
            finding.tasks.iter().take(MAX_TASKS).for_each(|task| add(*task));
        }
        let current = |cpu: u32| facts.snapshot.cpu(cpu)?.run_queue.as_ref().map(|queue| queue.current);
        for node in diagnosis.graph.nodes() {
            match node {
                Node::Task { address, .. } => add(*address),
                Node::Cpu { cpu } | Node::RunQueue { cpu } => current(*cpu).into_iter().for_each(&mut add),
                _ => {}
            }
        }
        facts.state.panic.cpu.and_then(current).into_iter().for_each(&mut add);
        for spin in &facts.state.spins {
            let cpus = spin.holders.iter().map(|holder| holder.cpu).chain([spin.cpu]);
            cpus.filter_map(current).for_each(&mut add);
        }
        for held in facts.state.grace_period.iter().flat_map(|period| &period.cpus) {
            current(held.cpu).into_iter().for_each(&mut add);
        }
        if scope == Scope::Everybody {
            let stacks = facts.waiting.iter().take(MAX_TASKS).chain(facts.blocked.iter().take(MAX_TASKS));
            cast.tasks.extend(facts.running.iter().map(|(_, stack)| stack).chain(stacks).map(|stack| stack.task));
            let locks = facts.state.locks.iter().filter_map(|lock| match lock.owner {
                Owner::Task(owner) => Some(owner),
                Owner::Readers { last, .. } => last,
                Owner::Nobody | Owner::Unknown(_) => None,
            });
            cast.tasks.extend(locks.filter_map(|owner| facts.snapshot.task_index(owner)));
        }
        // The idle tasks are there by themselves.
        cast.tasks.retain(|index| facts.snapshot.tasks.get(*index).is_some_and(|task| task.pid > 0));
        cast
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &usize> {
        self.tasks.iter()
    }

    /// The thread id of a task, if it takes part.
    pub(crate) fn pid(&self, source: &Source<'_, '_>, task: VirtAddr) -> Option<i32> {
        let index = source.facts.snapshot.task_index(task).filter(|index| self.tasks.contains(index))?;
        source.facts.snapshot.tasks.get(index).map(|task| task.pid)
    }
}
