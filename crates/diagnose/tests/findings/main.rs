//! Findings beside the livelock, each with what must not be one.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it found")]

mod classes;
mod cpus;
mod deaths;
mod grace_period;
mod grace_periods_unseen;
mod handlers;
mod interruptible;
mod long_ago;
mod long_sleeps;
mod lost_locks;
mod machine;
mod pages;
mod ranks;
mod sleepers;
mod spin_circle;
mod starvation;
mod stays;
#[path = "../support/mod.rs"]
mod support;
mod unseen;
mod unsettled;
mod works;

use cpus::spin;
use machine::*;
use support::{LOCKED, page, page_address, task_address};
use vmcore_diagnose::graph::{Edge, EdgeKind, Node, ShapeKind};
use vmcore_diagnose::{
    Confidence, Diagnosis, Finding, Holder, HolderFound, Issue, LateDisk, OwnerSpin, OwnerSpinTie, Severity, Spin,
    SpunFor,
};
use vmcore_kernel::{
    AwaitedWork, CpuMask, Followed, GraceEnder, GracePeriod, GraceReader, LockKind, Owner, PageWait, PendingCall,
    Policy, RwLockWord, Source, SpinLockWord, StackEnd, TaskCounters, TaskState,
};
use vmcore_memory::VirtAddr;

fn finding(diagnosis: &Diagnosis, id: Issue) -> &Finding {
    let ids: Vec<_> = diagnosis.findings.iter().map(|finding| finding.issue).collect();
    diagnosis.findings.iter().find(|finding| finding.issue == id).unwrap_or_else(|| panic!("no {id:?} in {ids:?}"))
}

fn ids(diagnosis: &Diagnosis) -> Vec<Issue> {
    diagnosis.findings.iter().map(|finding| finding.issue).collect()
}

fn verdict(diagnosis: &Diagnosis) -> (Option<Issue>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

fn soft_lockup(machine: &mut Machine, cpu: u32, pid: i32) {
    machine.log(&format!("watchdog: BUG: soft lockup - CPU#{cpu} stuck for 11s! [comm{pid}:{pid}]"));
    machine.panic("Kernel panic - not syncing: softlockup: hung tasks", cpu);
}
