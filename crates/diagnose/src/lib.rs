//! From the state of a crashed machine to a verdict with its proof.
//!
//! [`collect`] reads what a judgement needs from a kernel, [`judge`] makes it. Judging does no I/O beyond the narrow
//! [`Reader`], so that tests can hand it machines built by hand.
//!
//! A detector never keys on names of processes, pids or addresses, only on what the kernel's own structures say. What
//! cannot be read is unknown: it is reported as such and never taken as a sign of health.
//!
//! A log alone can be judged, too, but never proves:
//!
//! ```
//! use vmcore_console::Log;
//! use vmcore_diagnose::{Confidence, Issue, from_log};
//!
//! let text = "[  242.1] INFO: task dd:812 blocked for more than 120 seconds.\n\
//!             [  242.2] Kernel panic - not syncing: hung_task: blocked tasks\n";
//! let verdict = from_log(&Log::read(text.as_bytes())?).verdict;
//! assert_eq!((verdict.issue, verdict.confidence), (Some(Issue::HungTask), Confidence::Probable));
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod access;
mod against;
mod arch;
mod chain;
mod clock;
mod collect;
mod counted;
mod cut_stacks;
mod describe;
mod evidence;
mod exception;
mod exception_frame;
mod fact;
mod facts;
mod fault;
mod faulting_addresses;
mod findings;
mod fix;
mod from_log;
mod grade;
mod granted;
pub mod graph;
mod idle;
mod interrupt_flags;
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
mod options;
mod queue;
mod reader;
mod reports;
mod return_address;
mod shown_stacks;
mod spun_locks;
mod state;
mod stoppers;
mod stuck;
mod text;
mod time_on_cpu;
mod wait_edges;
mod within_fault;

pub use arch::x86_64::{fred_handler, is_fred_entry};
pub use collect::{collect, log_lines};
pub use exception::{begins_with_page_fault, is_exception_entry};
pub use fact::{Evidence, Place, Value};
use facts::derived;
pub use facts::{Derived, Facts, KernelPreemption, LogLine, Preemption, read_log};
pub use faulting_addresses::FaultingAddresses;
pub use from_log::{FaultingCopy, LogDiagnosis, TimelineEntry, from_log, from_log_in_dump};
pub use grade::{CheckResult, Confidence, Severity};
pub use issue::{Definition, Issue};
pub use judge::judge;
pub use known_issues::release_has_bug;
pub use log_alone::{Undescribed, by_log_alone};
pub use model::{Diagnosis, Finding, KnownIssue, Refutation, Remedy, Spinner, Splitter, Verdict};
pub use names::is_calling;
pub use options::Options;
pub use reader::Reader;
pub use spun_locks::spun_locks;
pub use state::{Holder, HolderFound, KernelState, LateDisk, Limits, OwnerSpin, OwnerSpinTie, Spin, SpunFor};
