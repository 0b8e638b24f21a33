//! Kernel log text, as a serial console, `dmesg` or kdump's `vmcore-dmesg.txt` has it: what it says of lockups, oopses and
//! panics, and where each CPU was.
//!
//! [`Log::read`] reads a log of any length. When a machine hangs, its CPUs print at the same time and their lines mix; each
//! CPU's report is put together again, with how sure that is: see the private module `attribution` for the model.
//!
//! A log is hostile text: anybody may write to `/dev/kmsg`, and a serial line adds what it likes. Nothing in it is an
//! error, and all of it is untrusted.
//!
//! What a line reports:
//!
//! ```
//! use vmcore_console::{Kind, Log};
//!
//! let text = "[   93.5] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [fstat:4712]\n";
//! let log = Log::read(text.as_bytes())?;
//! let report = &log.events[0].event;
//! assert_eq!((report.kind, report.cpu(), report.pid), (Kind::SoftLockup, Some(3), Some(4712)));
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod asked;
mod attribution;
mod boots;
mod carrier;
mod clean;
mod collector;
mod completion;
mod date;
mod ending;
mod event;
mod frame;
mod function_name;
mod later;
mod log;
mod oom_table;
mod oops_lines;
mod place;
mod prefilter;
mod prefix;
mod pstore;
mod reading;
mod recovery;
mod registers;
mod reports;
mod reset;
mod sanitize;
mod soft_breaks;
mod token;
mod trace;
mod wrapped;
mod wrapping;

pub use date::passed as seconds_passed;
pub use ending::Ending;
pub use event::{Event, Kind, PanicReason, SoftLockup, Weight, soft_lockup};
pub use frame::{Frame, Location};
pub use function_name::{base_name, system_call};
pub use log::{Extent, Log, Machine, Occurrence};
pub use oom_table::{OomRow, largest_process};
pub use oops_lines::{cpu_and_pid, is_page_fault_report, oops_number, panic_message};
pub use prefix::{Caller, Prefix, split};
pub use reading::Record;
pub use registers::RegisterDump;
pub use sanitize::{Sanitized, first_unsafe};
pub use trace::{Interrupted, Trace, TraceFrame};
