//! The dump, the kernel and its panic: the parts that `info` and `analyze` have in common.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::PanicInfo;

use crate::Hex;

/// The dump file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Dump {
    /// The file as the caller named it.
    pub path: String,
    /// How it is stored: `elf`, `kdump-compressed`, or either with `flattened-` before it.
    pub format: String,
    /// Who wrote it: `/proc/vmcore`, `qemu`, `makedumpfile` or `unknown`.
    pub source: String,
    /// Pages of 4 KiB that the file has.
    pub pages: u64,
    /// Pages that the writer left out on purpose; null where the format does not record them.
    pub excluded_pages: Option<u64>,
    /// What makedumpfile was asked to leave out, as its `-d` option; null where the format does not record it.
    pub dump_level: Option<u32>,
    /// Whether something is missing that its writer meant to be there.
    pub incomplete: bool,
    /// What is missing.
    pub incomplete_reason: Option<String>,
    /// The CPUs whose registers it has.
    pub cpus_with_registers: Vec<u32>,
}

/// The kernel that crashed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Kernel {
    /// `uname -r`.
    pub release: Option<String>,
    /// `uname -v`.
    pub version: Option<String>,
    /// The build-id that the dump names, in hexadecimal; null before 5.9.
    pub build_id: Option<String>,
    /// `uname -n`.
    pub nodename: Option<String>,
    /// The kernel's architecture: `x86_64` or `aarch64`.
    pub arch: &'static str,
    /// Run-time minus link-time address of the kernel image.
    pub kaslr_offset: Hex,
    /// Levels of the page tables: 4 or 5 on x86-64, 2 to 5 on arm64.
    pub page_levels: u8,
    /// CPUs that were present; null without debug information.
    pub cpus: Option<usize>,
    /// Loaded modules that were found; null without debug information, or where their list could not be read.
    pub modules: Option<usize>,
    /// Whether there may be more modules.
    #[serde(skip)]
    #[schemars(skip)]
    pub more_modules: bool,
    /// How far the stacks could be followed: what its unwind tables are worth; null without debug information.
    pub stacks: Option<StacksFollowed>,
}

/// How far the stacks could be followed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct StacksFollowed {
    /// Those of the tasks that the CPUs were executing.
    pub cpus: Followed,
    /// Those of all tasks, the ones on CPUs among them.
    pub tasks: Followed,
}

/// How far a set of stacks could be followed. What is in neither `ended` nor `guessed` is cut off.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Followed {
    /// Stacks that there are.
    pub total: usize,
    /// Of these, such that were followed by tables to where their task entered the kernel or began.
    pub ended: usize,
    /// Of these, such that have an end, with frames on the way that were found by scanning memory.
    pub guessed: usize,
}

impl From<vmcore_kernel::StacksFollowed> for StacksFollowed {
    fn from(followed: vmcore_kernel::StacksFollowed) -> Self {
        Self { cpus: followed.cpus.into(), tasks: followed.tasks.into() }
    }
}

impl From<vmcore_kernel::Followed> for Followed {
    fn from(followed: vmcore_kernel::Followed) -> Self {
        let vmcore_kernel::Followed { total, ended, guessed } = followed;
        Self { total, ended, guessed }
    }
}

impl fmt::Display for StacksFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the CPUs and {} of all tasks followed to the end", self.cpus, self.tasks)
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, ended, guessed } = self;
        match guessed {
            0 => write!(f, "{ended} of {total}"),
            _ => write!(f, "{ended} of {total} ({guessed} more by scanning)"),
        }
    }
}

/// How the kernel panicked. All null where it did not, or where that cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Panic {
    /// The first line of what it said in its log: `Kernel panic - not syncing: ...`, or an oops's `BUG: ...`.
    pub message: Option<String>,
    /// The CPU that panicked.
    pub cpu: Option<u32>,
    /// The thread id of the task that this CPU was executing.
    pub pid: Option<i32>,
}

impl From<PanicInfo> for Panic {
    fn from(panic: PanicInfo) -> Self {
        let PanicInfo { message, cpu, pid } = panic;
        Self { message, cpu, pid }
    }
}
