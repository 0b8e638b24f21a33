//! What a run says of how many it judged.

use std::path::Path;

use super::bundled;
use crate::{Scratch, run};

#[test]
fn a_run_counts_as_its_report_does() {
    let scratch = Scratch::new();
    let (dump, empty) = (scratch.file("a.vmcore", &bundled("sysrq.vmcore")), scratch.file("b.vmcore", b""));
    // No debug information: whether anything was wrong cannot be told.
    let (store, paths) = (scratch.path("s.db"), [dump, empty]);
    let named = [Path::new("triage"), &paths[0], &paths[1], Path::new("--store"), &store, Path::new("--no-cache")];
    let run = run(named);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(run.stderr.contains("note: 2 of 2 done, 1 inconclusive, 1 failed, "), "{}", run.stderr);
    assert!(
        run.stdout.starts_with("2 dumps and logs of 2 crashes: 0 groups; 1 inconclusive, 1 failed\n"),
        "{}",
        run.stdout
    );
    let (inconclusive, failed) = run.stdout.split_once("\nFailed: could not be judged\n").unwrap();
    assert!(inconclusive.contains("\nInconclusive: ") && inconclusive.contains("a.vmcore"), "{}", run.stdout);
    assert!(failed.contains("b.vmcore"), "{}", run.stdout);
}
