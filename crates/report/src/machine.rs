//! The dump, the kernel and its panic: the parts that `info` and `analyze` have in common.

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
    /// The kernel's architecture: `x86_64`.
    pub arch: &'static str,
    /// Run-time minus link-time address of the kernel image.
    pub kaslr_offset: Hex,
    /// Levels of the page tables: 4 or 5.
    pub page_levels: u8,
    /// CPUs that were present.
    pub cpus: usize,
    /// Loaded modules.
    pub modules: usize,
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
