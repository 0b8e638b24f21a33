//! The parts of a scenario. In its text form (TOML) they have the same names:
//!
//! ```toml
//! about = "one spinner, one splitter"
//! cpus = 2
//! [[page]]
//! name = "A"
//! [[process]]
//! name = "victim"
//! map = [{ at = 0x7f0000200000, page = "A", entry = "pte-migration" }]
//! [[task]]
//! pid = 201
//! comm = "fstat/0"
//! process = "victim"
//! cpu = 0
//! state = "running"
//! seconds = 12.0
//! doing = { fault = { address = 0x7f0000203140 } }
//! [expect]
//! issue = "thp-split-page-fault-livelock"
//! confidence = "confirmed"
//! spinners = [201]
//! ```

use serde::{Deserialize, Serialize};
use vmcore_memory::Architecture;

use super::defaults::{is_default, is_yes, yes};
use crate::Generation;

use super::{Change, Circle, Object, Task};

/// A machine at the moment that it stopped.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a line.
    pub about: String,
    /// How many CPUs there are, 1 to 512.
    pub cpus: u32,
    /// How long the machine had been up, in seconds.
    pub uptime: f64,
    /// The machine that it is about; any if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// The size of a page in KiB, on arm64: 4, 16 or 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_kib: Option<u32>,
    /// Bits of a virtual address, on arm64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub va_bits: Option<u32>,
    /// 4 or 5 levels of page tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_levels: Option<u8>,
    /// How much memory there is, in GiB. Huge pages are at its end then; nothing else of it need be in the dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<u64>,
    /// Who took the dump.
    #[serde(skip_serializing_if = "is_default")]
    pub route: Route,
    /// The kernel generations on which this can be; all where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
    /// Whether kernel code is preempted. Only kernels that choose at boot can.
    #[serde(skip_serializing_if = "is_default")]
    pub preempt: bool,
    /// The CPU that panicked. The others are offline then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panicked: Option<u32>,
    /// CPUs that were never started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<u32>,
    /// Huge pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub page: Vec<Huge>,
    /// Processes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub process: Vec<Process>,
    /// Loaded modules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub module: Vec<Module>,
    /// Tasks. CPUs without a running one are idle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<Task>,
    /// So many more tasks sleep.
    #[serde(skip_serializing_if = "is_default")]
    pub sleepers: u32,
    /// Lines of the kernel log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// An RCU grace period that has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<GracePeriod>,
    /// Objects that tasks have on their stacks or elsewhere: locks, waiters, works, calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub object: Vec<Object>,
    /// Lists that go through objects, each a circle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub circle: Vec<Circle>,
    /// Words that are not as the rest of the machine says, changed last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change: Vec<Change>,
    /// When the kernel's watchdogs complain, where that is not their default.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// What is not in the dump.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Missing,
    /// What an analysis must say.
    pub expect: Expected,
}

/// A machine architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Arch {
    /// x86-64.
    #[serde(rename = "x86-64")]
    X86_64,
    /// arm64.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Arch {
    /// The same, as everybody else names it.
    #[must_use]
    pub const fn architecture(self) -> Architecture {
        match self {
            Self::X86_64 => Architecture::X86_64,
            Self::Arm64 => Architecture::Arm64,
        }
    }
}

/// Who took a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// The crash kernel: a note for each CPU that answered, also in memory.
    #[default]
    Kdump,
    /// QEMU: two notes for each virtual CPU. They are numbered the other way round than Linux numbers its CPUs.
    Qemu,
}

/// A huge page of 2 MiB.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Huge {
    /// Its name in the scenario.
    pub name: String,
    /// Whether its lock is held.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub locked: bool,
    /// Whether its `struct page`s are in the dump.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub described: bool,
}

/// A loaded module.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Its name, up to 55 bytes.
    pub name: String,
    /// The functions that are in its code and not in the kernel's. Stacks may go through them as through any other.
    pub functions: Vec<String>,
}

/// A line of the kernel log.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum LogLine {
    /// Its text: logged at the end, by the CPU that panicked.
    Text(String),
    /// Logged at another time, or by another CPU.
    At(LoggedAt),
}

/// A line of the kernel log with where it came from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggedAt {
    /// When, in seconds since boot; at the end if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The CPU whose interrupt handler logged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// The thread id of the task that logged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its text.
    pub text: String,
}

impl LogLine {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::At(line) => &line.text,
        }
    }
}

/// The watchdogs' settings, in seconds; 0 is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// `kernel.hung_task_timeout_secs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hung_task: Option<u32>,
    /// `kernel.watchdog_thresh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<u32>,
    /// `rcu_cpu_stall_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcu_stall: Option<u32>,
}

impl Limits {
    /// Each setting by the variable that has it, its size in bytes and its value.
    pub(crate) fn variables(self) -> impl Iterator<Item = (&'static str, u64, u32)> {
        let all = [
            ("sysctl_hung_task_timeout_secs", 8, self.hung_task),
            ("watchdog_thresh", 4, self.watchdog),
            ("rcu_cpu_stall_timeout", 4, self.rcu_stall),
        ];
        all.into_iter().filter_map(|(name, size, value)| Some((name, size, value?)))
    }
}

/// An RCU grace period that has not ended.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GracePeriod {
    /// For how long it has been going on, in seconds.
    pub seconds: f64,
    /// The CPUs that have passed no quiescent state.
    pub cpus: Vec<u32>,
}

/// A process: an address space that its tasks share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its name in the scenario.
    pub name: String,
    /// What is mapped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub map: Vec<Mapping>,
}

/// 2 MiB of an address space.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// A user address, a multiple of 2 MiB.
    pub at: u64,
    /// The page behind it; none for entries that need none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page: String,
    /// How the page tables say so.
    pub entry: Entry,
}

/// What the page tables have for 2 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A PMD that maps the huge page.
    Huge,
    /// A PMD that is a migration entry.
    PmdMigration,
    /// 512 PTEs that are migration entries.
    PteMigration,
    /// A PMD whose present bit is cleared while it is split.
    Invalidated,
    /// 512 PTEs that map the small pages.
    Pages,
    /// 512 PTEs of zero: nothing has been read from the file yet.
    Unread,
    /// 512 PTEs that name places on a swap device.
    SwappedOut,
    /// A PMD whose table of PTEs, all migration entries, is not in the dump.
    TableMissing,
}

/// What is not in the dump.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Missing {
    /// CPUs whose registers are not in the notes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<u32>,
    /// Tasks whose stacks are not in the dump.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<i32>,
    /// Whether the log's records are not in the dump.
    #[serde(skip_serializing_if = "is_default")]
    pub log: bool,
}

/// What an analysis must say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expected {
    /// The issue's name; none where none is found.
    pub issue: Option<String>,
    /// How sure.
    pub confidence: Confidence,
    /// The tasks that spin, by thread id.
    pub spinners: Vec<i32>,
    /// The tasks that split and cannot run.
    pub splitters: Vec<i32>,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Nothing is wrong.
    #[default]
    None,
    /// It cannot be told.
    Insufficient,
    /// Some links are there.
    Possible,
    /// Nearly all are.
    Probable,
    /// All are.
    Confirmed,
}

impl Expected {
    /// The exit status of an analysis with this verdict.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self.confidence {
            Confidence::None => 0,
            Confidence::Confirmed | Confidence::Probable => 1,
            Confidence::Possible | Confidence::Insufficient => 3,
        }
    }
}

impl Scenario {
    /// Whether this can be on the kernel generation with this name.
    #[must_use]
    pub fn is_for(&self, kernel: &str) -> bool {
        let machine = Generation::architecture_of(kernel);
        self.arch.is_none_or(|arch| arch.architecture() == machine)
            && (self.kernels.is_empty() || self.kernels.iter().any(|known| known == kernel))
    }
}
