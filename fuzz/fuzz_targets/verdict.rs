//! A real livelock with one or two words changed: whatever the change, the verdict may not become sure of another task, and
//! the machine, whose log ends in a panic, never healthy.
//!
//! `VMCORE_FUZZ_DUMP` and `VMCORE_FUZZ_VMLINUX` name another distilled dump of a livelock than the one that comes with the sources.

#![no_main]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use vmcore_debuginfo::Vmlinux;
use vmcore_diagnose::{Confidence, Diagnosis, Issue, Options, collect, judge};
use vmcore_dump::Dump;
use vmcore_fuzz::Patcher;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::VirtAddr;

/// What is changed, and who is to blame before the change.
struct Truth {
    vmlinux: Vmlinux,
    patcher: Patcher,
    splitters: BTreeSet<VirtAddr>,
    spinners: BTreeSet<VirtAddr>,
}

static TRUTH: OnceLock<Truth> = OnceLock::new();

fn truth() -> &'static Truth {
    TRUTH.get_or_init(|| {
        let vmlinux = Vmlinux::open(&input("VMCORE_FUZZ_VMLINUX", "vmlinux.profile")).expect("the vmlinux can be read");
        let file = std::fs::read(input("VMCORE_FUZZ_DUMP", "thp-livelock.vmcore")).expect("the dump can be read");
        let whole = diagnosis(&file, &vmlinux).expect("the dump can be opened");
        assert_eq!((whole.verdict.issue, whole.verdict.confidence), (Some(Issue::ThpLivelock), Confidence::Confirmed));
        let memory_at = vmcore_fuzz::memory_at(&file);
        Truth {
            patcher: Patcher::new(file, memory_at),
            splitters: whole.splitters.iter().map(|splitter| splitter.task).collect(),
            spinners: whole.spinners.iter().map(|spinner| spinner.task).collect(),
            vmlinux,
        }
    })
}

/// The file that an environment variable names, or one that comes with the sources.
fn input(variable: &str, name: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/6.1-cloud-amd64");
    std::env::var_os(variable).map_or_else(|| data.join(name), PathBuf::from)
}

/// The verdict on a dump; `None` where it cannot be opened.
fn diagnosis(file: &[u8], vmlinux: &Vmlinux) -> Option<Diagnosis> {
    let mut found = None;
    vmcore_fuzz::with_file(file, |path| {
        let Ok(dump) = Dump::open(path) else { return };
        let Ok(kernel) = Kernel::open(&dump, vmlinux) else { return };
        let snapshot = Snapshot::read(&kernel);
        let facts = collect(&kernel, &snapshot);
        found = Some(judge(&facts, &kernel, &Options::default()));
    });
    found
}

fuzz_target!(
    init: {
        truth();
    },
    |input: &[u8]| {
        let truth = truth();
        let Some(found) = diagnosis(&truth.patcher.changed(input), &truth.vmlinux) else { return };
        let verdict = &found.verdict;
        assert_ne!(verdict.confidence, Confidence::None, "healthy, with a panic in its log: {}", verdict.summary);
        if (verdict.issue, verdict.confidence) != (Some(Issue::ThpLivelock), Confidence::Confirmed) {
            return;
        }
        for splitter in &found.splitters {
            assert!(truth.splitters.contains(&splitter.task), "sure of another splitter: {splitter:#x?}");
        }
        for spinner in &found.spinners {
            assert!(truth.spinners.contains(&spinner.task), "sure of another spinner: {spinner:#x?}");
        }
    }
);
