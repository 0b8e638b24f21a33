//! From the state of a crashed machine to a verdict with its proof.
//!
//! [`collect`] reads what a judgement needs from a kernel, [`judge`] makes it. Judging does no I/O beyond the narrow
//! [`Reader`], so that tests can hand it machines built by hand.
//!
//! A detector never keys on names of processes, pids or addresses, only on what the kernel's own structures say. What
//! cannot be read is unknown: it is reported as such and never taken as a sign of health.

#![forbid(unsafe_code)]

mod collect;
mod counted;
mod cut_stacks;
mod evidence;
mod facts;
mod fault;
mod fix;
mod from_log;
pub mod graph;
mod involved;
mod judge;
mod known_issues;
mod livelock;
mod log_alone;
mod model;
mod names;
mod neighbours;
mod operand;
mod reader;
mod soft_lockup;
mod spinner;
mod splitter;
mod tenure;
mod text;
mod waited_page;

pub use collect::collect;
pub use facts::{Facts, KernelPreemption, LogLine};
pub use from_log::{FaultingCopy, LogDiagnosis, TimelineEntry, from_log};
pub use judge::{Options, judge};
pub use known_issues::release_has_bug;
pub use log_alone::by_log_alone;
pub use model::{
    CheckResult, Confidence, Diagnosis, Evidence, Finding, KnownIssue, Place, Refutation, Remedy, Severity, Spinner,
    Splitter, Value, Verdict, issue,
};
pub use neighbours::{Holder, HolderFound, KernelState, Spin};
pub use reader::Reader;
