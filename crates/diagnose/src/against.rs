//! What would make a verdict false that is not the livelock, and what was found.
//!
//! Each kind of verdict has its own: a lock's circle is none if one of its tasks has run meanwhile, a stuck CPU is not
//! stuck if it switched tasks, a report of the log counts for nothing if a program wrote it.

use vmcore_console::PanicReason;
use vmcore_kernel::Task;

use crate::clock::off_cpu_ns;
use crate::derived::runs_ahead;
use crate::describe::pid;
use crate::kernel_code::in_kernel_code;
use crate::text::seconds;
use crate::{CheckResult, Facts, Finding, Issue, KernelPreemption, Refutation, Severity, describe, exception};

/// More tasks are not checked one by one.
const MAX_TASKS: usize = 8;

/// The checks of the finding that the verdict is about.
pub(crate) fn checks(facts: &Facts<'_>, finding: &Finding) -> Vec<Refutation> {
    let tasks = || finding.tasks.iter().take(MAX_TASKS).filter_map(|&task| facts.snapshot.task(task));
    let mut checks = Vec::new();
    match finding.issue {
        Issue::Deadlock
        | Issue::LockHeld
        | Issue::WorkNotDone
        | Issue::PageLocked
        | Issue::HungTask
        | Issue::IoError => {
            checks.extend(tasks().filter(|task| !task.on_cpu).map(|task| has_run(facts, task)));
        }
        Issue::SoftLockup | Issue::HardLockup => {
            checks.extend(tasks().flat_map(|task| [switched(facts, task), in_user_code(facts, task)]));
        }
        Issue::Starvation => {
            let (hogs, waiting): (Vec<_>, Vec<_>) = tasks().partition(|task| task.on_cpu);
            checks.extend(hogs.into_iter().map(|task| gives_way(facts, task)));
            checks.extend(waiting.into_iter().map(|task| got_a_cpu(facts, task)));
        }
        Issue::SpinlockHeld => checks.extend(facts.state.spins.iter().map(|spin| {
            let claim = format!("the lock that CPU {} spins for is free", spin.cpu);
            let word = format!("its word at {} is {:#x}", spin.lock, spin.word.value());
            claimed(claim, word, Some(!spin.word.is_taken()))
        })),
        Issue::UnansweredCall => checks.extend(facts.state.calls.iter().map(|call| {
            /// `CSD_FLAG_LOCK`.
            const LOCKED: u64 = 1;
            let claim = format!("CPU {} has answered CPU {}", call.to, call.from);
            claimed(
                claim,
                format!("flags of the call at {}: {:#x}", call.flags_at.address, call.flags),
                Some(call.flags & LOCKED == 0),
            )
        })),
        // Of one that has ended since it is said that it has.
        Issue::RcuStall if finding.severity == Severity::Critical => {
            let died_of_it = facts.death() == Some(PanicReason::RcuStall);
            let period = facts.state.grace_period.as_ref().filter(|period| period.running || !died_of_it);
            checks.extend(period.map(|period| {
                let claim = "the grace period has ended".to_owned();
                claimed(claim, format!("rcu_state.gp_seq is {:#x}", period.seq), Some(!period.running))
            }));
        }
        Issue::Oops => checks.push(claimed(
            "the exception was caused on purpose (sysrq-c)".to_owned(),
            "the functions on the stack that caused it".to_owned(),
            Some(exception::by_sysrq(facts)),
        )),
        _ => {}
    }
    checks.extend(finding.is_from_log.then(written_by_a_program));
    checks
}

/// A claim that is true, false or not known to be either.
fn claimed(claim: String, checked: String, holds: Option<bool>) -> Refutation {
    let result = match holds {
        Some(true) => CheckResult::Holds,
        Some(false) => CheckResult::Refuted,
        None => CheckResult::Unknown,
    };
    Refutation { claim, checked, result }
}

fn has_run(facts: &Facts<'_>, task: &Task) -> Refutation {
    let off = off_cpu_ns(facts, task);
    let checked = match off {
        Some(off) => format!("state {}, and not run for {}", task.state.letter(), seconds(off)),
        None => "when it last ran is not kept".to_owned(),
    };
    // Of a lock it counts that the task sleeps now; that it has not run for long shows that it goes on.
    claimed(format!("{} is awake", pid(task)), checked, off.map(|_| task.state.is_running() && task.on_rq == 0))
}

fn switched(facts: &Facts<'_>, task: &Task) -> Refutation {
    let cpu = facts.snapshot.cpu_running(task);
    let running = cpu.and_then(|cpu| facts.running_ns(cpu));
    let checked = match (cpu, running) {
        (Some(cpu), _) if runs_ahead(facts, cpu).is_some() => "the clock of its CPU cannot be right".to_owned(),
        (Some(cpu), Some(running)) => format!("rq.curr of CPU {} for {}", cpu.cpu, seconds(running)),
        (Some(_), None) => "the kernel does not keep when it was scheduled in".to_owned(),
        (None, _) => "no CPU runs it any more".to_owned(),
    };
    let known = cpu.zip(running).filter(|(cpu, _)| runs_ahead(facts, cpu).is_none());
    claimed(format!("{} has lost its CPU meanwhile", pid(task)), checked, known.map(|_| false))
}

fn in_user_code(facts: &Facts<'_>, task: &Task) -> Refutation {
    let cpu = facts.snapshot.cpu_running(task);
    let in_kernel = cpu.is_some_and(|cpu| in_kernel_code(facts, cpu));
    let user = task.accounting.user_ns.map(|ns| format!("; {} in user code in all its life (utime)", seconds(ns)));
    let checked = match in_kernel {
        true => format!("its CPU was caught in kernel code{}", user.unwrap_or_default()),
        false => "where its CPU was is not known".to_owned(),
    };
    claimed(format!("{} was in user code, where others get their turn", pid(task)), checked, in_kernel.then_some(false))
}

fn gives_way(facts: &Facts<'_>, hog: &Task) -> Refutation {
    let in_kernel = facts.snapshot.cpu_running(hog).is_some_and(|cpu| in_kernel_code(facts, cpu));
    let is_preempted = facts.preemption.of_kernel_code == KernelPreemption::Yes;
    let checked = match (hog.is_above_fair(), in_kernel) {
        (true, _) => format!("{} outranks them", describe::rank(hog)),
        (false, true) if is_preempted => {
            format!("{}, but it is in kernel code, which may have preemption off", facts.preemption.evidence.meaning)
        }
        (false, true) => format!("it is in kernel code, and {}", facts.preemption.evidence.meaning),
        (false, false) => "what it does is not known".to_owned(),
    };
    let refuted = (hog.is_above_fair() || in_kernel && !is_preempted).then_some(false);
    claimed(format!("{} gives its CPU to those that wait", pid(hog)), checked, refuted)
}

fn got_a_cpu(facts: &Facts<'_>, task: &Task) -> Refutation {
    let waited = facts.waiting_ns(task);
    let in_all = facts.state.scheduler.task(task.address).run_delay_ns;
    let checked = match (waited, in_all) {
        (Some(waited), Some(all)) => {
            format!("queued for {}, and for {} in total since it started", seconds(waited), seconds(all))
        }
        (Some(waited), None) => format!("queued for {}", seconds(waited)),
        (None, _) => "since when it waits is not kept".to_owned(),
    };
    claimed(format!("{} got a CPU meanwhile", pid(task)), checked, waited.map(|_| false))
}

fn written_by_a_program() -> Refutation {
    claimed(
        "the report was written to the log by a program".to_owned(),
        "only lines of the kernel itself (facility 0) are read".to_owned(),
        Some(false),
    )
}
