//! Input that is not as it should be.

use std::fs::{self, File};
use std::io::{self, Read};

use crate::lab_dump::{LabDump, Scenario};
use crate::program::{Run, int, list, run_on, text};
use crate::verdict;

/// The first 60 % of a dump: no verdict is fine, a wrong one is not.
pub(crate) fn truncated(dump: &LabDump) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let copy = directory.path().join("vmcore");
    let length = fs::metadata(&dump.vmcore).expect("the dump").len() / 10 * 6;
    let mut start = File::open(&dump.vmcore).expect("the dump").take(length);
    io::copy(&mut start, &mut File::create(&copy).expect("a file")).expect("room for a part of a dump");

    let analysis = run_on("analyze", &copy, &dump.vmlinux, &["--format", "json"]);
    match analysis.status {
        0 | 1 => no_worse_than_the_truth(dump, &analysis),
        2 => assert!(analysis.stderr.starts_with("error: "), "{}", analysis.stderr),
        3 => {}
        other => panic!("exit status {other}: {}", analysis.stderr),
    }
    let stacks = run_on("bt", &copy, &dump.vmlinux, &["--all", "--format", "json"]);
    assert!([0, 2, 3].contains(&stacks.status), "exit status {}: {}", stacks.status, stacks.stderr);
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
