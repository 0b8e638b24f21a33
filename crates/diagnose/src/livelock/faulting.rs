//! Has a CPU's task been faulting all the time that it has had the CPU?
//!
//! That it is in a page fault now, and has not been scheduled out for ten seconds, does not show that these ten seconds
//! went by in page faults. What the kernel counts does: `min_flt` goes up by one with every fault that is retried, and
//! the time goes to `stime`, not to `utime`. Real spinners had 300 000 to 1 600 000 faults, 30 000 in a second and more, and
//! up to 8 ms of user time; tasks that were caught in an ordinary fault 28 to 203 faults.
//!
//! The counters are of a task's whole life: of one that was busy before they say at most how often it faulted.

use vmcore_kernel::Task;

use crate::counted::FAULTS_PER_SECOND;
use crate::evidence::{decimal, member};
use crate::text::seconds;
use crate::{CheckResult, Evidence, Reader};

const SECOND_NS: u128 = 1_000_000_000;

/// What a task's counters say of its faults.
pub(crate) struct Faulting {
    /// Of the claim that it does not fault again and again.
    pub(crate) result: CheckResult,
    /// What was looked at.
    pub(crate) checked: String,
    pub(crate) evidence: Vec<Evidence>,
    /// Whether next to none of its time went by in user code; `None` where that cannot be told.
    pub(crate) stays_in_kernel: Option<bool>,
}

/// Looks at the counters of a task that has kept its CPU for `kept_ns`.
pub(crate) fn assess(task: &Task, kept_ns: Option<u64>, reader: &dyn Reader) -> Faulting {
    let (result, checked) = judge(task, kept_ns);
    let accounting = task.accounting;
    let fact = |path, value: Option<u64>, meaning: &dyn Fn(u64) -> String| {
        value.map(|value| member(reader, task.address, ("task_struct", path), decimal(value), meaning(value)))
    };
    let faults = fact("min_flt", accounting.minor_faults, &|_| match kept_ns {
        Some(ns) => format!("page faults in its life; it has kept its CPU for {} of it", seconds(ns)),
        None => "page faults in its life".to_owned(),
    });
    let user = fact("utime", accounting.user_ns, &|ns| format!("{} in user code in all its life", seconds(ns)));
    let system = fact("stime", accounting.system_ns, &|ns| format!("{} in kernel code", seconds(ns)));
    let stays = |(user, kept): (u64, u64)| user <= kept / 10;
    Faulting {
        result,
        checked,
        evidence: [faults, user, system].into_iter().flatten().collect(),
        stays_in_kernel: accounting.user_ns.zip(kept_ns).map(stays),
    }
}

fn judge(task: &Task, kept_ns: Option<u64>) -> (CheckResult, String) {
    let accounting = task.accounting;
    let Some(faults) = accounting.minor_faults else {
        return (CheckResult::Unknown, "task_struct.min_flt cannot be read".to_owned());
    };
    let Some(kept) = kept_ns else {
        return (CheckResult::Unknown, format!("{faults} page faults (min_flt), in what time is not known"));
    };
    let rate = u128::from(faults) * SECOND_NS / u128::from(kept.max(1));
    let counted = format!("{faults} page faults (min_flt) in its life, {} on its CPU without a break", seconds(kept));
    if rate < FAULTS_PER_SECOND.into() {
        return (CheckResult::Holds, format!("only {counted}"));
    }
    if let Some((user, system)) = accounting.user_ns.zip(accounting.system_ns) {
        // Where neither adds up to the time on the CPU, the kernel counts it only as the task changes between the two.
        if user >= kept / 2 && system < kept / 4 {
            let times = format!("{} in user code (utime), {} in kernel code (stime)", seconds(user), seconds(system));
            return (CheckResult::Holds, format!("{counted}, but {times}"));
        }
    }
    (CheckResult::Refuted, counted)
}

#[cfg(test)]
mod tests {
    use vmcore_kernel::{Accounting, Policy, TaskState};
    use vmcore_memory::VirtAddr;

    use super::*;

    const KEPT: u64 = 10_000_000_000;

    fn check(
        minor_faults: Option<u64>,
        user_ns: Option<u64>,
        system_ns: Option<u64>,
        kept: Option<u64>,
    ) -> CheckResult {
        let task = Task {
            address: VirtAddr::new(0xffff_8880_0000_1000),
            pid: 1,
            tgid: 1,
            ppid: None,
            comm: "task".to_owned(),
            state: TaskState::default(),
            kernel_thread: false,
            cpu: 0,
            on_cpu: true,
            on_rq: 1,
            sleeps_queued: false,
            policy: Policy(0),
            prio: 120,
            mm: None,
            active_mm: None,
            stack: VirtAddr::new(0),
            last_arrival_ns: None,
            last_queued_ns: None,
            exec_start_ns: None,
            accounting: Accounting { minor_faults, user_ns, system_ns },
        };
        judge(&task, kept).0
    }

    #[test]
    fn real_spinners_and_ordinary_tasks() {
        let (user, system) = (Some(8_000_000), Some(9_900_000_000));
        assert_eq!(check(Some(300_000), user, system, Some(KEPT)), CheckResult::Refuted);
        assert_eq!(check(Some(203), user, system, Some(KEPT)), CheckResult::Holds);
        // Without times of its own, and with times that are not kept.
        assert_eq!(check(Some(300_000), None, None, Some(KEPT)), CheckResult::Refuted);
        assert_eq!(check(Some(300_000), Some(0), Some(0), Some(KEPT)), CheckResult::Refuted);
    }

    #[test]
    fn a_task_that_computes_is_not_faulting_all_the_time() {
        let (user, system) = (Some(9_000_000_000), Some(1_000_000_000));
        assert_eq!(check(Some(300_000), user, system, Some(KEPT)), CheckResult::Holds);
        // It computed for an hour before.
        assert_eq!(check(Some(300_000), Some(3600 * KEPT), Some(KEPT), Some(KEPT)), CheckResult::Refuted);
    }

    #[test]
    fn what_is_not_counted_is_unknown() {
        assert_eq!(check(None, Some(0), Some(KEPT), Some(KEPT)), CheckResult::Unknown);
        assert_eq!(check(Some(300_000), Some(0), Some(KEPT), None), CheckResult::Unknown);
    }
}
