//! Input that is not as it should be.

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::lab_dump::{LabDump, Scenario};
use crate::program::{Run, int, list, run_on, text};
use crate::verdict;

/// How much of a dump is left, in percent. Falling, so that one copy is cut again and again.
const LEFT: [u64; 5] = [90, 70, 50, 30, 10];

/// The first part of a dump, in each of its forms: no verdict is fine, a wrong one is not.
pub(crate) fn truncated(dump: &LabDump) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for form in dump.forms() {
        let copy = directory.path().join("vmcore");
        fs::copy(form, &copy).expect("room for a dump");
        let length = fs::metadata(&copy).expect("the copy").len();
        let file = OpenOptions::new().write(true).open(&copy).expect("the copy");
        for percent in LEFT {
            file.set_len(length / 100 * percent).expect("a shorter file");
            println!("{percent} % of {}", form.display());
            truncated_copy(dump, &copy);
        }
    }
}

/// A dump that lacks its end says so, and is never healthy: what was not seen may be what is wrong.
fn truncated_copy(dump: &LabDump, copy: &Path) {
    let analysis = run_on("analyze", copy, &dump.vmlinux, &["--format", "json"]);
    match analysis.status {
        1 => no_worse_than_the_truth(dump, &analysis),
        2 => assert!(analysis.stderr.lines().any(|line| line.starts_with("error: ")), "{}", analysis.stderr),
        3 => {}
        other => panic!("exit status {other}: {}", analysis.stderr),
    }
    assert!(analysis.stderr.contains("truncated"), "what is missing: {}", analysis.stderr);
    if analysis.status != 2 {
        assert_eq!(analysis.json()["dump"]["incomplete"], true);
    }
    let stacks = run_on("bt", copy, &dump.vmlinux, &["--all", "--format", "json"]);
    assert!([0, 2, 3].contains(&stacks.status), "exit status {}: {}", stacks.status, stacks.stderr);
    assert!(stacks.stderr.contains("truncated"), "what is missing: {}", stacks.stderr);
}

/// Fewer spinners than there were, perhaps; never others.
fn no_worse_than_the_truth(dump: &LabDump, run: &Run) {
    let analysis = run.json();
    if dump.truth.scenario != Scenario::ThpLivelock {
        return verdict::expect_verdict(dump, run.status, &analysis);
    }
    assert_eq!(run.status, 1, "the livelock is not nothing: {}", analysis["verdict"]);
    for spinner in list(&analysis, "spinners") {
        let found = (int(spinner, "cpu"), int(spinner, "pid"), text(spinner, "comm"));
        let truth = dump.truth.spinners.iter().map(|it| &it.thread).find(|it| it.cpu == found.0);
        assert_eq!(truth.map(|it| (it.cpu, it.pid, it.comm.as_str())), Some(found));
    }
}

/// A dump with the vmlinux of another kernel is refused, and the message says which is which.
pub(crate) fn other_kernel(dump: &LabDump, other: &LabDump) {
    let build_id = |dump: &LabDump| text(&dump.json("info", &[])["kernel"], "build_id").to_owned();
    let run = run_on("analyze", &dump.vmcore, &other.vmlinux, &[]).expect_status(2);
    for id in [build_id(dump), build_id(other)] {
        assert!(run.stderr.contains(&id), "{id} in {}", run.stderr);
    }
    assert!(run.stdout.is_empty());
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
}
