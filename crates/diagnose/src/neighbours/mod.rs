//! Everything that stops a machine and is not the huge-page livelock: each its own finding, under its own name.
//!
//! A finding is made from what the kernel's structures say; the log is evidence beside them, or all there is where a
//! watchdog keeps its knowledge to itself. What is ordinary on a busy machine is no finding: waits count from the time
//! on from which the kernel itself would complain.
//!
//! | module | finds |
//! |---|---|
//! | `deadlock` | sleepers in a circle of locks |
//! | `held` | a lock that others wait for too long, and what its owner does |
//! | `hung` | tasks that sleep uninterruptibly for too long, whatever for |
//! | `page_lock` | a page that stays locked or under writeback |
//! | `work` | a work that is not done while others wait for it |
//! | `spinlock` | a spin lock that is not given back, and who spins for it |
//! | `ipi` | a call to another CPU that is not answered |
//! | `hard_lockup` | a CPU with interrupts off for too long |
//! | `rcu_stall` | a grace period that does not end |
//! | `starvation` | tasks that could run and get no CPU |
//! | `oops` | an exception in kernel code |
//! | `panic` | out of memory, a crash that was asked for, any other panic |

mod clock;
mod collect;
mod deadlock;
mod edges;
mod hard_lockup;
mod held;
mod hung;
mod ipi;
mod lock_text;
mod oom;
mod oops;
mod page_lock;
mod panic;
mod rcu_stall;
mod spin_scan;
mod spinlock;
mod starvation;
mod state;
mod watchdog;
mod work;

pub(crate) use collect::collect;
pub(crate) use edges::edges;
pub use spin_scan::{Holder, HolderFound, Spin};
pub use state::KernelState;

use crate::{Confidence, Facts, Finding, Reader, Severity, issue};
pub(crate) use panic::Death;

/// A finding and how sure it is.
pub(crate) type Neighbour = (Confidence, Finding);

/// All findings of this module, the most telling of each kind first. `explained` are CPUs of which it is known already
/// why they run nobody else.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader, explained: &[u32]) -> Vec<Neighbour> {
    let mut found = deadlock::detect(facts, reader);
    found.extend(held::detect(facts, reader));
    found.extend(page_lock::detect(facts, reader));
    found.extend(work::detect(facts, reader));
    found.extend(spinlock::detect(facts, reader));
    found.extend(ipi::detect(facts));
    found.extend(hard_lockup::detect(facts, reader));
    found.extend(rcu_stall::detect(facts, reader));
    let explained: Vec<_> = facts.state.spinning().chain(explained.iter().copied()).collect();
    found.extend(starvation::detect(facts, reader, &explained));
    found.extend(hung::detect(facts, reader));
    found.extend(oops::detect(facts, reader));
    found.extend(panic::detect(facts));
    found
}

/// The finding that says best what stopped the machine: one that explains how it died before one that does not, the more
/// specific before the less. Only what is critical and at least probable can be.
pub(crate) fn best<'f>(facts: &Facts<'_>, found: impl Iterator<Item = &'f Neighbour>) -> Option<&'f Neighbour> {
    let death = Death::of(facts);
    let counts = |(confidence, finding): &&Neighbour| {
        *confidence >= Confidence::Probable && finding.severity == Severity::Critical
    };
    let mut best: Option<(&Neighbour, _)> = None;
    for neighbour in found.filter(counts) {
        let (_, finding) = neighbour;
        let key = (explains(death, finding.id), specificity(finding.id));
        // The first of several that are equal.
        if best.as_ref().is_none_or(|(_, known)| key > *known) {
            best = Some((neighbour, key));
        }
    }
    best.map(|(neighbour, _)| neighbour)
}

/// Whether a machine with this finding may die that way.
fn explains(death: Death, id: &str) -> bool {
    match death {
        Death::HungTask => matches!(
            id,
            issue::DEADLOCK | issue::LOCK_HELD | issue::PAGE_LOCKED | issue::WORK_NOT_DONE | issue::HUNG_TASK
        ),
        Death::SoftLockup => matches!(id, issue::SOFT_LOCKUP | issue::SPINLOCK_HELD | issue::UNANSWERED_CALL),
        Death::HardLockup => matches!(id, issue::HARD_LOCKUP | issue::SPINLOCK_HELD),
        Death::RcuStall => matches!(id, issue::RCU_STALL | issue::SPINLOCK_HELD | issue::STARVATION),
        Death::OutOfMemory => id == issue::OUT_OF_MEMORY,
        Death::Oops => id == issue::OOPS,
        Death::Other => id == issue::PANIC,
        // Nobody panicked, or somebody gave up on a machine that did not go on: anything may be why.
        Death::None | Death::Requested => true,
    }
}

/// How much a finding says: a circle of locks more than one of them, a lock more than that somebody sleeps, who keeps a
/// CPU more than that it is kept.
fn specificity(id: &str) -> u8 {
    const ORDER: [&str; 11] = [
        issue::HUNG_TASK,
        issue::PAGE_LOCKED,
        issue::WORK_NOT_DONE,
        issue::LOCK_HELD,
        issue::RCU_STALL,
        issue::SOFT_LOCKUP,
        issue::STARVATION,
        issue::HARD_LOCKUP,
        issue::UNANSWERED_CALL,
        issue::SPINLOCK_HELD,
        issue::DEADLOCK,
    ];
    ORDER.iter().position(|known| *known == id).map_or(0, |at| u8::try_from(at + 1).unwrap_or(u8::MAX))
}

/// ` in FUNCTION`: what a CPU is busy with.
pub(crate) use crate::soft_lockup::stuck_in;
