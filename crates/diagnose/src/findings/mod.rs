//! Everything that stops a machine and is not the huge-page livelock: one row in one table for each detector.
//!
//! A finding is made from what the kernel's structures say; the log is evidence beside them, or all there is where a
//! watchdog keeps its knowledge to itself. What is ordinary on a busy machine is no finding: waits count from the time
//! on from which the kernel itself would complain.

mod deadlock;
mod hard_lockup;
mod held;
mod hung;
mod idle;
mod ipi;
mod late_disk;
mod nobody_left;
mod oops;
mod owner_spin;
mod page_lock;
mod panic;
mod passed_over;
mod rcu_stall;
mod reported;
mod soft_lockup;
mod spin_circle;
mod spinlock;
mod starvation;
mod throttled;
mod work;

use std::collections::BTreeSet;

use vmcore_memory::VirtAddr;

use crate::clock::off_cpu_ns;
use crate::graph::{Edge, Node};
use crate::{Confidence, Facts, Finding, Issue, Options, Reader, Severity};

/// What a detector works with.
pub(crate) struct Context<'c> {
    pub(crate) facts: &'c Facts<'c>,
    pub(crate) reader: &'c dyn Reader,
    pub(crate) options: &'c Options,
    /// CPUs of which it is known already what keeps them from running others: see [`spinning_long`].
    pub(crate) explained: BTreeSet<u32>,
    /// How sure the livelock is.
    pub(crate) livelock: Confidence,
    /// Pages of which it is known already who has them.
    pub(crate) held: BTreeSet<Node>,
}

impl Context<'_> {
    /// Whether a task's wait is worth an edge: a queue that moves is no part of a hang.
    fn lasts(&self, task: VirtAddr) -> bool {
        let waited = self.facts.snapshot.task(task).and_then(|task| off_cpu_ns(self.facts, task));
        waited.is_some_and(|waited| waited >= self.options.spin_threshold_ns)
    }
}

/// What a detector found: findings, the most telling first, and who waits for whom.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) findings: Vec<Finding>,
    pub(crate) edges: Vec<Edge>,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], edges: Vec::new() }
    }
}

impl From<Vec<Finding>> for Found {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings, edges: Vec::new() }
    }
}

impl From<Option<Finding>> for Found {
    fn from(finding: Option<Finding>) -> Self {
        finding.into_iter().collect::<Vec<_>>().into()
    }
}

/// A detector.
struct Detector {
    /// What it can find.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests hold it against what is found"))]
    finds: &'static [Issue],
    run: fn(&Context<'_>) -> Found,
}

/// All detectors, in the order in which their findings are shown. A new one is a row here, its module, and what it finds a
/// row in [`Issue::definition`].
const DETECTORS: [Detector; 18] = [
    // Sleepers in a circle of locks.
    Detector { finds: &[Issue::Deadlock], run: deadlock::detect },
    // A lock whose owner is kept from running by its cgroup's quota.
    Detector { finds: &[Issue::ThrottledOwner], run: throttled::detect },
    // A lock that others wait for too long, and what its owner does.
    Detector { finds: &[Issue::LockHeld], run: held::detect },
    // A lock whose owner runs, and that others spin for instead of sleeping.
    Detector { finds: &[Issue::LockHeld], run: owner_spin::detect },
    // A page that stays locked or under writeback.
    Detector { finds: &[Issue::PageLocked], run: page_lock::detect },
    // A work that is not done while others wait for it.
    Detector { finds: &[Issue::WorkNotDone], run: work::detect },
    // A disk that does not complete its requests.
    Detector { finds: &[Issue::IoError], run: late_disk::detect },
    // A spin lock that is not released, and who spins for it.
    Detector { finds: &[Issue::SpinlockHeld], run: spinlock::detect },
    // A call to another CPU that is not answered.
    Detector { finds: &[Issue::UnansweredCall], run: ipi::detect },
    // A CPU with interrupts off for too long.
    Detector { finds: &[Issue::HardLockup], run: hard_lockup::detect },
    // A grace period that does not end.
    Detector { finds: &[Issue::RcuStall], run: rcu_stall::detect },
    // Tasks that could run and get no CPU.
    Detector { finds: &[Issue::Starvation], run: starvation::detect },
    // The same on a CPU that idles.
    Detector { finds: &[Issue::Starvation], run: idle::detect },
    // Tasks that sleep uninterruptibly for too long, whatever for.
    Detector { finds: &[Issue::HungTask], run: hung::detect },
    // An exception in kernel code.
    Detector { finds: &[Issue::Oops], run: oops::detect },
    // Out of memory, work that no worker begins, a crash that was asked for, any other panic.
    Detector {
        finds: &[Issue::OutOfMemory, Issue::WorkqueueLockup, Issue::HardwareError, Issue::CrashRequested, Issue::Panic],
        run: panic::detect,
    },
    // Kernel code that keeps a CPU for too long, whatever it does.
    Detector { finds: &[Issue::SoftLockup], run: soft_lockup::detect },
    // Whatever the log reports and none of the above has seen: last.
    Detector { finds: &Issue::ALL, run: reported::detect },
];

/// The CPUs that spin for a lock or an answer for so long that there is a finding of it: whatever they keep from running waits
/// for that. One that is caught in a moment of contention explains nothing.
pub(crate) fn spinning_long(facts: &Facts<'_>) -> BTreeSet<u32> {
    let for_locks = spinlock::stuck_cpus(facts).into_iter().chain(owner_spin::stuck_cpus(facts));
    for_locks.chain(ipi::stuck_callers(facts)).collect()
}

/// Runs all detectors.
pub(crate) fn detect(context: &Context<'_>) -> Found {
    let mut all = Found::default();
    for detector in &DETECTORS {
        let found = (detector.run)(context);
        all.edges.extend(found.edges);
        for finding in found.findings {
            if !is_known(&all.findings, &finding) {
                all.findings.push(finding);
            }
        }
    }
    // At last, who could run and is named by none of them.
    let passed_over = passed_over::findings(context, &all.findings);
    all.findings.extend(passed_over);
    all
}

/// Whether what the log reports is among what was found already: whoever looked at the structures knows more.
fn is_known(findings: &[Finding], new: &Finding) -> bool {
    let enough = new.confidence.min(Confidence::Probable);
    let says_it = |known: &Finding| known.issue == new.issue && known.confidence >= enough;
    new.only_reported && findings.iter().any(says_it)
}

/// The finding that says best what stopped the machine: one that explains how it died before one that does not, the more
/// specific before the less. What is over or not serious can be it only where the kernel itself complained of it, and
/// nothing else is.
pub(crate) fn best<'f>(facts: &Facts<'_>, found: &'f [Finding]) -> Option<&'f Finding> {
    let death = facts.death();
    let counts = |finding: &&Finding| {
        finding.confidence >= Confidence::Probable && (finding.severity == Severity::Critical || finding.is_from_log)
    };
    let mut best: Option<(&Finding, _)> = None;
    for finding in found.iter().filter(counts) {
        let Finding { issue, severity, .. } = finding;
        let key = (*severity >= Severity::Critical, issue.explains(death), *severity, issue.rank());
        // The first of several that are equal.
        if best.as_ref().is_none_or(|(_, known)| key > *known) {
            best = Some((finding, key));
        }
    }
    best.map(|(finding, _)| finding)
}

/// Where nothing is at least probable: what may be wrong, for no machine that may be ill is called healthy.
pub(crate) fn doubtful(found: &[Finding]) -> Option<&Finding> {
    let may_be =
        |finding: &&Finding| finding.confidence == Confidence::Possible && finding.severity == Severity::Critical;
    found.iter().filter(may_be).max_by_key(|finding| finding.issue.rank())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_issue_has_a_detector_of_its_own_or_is_known_by_the_log() {
        let by_structures = |issue: &Issue| {
            let rows = DETECTORS.get(..DETECTORS.len() - 1).unwrap();
            rows.iter().any(|detector| detector.finds.contains(issue))
        };
        let others: Vec<_> = Issue::ALL.into_iter().filter(|issue| !by_structures(issue)).collect();
        assert_eq!(
            others,
            [
                Issue::ThpLivelock,
                Issue::FilesystemError,
                Issue::NetworkTimeout,
                Issue::AllocationFailure,
                Issue::InitStopped,
                Issue::Warning
            ]
        );
    }
}
