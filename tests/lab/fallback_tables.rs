//! Without a debug file: what the dump says of its own kernel gives the same answers as the vmlinux.

use serde_json::Value;

use crate::lab_dump::LabDump;
use crate::program::{Run, list, run, text};

pub(crate) fn without_debug_file(dump: &LabDump) {
    let info = alone(dump, "info", &[]).expect_status(0).json();
    assert_eq!(text(&info["debuginfo"], "source"), "dump", "a debug file is installed, so this cannot be checked");
    assert_eq!(info["debuginfo"]["matches"], true);

    let (status, with) = dump.analysis();
    let without = alone(dump, "analyze", &[]).expect_status(status);
    assert!(without.stderr.contains("note: no vmlinux"), "{}", without.stderr);
    let (mut with, mut without) = (with.clone(), without.json());
    // What a kernel does not know of itself it says. It may be the watchdogs' settings, on which the confidence of findings rests.
    let unknown = without["unknown"].as_array_mut().expect("a list");
    let says = |unknown: &Value, what: &str| unknown.to_string().contains(what);
    let lacks_names = unknown.iter().any(|unknown| says(unknown, "names of variables"));
    let of_names = |unknown: &Value| says(unknown, "names of variables") || says(unknown, "no symbol rcu_state");
    // No kernel has `.debug_frame` in memory, which on arm64 stands for all tables.
    unknown.retain(|unknown| !(says(unknown, "call-frame information") || lacks_names && of_names(unknown)));
    if lacks_names {
        for answer in [&mut with, &mut without] {
            let findings = list(answer, "findings").iter().map(|finding| finding["id"].clone()).collect();
            answer["findings"] = Value::Array(findings);
        }
    }
    for member in ["verdict", "spinners", "splitters", "edges", "refutations", "unknown", "findings", "remedy"] {
        assert_eq!(without[member], with[member], "{member}");
    }
    for (command, member) in [("ps", "tasks"), ("runq", "cpus"), ("dmesg", "records")] {
        let without = alone(dump, command, &[]).expect_status(0).json();
        // Not assert_eq!: megabytes of output help nobody.
        assert!(without[member] == dump.json(command, &[])[member], "{command} differs");
    }
    stacks(&dump.json("bt", &["--all"]), &alone(dump, "bt", &["--all"]).expect_status(0).json());
}

/// The same stacks, frame by frame, but for source lines. Names may be those of aliases, so they are not compared; nor is
/// what lies behind the first frame that was found by `.debug_frame`, which no kernel has in memory.
fn stacks(with: &Value, without: &Value) {
    assert_eq!(list(with, "stacks").len(), list(without, "stacks").len());
    for (with, without) in list(with, "stacks").iter().zip(list(without, "stacks")) {
        let exact: Vec<_> = frames(with).take_while(|(_, trust)| *trust != "cfi").collect();
        let whole = exact.len() == list(with, "frames").len();
        let found: Vec<_> = frames(without).take(if whole { usize::MAX } else { exact.len() }).collect();
        assert_eq!(found, exact, "pid {}", with["pid"]);
    }
}

fn frames(stack: &Value) -> impl Iterator<Item = (&str, &str)> {
    list(stack, "frames").iter().map(|frame| (text(frame, "pc"), text(frame, "trust")))
}

/// Runs `vmcore-thp COMMAND VMCORE OPTIONS`.
#[track_caller]
fn alone(dump: &LabDump, command: &str, options: &[&str]) -> Run {
    let vmcore = dump.vmcore.to_str().expect("a path in UTF-8");
    run([&[command, vmcore, "--format", "json"], options].concat())
}
