//! The dumps that the lab made, and the truth about each.

use std::path::{Path, PathBuf};
use std::{env, fs, iter};

use serde::Deserialize;

use crate::other_problems::{OtherProblem, OtherProblemTruth};
use crate::storage::StorageTruth;

/// One dump, as `scripts/lab` lays it out.
pub(crate) struct LabDump {
    pub(crate) name: String,
    pub(crate) vmcore: PathBuf,
    /// The same memory in other forms: all that is called `vmcore.` and something.
    pub(crate) others: Vec<PathBuf>,
    pub(crate) vmlinux: PathBuf,
    pub(crate) truth: Truth,
}

impl LabDump {
    /// Whether it is of an arm64 machine, by its kernel's flavour.
    pub(crate) fn is_of_arm64(&self) -> bool {
        self.truth.release.ends_with("-arm64") || self.truth.release.contains("-arm64-")
    }

    /// The dump in each of its forms.
    pub(crate) fn forms(&self) -> impl Iterator<Item = &PathBuf> {
        iter::once(&self.vmcore).chain(&self.others)
    }
}

/// `truth.json`; `scripts/lab/README.md` says what is in it.
#[derive(Deserialize)]
pub(crate) struct Truth {
    pub(crate) scenario: Scenario,
    pub(crate) release: String,
    pub(crate) cpus: usize,
    /// The spinners are real-time threads: even the watchdog's threads get no CPU.
    #[serde(default)]
    pub(crate) real_time: bool,
    /// The kernel's code was written into, in place of a module.
    #[serde(default)]
    pub(crate) patched: bool,
    #[serde(default)]
    pub(crate) spinners: Vec<Faulting>,
    #[serde(default)]
    pub(crate) head_waiters: Vec<Faulting>,
    pub(crate) splitter: Option<Thread>,
    pub(crate) locked_up: Option<Thread>,
    #[serde(default)]
    pub(crate) programs: Vec<Program>,
    #[serde(flatten)]
    pub(crate) problem: OtherProblemTruth,
    #[serde(flatten)]
    pub(crate) storage: StorageTruth,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    ThpLivelock,
    SoftLockup,
    Sysrq,
    ThpBusy,
    #[serde(untagged)]
    OtherProblem(OtherProblem),
}

#[derive(Deserialize)]
pub(crate) struct Thread {
    pub(crate) pid: i64,
    pub(crate) tgid: i64,
    pub(crate) comm: String,
    /// -1 for a thread that is not bound to one.
    pub(crate) cpu: i64,
}

/// A thread that has the kernel write into its buffer.
#[derive(Deserialize)]
pub(crate) struct Faulting {
    #[serde(flatten)]
    pub(crate) thread: Thread,
    #[serde(deserialize_with = "hex")]
    pub(crate) address: u64,
    pub(crate) length: u64,
}

#[derive(Deserialize)]
pub(crate) struct Program {
    pub(crate) pid: i64,
    pub(crate) comm: String,
}

fn hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_hex(&text).ok_or_else(|| serde::de::Error::custom(format!("not an address: {text}")))
}

/// `0x…`, as addresses are written in the truth and in all JSON output.
pub(crate) fn parse_hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// All dumps in `VMCORE_LAB_DUMPS` that have a vmlinux, by name. None at all is a mistake, never a pass.
pub(crate) fn all() -> Vec<LabDump> {
    let mut dumps = every();
    dumps.retain(|dump| dump.vmlinux.exists());
    dumps
}

/// Those of kernels of which nobody serves a vmlinux any more.
pub(crate) fn without_vmlinux() -> Vec<LabDump> {
    let mut dumps = every();
    dumps.retain(|dump| !dump.vmlinux.exists());
    dumps
}

fn every() -> Vec<LabDump> {
    let directory = env::var_os("VMCORE_LAB_DUMPS").expect("VMCORE_LAB_DUMPS names the directory with the lab's dumps");
    let directory = Path::new(&directory);
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut dumps: Vec<_> = entries.filter_map(|entry| open(&entry.expect("a directory entry").path())).collect();
    assert!(!dumps.is_empty(), "no dump in {}", directory.display());
    dumps.sort_by(|a, b| a.name.cmp(&b.name));
    dumps
}

/// A directory without a truth is none of the lab's.
fn open(directory: &Path) -> Option<LabDump> {
    let truth = fs::read_to_string(directory.join("truth.json")).ok()?;
    let truth = serde_json::from_str(&truth).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let name = directory.file_name()?.to_string_lossy().into_owned();
    let (vmcore, vmlinux) = (directory.join("vmcore"), directory.join("vmlinux"));
    Some(LabDump { name, vmcore, others: other_forms(directory), vmlinux, truth })
}

fn other_forms(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_form = |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with("vmcore.");
    let mut forms: Vec<_> = entries.filter(is_form).map(|file| file.path()).collect();
    forms.sort_unstable();
    forms
}
