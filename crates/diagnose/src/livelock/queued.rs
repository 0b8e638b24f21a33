//! In which queue the splitter waits: where the scheduler's own trees and lists have it, not where its `task_struct` says.
//!
//! `on_rq` is 1 and `thread_info.cpu` names a CPU in every task that waits for one. That it is found in the queue of its
//! class on that CPU shows that both are right. A task whose group or deadline budget is used up is in no queue, and
//! rightly so.

use vmcore_kernel::{Class, Task};

use crate::derived::{current_on, queued};
use crate::granted::grant;
use crate::{CheckResult, Facts};

/// Where a task that waits for a CPU was found.
pub(crate) struct Place {
    /// The CPU whose queue has it, else the one that its `task_struct` names.
    pub(crate) cpu: u32,
    pub(crate) class: Option<Class>,
    /// Of the claim that it is in no run queue.
    pub(crate) result: CheckResult,
    /// What was looked at.
    pub(crate) checked: String,
}

/// Finds a task in the run queues of all CPUs.
pub(crate) fn place(facts: &Facts<'_>, task: &Task) -> Place {
    let at = |cpu, class, result, checked| Place { cpu, class, result, checked };
    if let Some(cpu) = current_on(facts, task.address) {
        let moment = facts.snapshot.cpu(cpu).filter(|_| task.on_cpu).and_then(|cpu| grant(facts, cpu));
        if let Some(moment) = moment {
            return at(cpu, None, CheckResult::Refuted, format!("it has CPU {cpu}, and {}", moment.words()));
        }
        let checked = format!("rq.curr of CPU {cpu} is this task, though task_struct.on_cpu is 0");
        return at(cpu, None, CheckResult::Holds, checked);
    }
    let found = queued(facts, task.address);
    match found {
        [] => missing(facts, task),
        [(cpu, class)] => {
            let doubt = doubt(task, *cpu, *class).or_else(|| doubt_of_queue(facts, *cpu));
            let result = if doubt.is_some() { CheckResult::Unknown } else { CheckResult::Refuted };
            let checked = format!("found in the {} of CPU {cpu}{}", name(*class), doubt.unwrap_or_default());
            at(*cpu, Some(*class), result, checked)
        }
        [(cpu, class), ..] => {
            let cpus: Vec<_> = found.iter().map(|(cpu, _)| cpu.to_string()).collect();
            let checked = format!("found in the queues of several CPUs ({})", cpus.join(", "));
            at(*cpu, Some(*class), CheckResult::Unknown, checked)
        }
    }
}

/// What its `task_struct` says otherwise.
fn doubt(task: &Task, cpu: u32, class: Class) -> Option<String> {
    let expected = match task.prio {
        ..0 => matches!(class, Class::Deadline | Class::Stop),
        0..100 => matches!(class, Class::RealTime | Class::Stop),
        _ => matches!(class, Class::Fair | Class::Ext),
    };
    if task.cpu != cpu {
        return Some(format!(", though its task_struct says CPU {}", task.cpu));
    }
    (!expected).then(|| format!(", though its task_struct says prio {}", task.prio))
}

/// What the queue's own counters say otherwise.
fn doubt_of_queue(facts: &Facts<'_>, cpu: u32) -> Option<String> {
    let queue = facts.snapshot.cpu(cpu)?.run_queue.as_ref()?;
    if queue.online == Some(false) {
        return Some(", though rq.online says that the CPU was out of service".to_owned());
    }
    // This task, and who runs; entities whose dequeue is delayed are in the tree and not counted.
    let least = 1 + u64::from(queue.current != queue.idle);
    let counted = queue.nr_running;
    (counted < least).then(|| format!(", though rq.nr_running counts {counted}, with the one that runs"))
}

/// A task that is in no queue.
fn missing(facts: &Facts<'_>, task: &Task) -> Place {
    let counters = facts.state.scheduler.task(task.address);
    let of_cpu = format!("queue of CPU {}", task.cpu);
    let gap = facts.gaps.iter().chain(&facts.snapshot.gaps).find(|gap| gap.what.ends_with(&of_cpu));
    let readable = facts.snapshot.cpu(task.cpu).is_some_and(|cpu| cpu.run_queue.is_some());
    let (result, checked) = if counters.throttled_queue.is_some() || counters.deadline_throttled == Some(true) {
        (CheckResult::Refuted, "taken off the queue of its CPU until its bandwidth is refilled".to_owned())
    } else if counters.held_back_queue.is_some() {
        let checked =
            "taken off the queue of its CPU, with its cgroup, for what has a higher rank there (cpu.qos_level)";
        (CheckResult::Refuted, checked.to_owned())
    } else if let Some(gap) = gap {
        (CheckResult::Unknown, format!("not found, and the {} cannot be read in full: {}", gap.what, gap.why))
    } else if let Some(more) = counted(facts, task.cpu) {
        (CheckResult::Unknown, format!("not found, and rq.nr_running of CPU {} counts {more} more than were", task.cpu))
    } else if readable {
        (CheckResult::Holds, format!("on_rq is 1, but neither CPU {} nor any other has it in a queue", task.cpu))
    } else {
        (CheckResult::Unknown, format!("the run {of_cpu} cannot be read"))
    };
    Place { cpu: task.cpu, class: None, result, checked }
}

/// How many more tasks a CPU counts as runnable than its queues and the current one are. A deadline server may be one of them:
/// Debian's 6.12 counts those, others do not.
fn counted(facts: &Facts<'_>, cpu: u32) -> Option<u64> {
    let queue = facts.snapshot.cpu(cpu)?.run_queue.as_ref()?;
    let known = queue.queued.len() as u64 + u64::from(queue.current != queue.idle);
    queue.nr_running.checked_sub(known).filter(|&more| more > 0)
}

/// A class's queue by its usual name.
pub(crate) const fn name(class: Class) -> &'static str {
    match class {
        Class::Stop => "stop class",
        Class::Fair => "fair queue",
        Class::RealTime => "real-time queue",
        Class::Deadline => "deadline queue",
        Class::Ext => "queue of the extensible class (sched_ext)",
    }
}
