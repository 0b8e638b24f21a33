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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::SynthError;

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
    /// 4 or 5 levels of page tables.
    pub page_levels: Option<u8>,
    /// How much memory there is, in GiB. Huge pages are at its end then; nothing else of it need be in the dump.
    pub memory_gib: Option<u64>,
    /// Who took the dump.
    pub route: Route,
    /// The kernel generations on which this can be; all where there are none.
    pub kernels: Vec<String>,
    /// Whether kernel code is preempted. Only kernels that choose at boot can.
    pub preempt: bool,
    /// The CPU that panicked. The others are offline then.
    pub panicked: Option<u32>,
    /// CPUs that were never started.
    pub offline: Vec<u32>,
    /// Huge pages.
    pub page: Vec<Huge>,
    /// Processes.
    pub process: Vec<Process>,
    /// Loaded modules.
    pub module: Vec<Module>,
    /// Tasks. CPUs without a running one are idle.
    pub task: Vec<Task>,
    /// So many more tasks sleep.
    pub sleepers: u32,
    /// Lines of the kernel log.
    pub log: Vec<String>,
    /// Objects that tasks have on their stacks or elsewhere: locks, waiters, works, calls.
    pub object: Vec<Object>,
    /// Lists that go through objects, each a circle.
    pub circle: Vec<Circle>,
    /// Words that are not as the rest of the machine says, changed last.
    pub change: Vec<Change>,
    /// What is not in the dump.
    pub missing: Missing,
    /// What an analysis must say.
    pub expect: Expected,
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
    #[serde(default = "yes")]
    pub locked: bool,
    /// Whether its `struct page`s are in the dump.
    #[serde(default = "yes")]
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

/// A process: an address space that its tasks share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its name in the scenario.
    pub name: String,
    /// What is mapped.
    #[serde(default)]
    pub map: Vec<Mapping>,
}

/// 2 MiB of an address space.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// A user address, a multiple of 2 MiB.
    pub at: u64,
    /// The page behind it; none for entries that need none.
    #[serde(default)]
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

/// A task.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its thread id.
    pub pid: i32,
    /// The thread id of its group's leader, if it is not its own.
    #[serde(default)]
    pub tgid: Option<i32>,
    /// Its name.
    pub comm: String,
    /// Its process; none for a kernel thread.
    #[serde(default)]
    pub process: Option<String>,
    /// Its CPU.
    #[serde(default)]
    pub cpu: u32,
    /// Whether it has the CPU, waits for it, or sleeps.
    pub state: State,
    /// For how long, in seconds.
    #[serde(default)]
    pub seconds: f64,
    /// How it is scheduled.
    #[serde(default)]
    pub policy: Policy,
    /// What it is in the middle of.
    pub doing: Doing,
    /// What interrupted it.
    #[serde(default)]
    pub under: Under,
    /// How often it has faulted in its life; 50 000 times a second where it faults all the time, else 100 times.
    #[serde(default)]
    pub faults: Option<u64>,
    /// The CPUs that it may run on, if not all.
    #[serde(default)]
    pub allowed: Option<Vec<u32>>,
}

/// A structure of the kernel. What is not set is zero.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its name in the scenario. A task may have it among its local variables as it may have a page.
    pub name: String,
    /// The name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whose local variable it is; none for one that is somewhere in memory.
    #[serde(default)]
    pub on: Option<Frame>,
    /// Values by member; of several names with `|` between them the first that the kernel has.
    #[serde(default)]
    pub set: BTreeMap<String, Word>,
}

/// A function on a task's stack.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The task's thread id.
    pub task: i32,
    /// The function's name.
    pub function: String,
}

/// A list through these members, each `OBJECT.PATH` of a `struct list_head`, in their order.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Circle {
    /// The members.
    pub nodes: Vec<String>,
}

/// A value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Word {
    /// Itself.
    Number(u64),
    /// The address of something in the scenario.
    Address(Reference),
}

/// The address of one thing in a scenario, and what is added to it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reference {
    /// The `struct task_struct` of the task with this thread id.
    pub task: Option<i32>,
    /// An object.
    pub object: Option<String>,
    /// The `struct page` of a huge page's head.
    pub page: Option<String>,
    /// A function of the kernel.
    pub function: Option<String>,
    /// Flags in the low bits.
    pub plus: u64,
}

/// A word whose value is changed once everything else is written: damage, a lie, or what nothing else here writes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The task whose `struct task_struct` it is in, by thread id.
    #[serde(default)]
    pub task: Option<i32>,
    /// The CPU whose `struct rq` it is in.
    #[serde(default)]
    pub cpu: Option<u32>,
    /// That CPU's own variable, instead of its `struct rq`.
    #[serde(default)]
    pub variable: Option<String>,
    /// The member's path; the first that the kernel has, where several names are given.
    #[serde(default)]
    pub member: Vec<String>,
    /// Its new value.
    pub value: Word,
}

/// Whether a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// On its CPU.
    Running,
    /// In its CPU's run queue, preempted or after `cond_resched`.
    Queued,
    /// Asleep, in state D.
    Blocked,
    /// The same, but a deadly signal ends it (`TASK_KILLABLE`).
    Killable,
    /// Asleep, in state S.
    Sleeping,
}

/// How a task is scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// `SCHED_NORMAL`.
    #[default]
    Fair,
    /// `SCHED_FIFO` with this priority, 1 to 99.
    Fifo(u8),
    /// `SCHED_DEADLINE`.
    Deadline,
}

/// What a task is in the middle of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// `fstat` into the user address, whose copy faults; in the fault handler.
    Fault {
        /// The faulting address.
        address: u64,
    },
    /// The same, between two faults: at the instruction that faults.
    BetweenFaults {
        /// The faulting address.
        address: u64,
    },
    /// A page fault that user code took.
    UserFault {
        /// The faulting address.
        address: u64,
    },
    /// `fstat` into the user address, asleep until its page is unlocked.
    WaitOnPage {
        /// The faulting address.
        address: u64,
    },
    /// Splitting a huge page.
    Split {
        /// The page's name.
        page: String,
        /// How far it has come.
        at: SplitPoint,
        /// Whether a kernel thread does it to reclaim memory, instead of `madvise`.
        #[serde(default)]
        reclaim: bool,
    },
    /// User code.
    User,
    /// A wait for something that does not matter.
    Sleep,
    /// A loop in the kernel that has nothing to do with memory.
    Loop,
    /// A wait for a spin lock, in its slow path.
    Spin {
        /// The object that is the lock.
        lock: String,
    },
    /// These functions, outermost first, below the entry of a system call.
    Stack {
        /// Their names.
        calls: Vec<String>,
        /// The page whose `struct page` each of them has among its local variables.
        #[serde(default)]
        page: Option<String>,
    },
}

/// How far a split has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitPoint {
    /// It has only begun.
    Start,
    /// It replaces the mappings by migration entries.
    Unmap,
    /// It puts them back.
    Remap,
    /// It gives the tail pages their own life.
    Tail,
    /// It splits only one mapping of the page.
    Pmd,
}

/// What interrupted a task that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Under {
    /// Nothing.
    #[default]
    Nothing,
    /// The tick, whose watchdog panics.
    Tick,
    /// The tick, and an NMI on top of it.
    TickAndNmi,
    /// An NMI.
    Nmi,
}

/// What is not in the dump.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Missing {
    /// CPUs whose registers are not in the notes.
    pub notes: Vec<u32>,
    /// Tasks whose stacks are not in the dump.
    pub stacks: Vec<i32>,
    /// Whether the log's records are not in the dump.
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
        self.kernels.is_empty() || self.kernels.iter().any(|known| known == kernel)
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`SynthError::Text`] that says where it is wrong.
    pub fn parse(text: &str) -> Result<Self, SynthError> {
        toml::from_str(text)
            .map_err(|why| SynthError::Text { what: "the scenario".to_owned(), why: one_line(text, &why) })
    }
}

/// What is wrong in which line: a message is one line, and the parser's own draws the line that it means.
fn one_line(text: &str, why: &toml::de::Error) -> String {
    let message = why.message().replace('\n', ", ");
    let before = why.span().and_then(|place| text.get(..place.start));
    match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

const fn yes() -> bool {
    true
}
