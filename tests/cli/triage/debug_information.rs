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
