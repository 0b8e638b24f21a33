//! `triage` on a pile as kdump leaves it, made of the dumps that come with the source.

mod copies;
mod counts;
mod debug_information;
mod refusals;
mod resources;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Scratch, run};

const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/6.1-cloud-amd64");
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/console/tests/logs");
const BUILD_ID: &str = "3b43fad5034874490492495d552c0af6a5fab235";

/// A pile, a directory with its debug information, and a store that is not there yet.
struct Pile(Scratch);

impl Pile {
    fn new() -> Self {
        let scratch = Scratch::new();
        let (first, rest) = BUILD_ID.split_at(2);
        let debug = scratch.path("debug/.build-id").join(first);
        fs::create_dir_all(&debug).unwrap();
        fs::copy(Path::new(BUNDLED).join("vmlinux.profile"), debug.join(format!("{rest}.debug"))).unwrap();
        Self(scratch)
    }

    fn add(&self, path: &str, contents: &[u8]) -> PathBuf {
        let path = self.0.path("pile").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let at = |name: &str| self.0.path(name).display().to_string();
        let named = [at("pile"), "--store".into(), at("s.db"), "--debug-dir".into(), at("debug")];
        let own = ["triage".to_owned()].into_iter().chain(named).chain(["--cache".to_owned(), at("cache")]);
        own.chain(more.iter().map(ToString::to_string)).collect()
    }

    /// The lines of a run, by path within the pile.
    fn judge(&self, more: &[&str]) -> (i32, BTreeMap<String, Value>) {
        let run = run(self.arguments(&[&["--format", "json"], more].concat()));
        let rows = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let name = |row: &Value| row["path"].as_str().unwrap().rsplit_once("pile/").unwrap().1.to_owned();
        (run.status, rows.map(|row| (name(&row), row)).collect())
    }

    fn start(&self) -> Child {
        let program = assert_cmd::cargo::cargo_bin("vmcore-thp");
        let mut command = Command::new(program);
        command.args(self.arguments(&["--jobs", "2"])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What all rows of the store come to, as `verdict issue`, sorted.
    fn stored(&self) -> Vec<String> {
        let store = self.0.path("s.db").display().to_string();
        let run = run(["triage", "export", "--store", &store, "--format", "json"]);
        let text = |row: &Value| {
            let issue = row["issue"].as_str().unwrap_or("-");
            format!(
                "{} {} {issue}",
                row["path"].as_str().unwrap().rsplit_once("pile/").unwrap().1,
                row["confidence"].as_str().unwrap()
            )
        };
        let mut rows: Vec<_> = run.stdout.lines().map(|line| text(&serde_json::from_str(line).unwrap())).collect();
        rows.sort();
        rows
    }
}

fn bundled(name: &str) -> Vec<u8> {
    fs::read(Path::new(BUNDLED).join(name)).unwrap()
}

#[test]
fn a_pile_is_judged_grouped_and_known_again() {
    let pile = Pile::new();
    let livelock = pile.add("web1-2026-11-28-03:12:45/vmcore", &bundled("thp-livelock.vmcore"));
    let again = livelock.parent().unwrap().with_file_name("web1-again-2026-11-28-03:12:45");
    fs::create_dir(&again).unwrap();
    fs::hard_link(&livelock, again.join("vmcore")).unwrap();
    pile.add("202611280313/dump.202611280313", &bundled("soft-lockup.vmcore"));
    pile.add("2026-11-28-03:14/vmcore", &bundled("sysrq.vmcore"));
    pile.add("cut/vmcore", &bundled("thp-busy.vmcore")[..5000]);
    pile.add("127.0.0.1-2026-11-27-08:09:10/vmcore-incomplete", &[0; 4096]);
    let log = fs::read(Path::new(LOGS).join("alibaba-4.19.91-19.1.al7.log")).unwrap();
    pile.add("log-only/vmcore-dmesg.txt", &log);
    pile.add("log-only/kexec-dmesg.log", b"[    0.000000] Linux version 6.1.0\n");
    pile.add("cut-with-log/vmcore", b"KDUMP   ");
    pile.add("cut-with-log/vmcore-dmesg.txt", &log);

    let (status, rows) = pile.judge(&[
        "--beside",
        "--notify-command",
        &format!("echo \"$VMCORE_THP_ISSUE\" >> '{}'", pile.0.path("told").display()),
    ]);
    assert_eq!(status, 1);
    let is = |path: &str| {
        let row = &rows[path];
        (row["confidence"].as_str().unwrap(), row["issue"].as_str().unwrap_or_default())
    };
    assert_eq!(is("202611280313/dump.202611280313"), ("confirmed", "soft-lockup"));
    assert_eq!(is("2026-11-28-03:14/vmcore"), ("none", "crash-requested"));
    assert_eq!(is("127.0.0.1-2026-11-27-08:09:10/vmcore-incomplete"), ("failed", ""));
    assert_eq!(is("log-only/vmcore-dmesg.txt"), ("probable", "thp-split-page-fault-livelock"));
    assert_eq!(is("cut-with-log/vmcore"), ("probable", "thp-split-page-fault-livelock"));
    assert!(rows["cut-with-log/vmcore"]["from_log"].as_bool().unwrap());
    assert!(matches!(is("cut/vmcore").0, "failed" | "insufficient"), "{:?}", rows["cut/vmcore"]);
    // A dump knows better than its directory when its machine crashed.
    assert_eq!(rows["202611280313/dump.202611280313"]["crashed"], "2026-11-22T20:29:46Z");
    assert_eq!(rows["127.0.0.1-2026-11-27-08:09:10/vmcore-incomplete"]["crashed"], "2026-11-27T08:09:10Z");
    let linked = rows.values().find(|row| row["confidence"] == "confirmed" && row["issue"] != "soft-lockup").unwrap();
    assert_eq!(linked["issue"], "thp-split-page-fault-livelock");

    // One content under two names is one row, and each new group with a problem was told once.
    assert_eq!(pile.stored().len(), 7);
    let mut told: Vec<_> = fs::read_to_string(pile.0.path("told")).unwrap().lines().map(str::to_owned).collect();
    told.sort();
    assert_eq!(told[..], ["soft-lockup", "thp-split-page-fault-livelock", "thp-split-page-fault-livelock"]);
    let beside = pile.0.path("pile/202611280313");
    assert!(fs::read_to_string(beside.join("verdict.txt")).unwrap().contains("soft-lockup (confirmed)"));
    let document: Value = serde_json::from_slice(&fs::read(beside.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(document["verdict"]["issue"], "soft-lockup");

    // A second run finds all of it done.
    let before = pile.stored();
    assert_eq!(pile.judge(&[]).0, 1);
    assert_eq!(pile.stored(), before);

    let store = pile.0.path("s.db").display().to_string();
    let text = run(["triage", "report", "--store", &store]).stdout;
    assert!(
        text.contains("thp-split-page-fault-livelock (confirmed)") && text.contains("Failed: could not be judged"),
        "{text}"
    );
    let page = run(["triage", "report", "--store", &store, "--format", "html"]).stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("web1-2026-11-28"), "{page}");
    let csv = run(["triage", "export", "--store", &store, "--format", "csv"]).stdout;
    assert_eq!(csv.lines().count(), 8);
}

#[test]
fn a_kernel_is_read_once_and_then_its_profile() {
    let pile = Pile::new();
    pile.add("a-2026-11-01-03:00:00/vmcore", &bundled("thp-livelock.vmcore"));
    assert_eq!(pile.judge(&[]).0, 1);
    let cache = pile.0.path("cache");
    let entry = cache.join(format!("{BUILD_ID}.profile"));
    assert!(entry.is_file());
    // From now on nobody opens the vmlinux: there is none.
    fs::remove_dir_all(pile.0.path("debug/.build-id")).unwrap();
    pile.add("b-2026-11-01-03:00:00/vmcore", &bundled("soft-lockup.vmcore"));
    let (status, rows) = pile.judge(&[]);
    assert_eq!((status, &rows["b-2026-11-01-03:00:00/vmcore"]["issue"]), (1, &Value::from("soft-lockup")));
    let dump = Path::new(BUNDLED).join("sysrq.vmcore").display().to_string();
    let analyze = |vmlinux: &str| {
        let cache = cache.display().to_string();
        run(["analyze", "--format", "json", "--cache", &cache, &dump, vmlinux].map(str::to_owned))
    };
    let source =
        |stdout: &str| serde_json::from_str::<Value>(stdout).unwrap()["stacks"][0]["frames"][0]["symbol"].clone();
    let cached = analyze("/nowhere/vmlinux");
    assert_eq!(cached.status, 0, "{}", cached.stderr);
    // Damage is noticed, and what was damaged is not read.
    let mut damaged = fs::read(&entry).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&entry, &damaged).unwrap();
    assert_eq!(analyze("/nowhere/vmlinux").status, 2);
    let made_anew = analyze(&Path::new(BUNDLED).join("vmlinux.profile").display().to_string());
    assert_eq!((made_anew.status, source(&made_anew.stdout)), (0, source(&cached.stdout)));
    assert_ne!(fs::read(&entry).unwrap(), damaged);
}

#[test]
fn killed_at_any_moment_a_run_goes_on_where_it_was() {
    let pile = Pile::new();
    let names = ["thp-livelock.vmcore", "soft-lockup.vmcore", "sysrq.vmcore", "thp-busy.vmcore"];
    let mut expected = Vec::new();
    for (number, name) in names.iter().cycle().take(6).enumerate() {
        // The same crash with something after its end: other content.
        let contents = [bundled(name), vec![0; number / 4 * 8]].concat();
        pile.add(&format!("{number}/vmcore"), &contents);
        let verdict = match *name {
            "thp-livelock.vmcore" => "confirmed thp-split-page-fault-livelock",
            "soft-lockup.vmcore" => "confirmed soft-lockup",
            _ => "none crash-requested",
        };
        expected.push(format!("{number}/vmcore {verdict}"));
    }
    for rows in [1, 2] {
        let mut child = pile.start();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60) {
            if pile.0.path("s.db").exists() && pile.stored().len() >= rows {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(pile.stored().len() >= 2);
    pile.judge(&[]);
    assert_eq!(pile.stored(), expected);
}

#[test]
fn interrupted_a_run_says_so_and_keeps_what_is_done() {
    let pile = Pile::new();
    for number in 0..20 {
        let mut contents = bundled("sysrq.vmcore");
        contents.extend([number; 9]);
        pile.add(&format!("h{number}/vmcore"), &contents);
    }
    let program = assert_cmd::cargo::cargo_bin("vmcore-thp");
    // The tests themselves may run in the background of a script, which ignores the signal.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(program).args(pile.arguments(&["--jobs", "2"]));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while pile.stored().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    let text = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.signal(), Some(2), "{text}");
    assert!(text.contains("error: interrupted: ") && text.contains(" of 20 are done, and kept in "), "{text}");
    let done = pile.stored();
    assert!((1..20).contains(&done.len()) && done.iter().all(|verdict| verdict.contains(" none ")), "{done:?}");
    assert_eq!(pile.judge(&[]).1.len(), 20);
    assert_eq!(pile.stored().len(), 20);
}

#[test]
fn a_store_is_exported_and_has_pages() {
    let pile = Pile::new();
    pile.add("a-2026-11-01-03:00:00/vmcore", &bundled("thp-livelock.vmcore"));
    pile.add("b/vmcore", b"");
    pile.judge(&[]);
    let at = |name: &str| pile.0.path(name).display().to_string();
    let run = |words: &[&str]| {
        let ended = run([&["triage"], words, &["--store", &at("s.db")]].concat());
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        ended.stdout
    };
    assert_eq!(run(&["export", "--format", "csv"]).lines().count(), 3);
    assert_eq!(run(&["export", "--format", "jsonl"]), run(&["report", "--format", "json"]));
    run(&["report", "-o", &at("all.html"), "--pages", &at("of dumps")]);
    let pages: Vec<_> = fs::read_dir(at("of dumps")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(pages.len(), 2);
    let all = fs::read_to_string(at("all.html")).unwrap();
    for page in pages {
        let link = format!("of%20dumps/{}", page.file_name().unwrap().to_str().unwrap());
        assert!(all.contains(&link), "{link}");
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains("href=\"../all.html\"") && text.contains("script-src 'none'"));
        assert!(text.contains("/b/vmcore") || text.contains("Who spins") && text.contains("fstat/0"), "{text}");
    }
    let refused = crate::run(["triage", "report", "--pages", "x", "--store", &at("s.db")].map(str::to_owned));
    assert_eq!(refused.status, 2);
}

#[test]
fn shares_of_a_plan_make_one_store() {
    let pile = Pile::new();
    for number in 0..8 {
        let mut contents = bundled(if number % 2 == 0 { "sysrq.vmcore" } else { "soft-lockup.vmcore" });
        contents.extend([number; 9]);
        pile.add(&format!("h{number}/vmcore"), &contents);
    }
    pile.add("poison/vmcore", &bundled("sysrq.vmcore")[..5000]);
    let at = |name: &str| pile.0.path(name).display().to_string();
    let (plan, store) = (at("plan.jsonl"), at("store"));
    let planned = run(["triage", "plan", &at("pile"), "-o", &plan].map(str::to_owned));
    assert_eq!(planned.status, 0, "{}", planned.stderr);
    let work = |more: &[&str]| {
        let program = assert_cmd::cargo::cargo_bin("vmcore-thp");
        let mut command = Command::new(program);
        command.args(["triage", "work", "--plan", &plan, "--store", &store, "--debug-dir", &at("debug"), "--cache"]);
        command.arg(at("cache")).args(more).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    // A node that is lost in the middle of its share.
    let mut lost = work(&["--shard", "1/2"]).spawn().unwrap();
    let rows = pile.0.path("store/rows");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&rows).map_or(0, Iterator::count) == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    lost.kill().unwrap();
    lost.wait().unwrap();
    let merge = || run(["triage", "merge", &store, "--plan", &plan].map(str::to_owned));
    let incomplete = merge();
    assert_eq!(incomplete.status, 3, "{}", incomplete.stderr);
    assert!(incomplete.stderr.contains("warning: there is no row of "), "{}", incomplete.stderr);
    for share in ["0", "1"] {
        let status = work(&["--shards", "2"]).env("JOB_COMPLETION_INDEX", share).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
    assert_eq!(merge().status, 0);
    pile.judge(&[]);
    let export = |store: &str| {
        let exported = run(["triage", "export", "--format", "json", "--store", store].map(str::to_owned)).stdout;
        let rows = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|mut row| {
            row["elapsed_ns"].take();
            row
        })
        .collect::<Vec<_>>()
    };
    let merged = export(&format!("{store}/triage.db"));
    assert_eq!(merged.len(), 9);
    assert_eq!(merged, export(&at("s.db")));
    assert_eq!(work(&["--shard", "3/2"]).status().unwrap().code(), Some(2));
    assert_eq!(work(&[]).status().unwrap().code(), Some(2));
}

#[test]
fn what_takes_too_long_or_too_much_is_a_row() {
    let pile = Pile::new();
    pile.add("a/vmcore", &bundled("soft-lockup.vmcore"));
    let (status, rows) = pile.judge(&["--timeout", "1ms"]);
    assert_eq!((status, &rows["a/vmcore"]["error"]["kind"]), (2, &Value::from("timeout")));
    let (status, rows) = pile.judge(&["--max-memory", "1M", "--retry"]);
    assert_eq!((status, &rows["a/vmcore"]["error"]["kind"]), (2, &Value::from("memory")));
    // Without --retry what is known stays.
    assert_eq!(pile.judge(&[]).0, 2);
    assert_eq!(pile.judge(&["--retry"]).0, 1);
}

#[test]
fn a_silent_log_shows_no_machine_well_whose_dump_cannot_be_read() {
    const SILENT: &[u8] =
        b"[    0.000000] Linux version 6.1.0 (a@b) (gcc 12) #1 SMP x\n[   90.000000] usb 1-1: hello\n";
    let pile = Pile::new();
    // A full disk leaves this.
    pile.add("empty/vmcore", b"");
    pile.add("empty/vmcore-dmesg.txt", SILENT);
    pile.add("cut/vmcore", b"KDUMP   ");
    pile.add("cut/vmcore-dmesg.txt", SILENT);
    // The beginning of it, which tells a crash kernel, was overwritten.
    pile.add("of-the-writer/kexec-dmesg.log", &SILENT[59..]);
    let (status, rows) = pile.judge(&["--beside"]);
    assert_eq!(status, 3);
    for path in ["empty/vmcore", "cut/vmcore", "of-the-writer/kexec-dmesg.log"] {
        assert_eq!(rows[path]["confidence"], "insufficient", "{path}: {}", rows[path]);
        // The document says the same as the row, and why.
        let document = fs::read(pile.0.path("pile").join(path).with_file_name("verdict.json")).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(document["verdict"]["confidence"], "insufficient", "{path}");
        let why = document["unknown"].as_array().unwrap().last().unwrap().as_str().unwrap();
        let expected = if path.ends_with(".log") { "wrote the dump" } else { "the dump beside this log" };
        assert!(why.contains(expected), "{path}: {why}");
    }
    let store = pile.0.path("s.db").display().to_string();
    let text = run(["triage", "report", "--store", &store]).stdout;
    assert!(!text.contains("nothing found"), "{text}");
}

#[test]
fn equal_names_in_two_directories_are_two_crashes() {
    let scratch = Scratch::new();
    let store = scratch.path("s.db").display().to_string();
    let triage = |directory: &str, contents: &[u8]| {
        fs::create_dir_all(scratch.path(directory)).unwrap();
        fs::write(scratch.path(directory).join("vmcore"), contents).unwrap();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("vmcore-thp"));
        command.args(["-q", "triage", "--store", &store, "vmcore"]).current_dir(scratch.path(directory));
        command.output().unwrap()
    };
    triage("first", b"");
    triage("second", &bundled("sysrq.vmcore"));
    let export = run(["triage", "export", "--store", &store, "--format", "json"]).stdout;
    assert_eq!(export.lines().count(), 2, "{export}");
}
