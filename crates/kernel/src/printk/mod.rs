//! The kernel log: what `dmesg` would have printed when the machine stopped.
//!
//! Two generations of buffer, told apart by their types:
//!
//! * since 5.10 (kernel commit 896fbe20b4e2) the lock-less `struct printk_ringbuffer`, see [`lockless`];
//! * before, records of variable length one after the other in `log_buf`, see [`legacy`].
//!
//! Source: `kernel/printk/printk.c`.

mod block;
pub(crate) mod by_vmcoreinfo;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod header;
mod legacy;
mod lockless;

use std::fmt;

use vmcore_memory::VirtAddr;

use crate::layout::Resolver;
use crate::{Gap, Kernel};

/// Who printed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Code that ran on this CPU in no task's context: an interrupt, an NMI, early boot.
    Cpu(u32),
    /// The task with this thread id. Every CPU's idle task has 0.
    Task(i32),
}

impl Caller {
    /// `caller_id` (kernel commit 15ff2069cb7f, 5.1): the top bit marks a CPU number.
    pub(crate) const fn from_raw(raw: u32) -> Self {
        const CPU: u32 = 1 << 31;
        if raw & CPU != 0 { Self::Cpu(raw & !CPU) } else { Self::Task(raw.cast_signed()) }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "cpu:{cpu}"),
            Self::Task(pid) => write!(f, "task:{pid}"),
        }
    }
}

/// The device that a record of `dev_printk` is about. From the dump: untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogDevice {
    /// Its subsystem, such as `pci`.
    pub subsystem: String,
    /// Its identity in the form of `/dev/kmsg`: `b8:1`, `c4:64`, `n2`, `+pci:0000:00:01.0`.
    pub device: String,
}

/// One record of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its number since boot, counted from 0.
    pub seq: u64,
    /// When it was printed, in nanoseconds by the CPU's own clock since boot.
    pub timestamp_ns: u64,
    /// `KERN_*`: 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The syslog facility: 0 for the kernel's own records, else given by who wrote to `/dev/kmsg`.
    pub facility: u8,
    /// Who printed it; `None` where the kernel does not keep that (before 5.10 without `CONFIG_PRINTK_CALLER`).
    pub caller: Option<Caller>,
    /// The text without its last newline. It may have more lines than one: `dmesg` prefixes each with the time stamp.
    /// Bytes that are not UTF-8 are replaced. Untrusted: it may hold control characters.
    pub text: String,
    /// The device it is about, where the kernel was told.
    pub device: Option<LogDevice>,
    /// Whether it was still being written when the machine stopped: its text may be cut, its other fields may be those
    /// of no record. `dmesg` would not have shown it.
    pub unfinished: bool,
}

impl Kernel<'_> {
    /// The records in the kernel's log buffer, oldest first.
    #[must_use]
    pub fn log(&self, gaps: &mut Vec<Gap>) -> Vec<LogRecord> {
        match self.read_log(gaps) {
            Ok(records) => records,
            Err(gap) => {
                gaps.push(gap);
                Vec::new()
            }
        }
    }

    fn read_log(&self, gaps: &mut Vec<Gap>) -> Result<Vec<LogRecord>, Gap> {
        let types = Resolver::new(self.vmlinux().types());
        if types.types().has_type("printk_ringbuffer") {
            let layout = lockless::Layout::resolve(types).map_err(gap)?;
            return lockless::read(self.memory(), &layout, self.log_symbol("prb")?, gaps);
        }
        let layout = legacy::Layout::resolve(types, self.symbol("syslog_prev").is_some()).map_err(gap)?;
        let variables = legacy::Variables {
            log_buf: self.log_symbol("log_buf")?,
            log_buf_len: self.log_symbol("log_buf_len")?,
            first_idx: self.log_symbol("log_first_idx")?,
            next_idx: self.log_symbol("log_next_idx")?,
            first_seq: self.symbol("log_first_seq"),
            next_seq: self.symbol("log_next_seq"),
        };
        legacy::read(self.memory(), &layout, &variables, gaps)
    }

    /// VMCOREINFO goes first: it names the one variable that is meant. From 3.18 to 4.14 `kernel/bpf/verifier.c` has a
    /// `log_buf` too.
    fn log_symbol(&self, name: &str) -> Result<VirtAddr, Gap> {
        let address = self.vmcoreinfo().and_then(|info| info.symbol(name)).or_else(|| self.symbol(name));
        address.ok_or_else(|| gap(format!("vmlinux has no symbol {name}")))
    }
}

/// Something about the log as a whole that is missing.
fn gap(why: impl ToString) -> Gap {
    Gap::new("kernel log", why)
}

/// How many damaged places are reported one by one.
const MAX_REPORTED: usize = 16;

/// Collects what is damaged in the log without drowning everything else that is.
struct Damage<'g> {
    gaps: &'g mut Vec<Gap>,
    count: usize,
}

impl<'g> Damage<'g> {
    fn new(gaps: &'g mut Vec<Gap>) -> Self {
        Self { gaps, count: 0 }
    }

    fn note(&mut self, why: impl ToString) {
        if self.count < MAX_REPORTED {
            self.gaps.push(gap(why));
        }
        self.count += 1;
    }

    fn finish(self) {
        if let Some(more @ 1..) = self.count.checked_sub(MAX_REPORTED) {
            self.gaps.push(gap(format!("{more} more places are damaged")));
        }
    }
}
