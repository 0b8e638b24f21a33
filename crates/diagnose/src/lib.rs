//! From the state of a crashed machine to a verdict with its proof.
//!
//! [`collect`] reads what a judgement needs from a kernel, [`judge`] makes it. Judging does no I/O beyond the narrow
//! [`Reader`], so that tests can hand it machines built by hand.
//!
//! A detector never keys on names of processes, pids or addresses, only on what the kernel's own structures say. What
//! cannot be read is unknown: it is reported as such and never taken as a sign of health.

#![forbid(unsafe_code)]

mod against;
mod chain;
mod clock;
mod collect;
mod counted;
mod cut_stacks;
mod derived;
mod describe;
mod evidence;
mod exception;
mod facts;
mod fault;
mod findings;
mod fix;
mod from_log;
pub mod graph;
mod harmless;
mod interrupts;
mod issue;
mod judge;
mod kernel_code;
mod known_issues;
mod livelock;
mod log_alone;
mod model;
mod names;
mod operand;
mod reader;
mod reports;
mod shown_stacks;
mod state;
mod text;
mod time_on_cpu;
mod wait_edges;
mod within_fault;

pub use collect::collect;
pub use derived::Derived;
pub use facts::{Facts, KernelPreemption, LogLine, read_log};
pub use from_log::{FaultingCopy, LogDiagnosis, TimelineEntry, from_log};
pub use issue::{Definition, Issue};
pub use judge::{Options, judge};
pub use known_issues::release_has_bug;
pub use log_alone::by_log_alone;
pub use model::{
    CheckResult, Confidence, Diagnosis, Evidence, Finding, KnownIssue, Place, Refutation, Remedy, Severity, Spinner,
    Splitter, Value, Verdict,
};
pub use reader::Reader;
pub use state::{Holder, HolderFound, KernelState, Limits, Spin};
