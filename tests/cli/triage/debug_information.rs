//! Debug information that is found beside dumps, or named among them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{BUNDLED, bundled};
use crate::{Scratch, run};

#[test]
fn a_profile_is_found_under_any_name_of_its_own() {
    let scratch = Scratch::new();
    for directory in ["pile/a", "pile/b", "debug"] {
        fs::create_dir_all(scratch.path(directory)).unwrap();
    }
    let profile = fs::read(Path::new(BUNDLED).join("vmlinux.profile")).unwrap();
    let at = |name: &str| scratch.path(name).display().to_string();
    for name in ["pile/a/vmcore", "pile/b/vmcore"] {
        fs::write(at(name), bundled("thp-livelock.vmcore")).unwrap();
    }
    fs::write(at("pile/b/vmcore"), [bundled("thp-livelock.vmcore"), vec![0; 8]].concat()).unwrap();
    fs::write(at("pile/a/web tier.profile"), &profile).unwrap();
    fs::write(at("debug/web tier"), &profile).unwrap();
    let judge = |store: &str, more: &[&str]| {
        let (pile, store) = (at("pile"), at(store));
        let own = ["triage", &pile, "--store", &store, "--no-cache", "--format", "json"];
        let run = run([&own, more].concat());
        let rows = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let by_path = |row: Value| {
            let path = row["path"].as_str().unwrap().rsplit_once("pile/").unwrap().1.to_owned();
            (path, row["confidence"].as_str().unwrap().to_owned())
        };
        rows.map(by_path).collect::<BTreeMap<_, _>>()
    };
    let debug = at("debug");
    let beside_one = judge("one.db", &["--debug-dir", &debug]);
    assert_eq!(beside_one["a/vmcore"], "confirmed");
    assert_ne!(beside_one["b/vmcore"], "confirmed", "nothing but the ending tells a profile from other files");
    // One that is cut off is no reason to take no other.
    fs::write(at("debug/cut.profile"), &profile[..profile.len() / 2]).unwrap();
    fs::rename(at("debug/web tier"), at("debug/web tier.profile")).unwrap();
    let named = judge("two.db", &["--debug-dir", &debug]);
    assert_eq!((named["a/vmcore"].as_str(), named["b/vmcore"].as_str()), ("confirmed", "confirmed"));
}

#[test]
fn a_kernel_that_is_named_among_the_dumps_is_used_for_those_of_its_build() {
    let scratch = Scratch::new();
    let dump = scratch.file("a.vmcore", &bundled("thp-livelock.vmcore")).display().to_string();
    let kernel = Path::new(BUNDLED).join("vmlinux.profile").display().to_string();
    let other = Path::new(BUNDLED).with_file_name("6.12-cloud-arm64/vmlinux.profile").display().to_string();
    let store = |name: &str| scratch.path(name).display().to_string();
    let judge = |name: &str, paths: &[&str]| {
        run([&["triage", "--no-cache", "--format", "json", "--store", &store(name)], paths].concat())
    };
    let row = |run: &crate::Run| serde_json::from_str::<Value>(run.stdout.trim_end()).unwrap();
    let without = judge("one.db", &[&dump]);
    assert_ne!(row(&without)["confidence"], "confirmed");
    let with = judge("two.db", &[&dump, &kernel]);
    assert_eq!((with.status, row(&with)["confidence"].as_str()), (1, Some("confirmed")), "{}", with.stderr);
    assert!(!with.stderr.contains("is not used"), "{}", with.stderr);
    // The order and others do not matter, and what is of no use is named.
    let both = judge("three.db", &[&other, &kernel, &dump]);
    assert_eq!(row(&both)["confidence"], "confirmed");
    assert!(
        both.stderr.contains("6.12-cloud-arm64/vmlinux.profile is not used: no dump is of its build"),
        "{}",
        both.stderr
    );
    // A row from before does not quietly stand for what was asked now.
    let known = judge("one.db", &[&dump, &kernel]);
    assert!(known.stderr.contains("note: 1 of the dumps had been judged before"), "{}", known.stderr);
    assert_eq!(row(&judge("one.db", &[&dump, &kernel, "--force"]))["confidence"], "confirmed");
    judge("four.db", &[&kernel]).fails_with(&["no dumps", "vmlinux.profile is debug information"]);
    // What is neither has a row that says so.
    let program = judge("five.db", &["/proc/self/exe"]);
    assert_eq!((program.status, row(&program)["error"]["kind"].as_str()), (2, Some("refused")), "{}", program.stderr);
}
