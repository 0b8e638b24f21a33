//! Lists of the kernel's state of a dump that does not have them: null and not empty in JSON, and text says why.

use std::process::Command;

use serde_json::Value;

use super::{json, run, text};

/// Lists that the dump does not have, by command; and what text would say if there were nothing in them.
const UNREAD: [(&str, &[&str], &str); 8] = [
    ("irq", &["/lines"], "no interrupt line"),
    ("workqueue", &["/pools", "/queues"], "0 pools"),
    ("dev", &["/disks"], "no block devices"),
    ("files", &["/tasks/0/files", "/tasks/1/files"], "no files"),
    ("mount", &["/mounts"], "no mounts"),
    ("net", &["/devices"], "no network devices"),
    ("kmem", &["/slabs"], "no slab caches"),
    ("swap", &["/areas"], "no swap"),
];

#[test]
fn a_list_that_was_not_read_is_not_an_empty_one() {
    for (command, lists, nothing) in UNREAD {
        let found = json(command, &[], "thp-livelock");
        for list in lists {
            assert_eq!(found.pointer(list), Some(&Value::Null), "{command} {list}: {found}");
        }
        let text = text(command, &[], "thp-livelock").split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("not read: ") && text.contains("is not in the dump"), "{command}: {text}");
        assert!(!text.contains(nothing), "{command}: {text}");
    }
}

#[test]
fn a_list_that_is_empty_is_one() {
    let found = json("locks", &[], "thp-livelock");
    assert_eq!((&found["locks"], &found["works"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())), "{found}");
    assert!(!text("locks", &[], "thp-livelock").contains("not read"));
}

#[test]
fn nothing_at_all_is_no_answer() {
    for (command, status) in [("mount", 3), ("swap", 3), ("net", 3), ("workqueue", 3), ("locks", 0), ("irq", 0)] {
        assert_eq!(run(command, &[], "thp-livelock").status.code(), Some(status), "{command}");
    }
}

/// Programs read one document of each run, also where what was asked for is not in the dump.
#[test]
fn what_is_not_in_the_dump_is_a_document_as_well() {
    let [vmcore, vmlinux] = ["thp-livelock.vmcore", "vmlinux.profile"].map(super::testdata);
    for (command, list) in [("rd", "words"), ("dis", "instructions")] {
        let output = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
            .args([command, "--format", "json"])
            .args([&vmcore, &vmlinux])
            .arg("schedule")
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(3), "{command}");
        let found: Value = serde_json::from_slice(&output.stdout).expect("output is JSON");
        assert_eq!(found.get(list), Some(&Value::Null), "{command}: {found}");
        assert!(found["error"].as_str().is_some_and(|why| why.contains("not in the dump")), "{command}: {found}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "), "{command}");
    }
}

/// What was not read is not counted either: no pool is known to be stuck, and none not to be.
#[test]
fn what_was_not_read_is_not_counted() {
    for (command, counted) in [("workqueue", "? pools, ? stuck"), ("timer", "? timers, ? overdue")] {
        let text = text(command, &[], "thp-livelock");
        assert!(text.contains(counted), "{command}: {text}");
    }
}
