//! What lies in two directories, and what a list names and is not there.

use std::fs;

use serde_json::Value;

use super::{Pile, bundled, run};

#[test]
fn each_copy_of_a_dump_has_its_verdict_beside_it() {
    let pile = Pile::new();
    let dump = bundled("sysrq.vmcore");
    for name in ["a/vmcore", "b/vmcore"] {
        pile.add(name, &dump);
    }
    let log = b"[   90.000000] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [fstat:154]\n";
    pile.add("c/one.log", log);
    pile.add("c/two.log", log);
    let check = |files: &[&str]| {
        for file in files {
            let at = pile.0.path("pile").join(file);
            let name = at.file_name().unwrap().to_str().unwrap();
            let own = at.with_file_name(name.strip_suffix(".verdict.json").unwrap_or("vmcore"));
            let document: Value = serde_json::from_slice(&fs::read(&at).unwrap()).unwrap();
            let named = document.pointer("/dump/path").or_else(|| document.pointer("/path")).unwrap();
            assert_eq!(named, &own.display().to_string(), "{file}");
            let text = fs::read_to_string(at.with_extension("txt")).unwrap();
            assert!(text.contains(&own.display().to_string()), "{text}");
        }
    };
    let files = ["a/verdict.json", "b/verdict.json", "c/one.log.verdict.json", "c/two.log.verdict.json"];
    assert_eq!(pile.judge(&["--beside", "--jobs", "2"]).0, 1);
    check(&files);
    assert_eq!(pile.stored().len(), 2);
    // A copy that is new has its own as well, and one that is judged again is written anew everywhere.
    pile.add("d/vmcore", &dump);
    let stale = pile.0.path("pile/a/verdict.txt");
    fs::write(&stale, "stale").unwrap();
    pile.judge(&["--beside"]);
    check(&["d/verdict.json"]);
    assert_eq!(fs::read_to_string(&stale).unwrap(), "stale");
    pile.judge(&["--beside", "--force"]);
    check(&[&files[..], &["d/verdict.json"]].concat());
}

#[test]
fn what_a_list_names_and_is_not_there_is_no_crash() {
    let pile = Pile::new();
    pile.add("dump/vmcore", &bundled("soft-lockup.vmcore"));
    pile.add("empty/vmcore", b"");
    let list = pile.0.path("pile/list");
    let triage = |lines: &str, more: &[&str]| {
        fs::write(&list, lines).unwrap();
        let store = pile.0.path("list.db").display().to_string();
        let list = list.display().to_string();
        run(["triage", "--no-cache", "--no-debuginfod", "--store", &store, "--manifest", &list]
            .iter()
            .chain(more)
            .copied())
    };
    let lines = "empty/vmcore\nweb9-2026-11-28-03:13:00/vmcore\ndump/vmcore\n";
    let text = triage(lines, &["--beside"]);
    let heading = "3 dumps and logs of 2 crashes: 1 group; 0 inconclusive, 2 failed, of which 1 is not there\n";
    assert!(text.stdout.starts_with(heading), "{}", text.stdout);
    assert!(text.stdout.contains("missing: there is no such file"), "{}", text.stdout);
    assert!(!pile.0.path("pile/web9-2026-11-28-03:13:00").exists());
    let rows: Vec<Value> =
        triage(lines, &["--format", "json"]).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let gone = rows.iter().find(|row| row["path"].as_str().unwrap().contains("web9")).unwrap();
    assert_eq!(gone["error"]["kind"], "missing");
    assert_eq!((gone["confidence"].as_str(), &gone["crashed"]), (Some("failed"), &Value::Null));
    let empty = rows.iter().find(|row| row["path"].as_str().unwrap().contains("empty")).unwrap();
    assert_eq!(empty["error"]["kind"], "unreadable");
    // Nothing that is listed is there.
    assert_eq!(triage("gone/vmcore\n", &[]).status, 2);
    assert_eq!(triage("gone/vmcore\ndump/vmcore\n", &[]).status, 1);
    // It has come.
    pile.add("gone/vmcore", &bundled("sysrq.vmcore"));
    let found = triage("gone/vmcore\n", &["--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&found.stdout).unwrap()["error"], Value::Null);
}
