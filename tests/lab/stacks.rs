//! `bt --all`: a whole stack for every task.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab_dump::LabDump;
use crate::program::{hex, int, list, text};

const ALL: [&str; 3] = ["--all", "--format", "json"];

pub(crate) fn are_whole(dump: &LabDump) {
    let stacks = dump.json("bt", &["--all"]);
    let stacks = list(&stacks, "stacks");
    for stack in stacks {
        let who = format!("pid {} {:?}", int(stack, "pid"), text(stack, "comm"));
        if has_exited(stack) {
            continue;
        }
        assert_ne!(text(stack, "end"), "truncated", "{who}: {}", stack["error"]);
        if list(stack, "frames").is_empty() {
            in_user_mode(dump, stack);
        }
        for frame in list(stack, "frames") {
            assert!(hex(frame, "pc") != 0 && !text(frame, "trust").is_empty(), "{who}: {frame}");
        }
    }
    let unwound: BTreeSet<_> = stacks.iter().map(|stack| (int(stack, "pid"), text(stack, "comm"))).collect();
    let tasks = dump.json("ps", &[]);
    for task in list(&tasks, "tasks") {
        let (pid, comm) = (int(task, "pid"), text(task, "comm"));
        assert!(unwound.contains(&(pid, comm)), "pid {pid} {comm:?} has no stack");
    }
    let idle = stacks.iter().filter(|stack| int(stack, "pid") == 0).count();
    assert_eq!(idle, dump.truth.cpus, "idle tasks");
}

/// A zombie's stack may have been given back already.
fn has_exited(stack: &Value) -> bool {
    let given_back = stack["error"].as_str().is_some_and(|error| error.contains("its stack is given back"));
    given_back && matches!(text(stack, "state"), "Z" | "X") && list(stack, "frames").is_empty()
}

/// A CPU that was stopped in user mode has no kernel frames, which is an answer of its own, not a lack of one.
fn in_user_mode(dump: &LabDump, stack: &Value) {
    let pid = int(stack, "pid");
    assert_eq!((text(stack, "end"), &stack["on_cpu"]), ("user_mode", &Value::Bool(true)), "pid {pid}: no frames");
    let report = dump.run("bt", &["--pid", &pid.to_string(), "--color", "never"]).expect_status(0).stdout;
    assert!(report.contains("in user mode"), "{report}");
}

pub(crate) fn do_not_depend_on_threads(dump: &LabDump) {
    for command in ["bt", "analyze"] {
        let options = if command == "bt" { &ALL[..] } else { &ALL[1..] };
        let run = |threads| dump.run(command, &[options, &["--threads", threads]].concat());
        let (one, two) = (run("1"), run("2"));
        assert_eq!(one.status, two.status);
        // Not assert_eq!: megabytes of output help nobody.
        assert!(one.stdout == two.stdout, "{command}: another output with another number of threads");
    }
}
