//! A worker of `triage`: each dump in a copy of it, and what a dump does to its copy happens to no other.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use vmcore_triage::{Analyzer, Ended, FailureKind, Item, Worker};

use crate::Scratch;

const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/6.1-cloud-amd64");
const LONG: Duration = Duration::from_secs(120);

/// How to analyze, with a cache of one's own, by which the worker is known.
fn analyzer(scratch: &Scratch, timeout: Duration) -> Analyzer {
    let cache = vec!["--cache".into(), scratch.path("cache").into()];
    Analyzer {
        program: assert_cmd::cargo::cargo_bin("vmcore-thp"),
        arguments: cache.iter().cloned().chain(["--no-debuginfod".into()]).collect(),
        worker_arguments: cache,
        timeout,
        max_memory: 1 << 30,
        give_up: || false,
        servers: vmcore_triage::Servers::default(),
    }
}

fn dump() -> Item {
    let at = |name: &str| Path::new(BUNDLED).join(name);
    Item { vmlinux: Some(at("vmlinux.profile")), ..Item::dump(at("thp-livelock.vmcore")) }
}

/// A pipe of this process, as a shell makes one of `<(command)`, that nobody writes to: who reads it waits for ever.
fn endless() -> Item {
    let (reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd());
    // Open until the tests end.
    std::mem::forget((reader, writer));
    Item::log(path.into())
}

/// What came of it, in words.
fn told(ended: &Ended) -> String {
    match ended {
        Ended::Document { text, .. } => text.clone(),
        Ended::Failed(failure) => format!("{}: {}", failure.kind.name(), failure.message),
        Ended::GivenUp => "given up".to_owned(),
    }
}

/// Processes whose parent is `parent`, or whose command line has `word`.
fn processes(is: impl Fn(u32, &str) -> bool) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let words = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    numbers.filter(|&pid| parent(pid).is_some_and(|parent| is(parent, &words(pid)))).collect()
}

fn worker_of(cache: &Path) -> Vec<u32> {
    let cache = cache.display().to_string();
    processes(|parent, words| parent == std::process::id() && words.contains("worker") && words.contains(&cache))
}

fn copies_of(worker: u32) -> Vec<u32> {
    processes(|parent, _| parent == worker)
}

/// The first that there are, soon.
fn wait_for(mut find: impl FnMut() -> Vec<u32>) -> u32 {
    let began = Instant::now();
    loop {
        if let Some(pid) = find().first() {
            return *pid;
        }
        assert!(began.elapsed() < LONG, "there is no such process");
        thread::sleep(Duration::from_millis(2));
    }
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

fn is_gone(pid: u32) -> bool {
    let state = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, state)
}

#[test]
fn each_dump_is_told_of_as_by_a_process_of_its_own() {
    let scratch = Scratch::new();
    let analyzer = analyzer(&scratch, LONG);
    let file = |name: &str, contents: &[u8]| -> PathBuf {
        let path = scratch.path(name);
        fs::write(&path, contents).unwrap();
        path
    };
    let whole = fs::read(Path::new(BUNDLED).join("thp-livelock.vmcore")).unwrap();
    let items = [
        dump(),
        Item::dump(file("garbage", b"no dump at all")),
        Item::dump(file("cut", &whole[..whole.len() / 3])),
        Item::log(file("log", b"[   12.000000] BUG: kernel NULL pointer dereference, address: 0000000000000010\n")),
        dump(),
        Item::dump(file("copy", &whole)),
        Item::dump(scratch.path("nothing")),
        dump(),
    ];
    let mut worker = Worker::new(&analyzer);
    let mut pids = Vec::new();
    for item in &items {
        assert_eq!(told(&worker.run(item)), told(&analyzer.run(item)), "{}", item.path.display());
        pids.push(worker_of(&scratch.path("cache")));
    }
    assert!(pids[0].len() == 1 && pids.iter().all(|each| *each == pids[0]), "one worker did it all: {pids:?}");
    drop(worker);
    assert!(worker_of(&scratch.path("cache")).is_empty(), "it ends with who started it");
}

#[test]
fn a_copy_that_dies_or_hangs_costs_its_own_dump() {
    let scratch = Scratch::new();
    let (patient, hasty) = (analyzer(&scratch, LONG), analyzer(&scratch, Duration::from_millis(300)));
    let mut worker = Worker::new(&patient);
    let before = told(&worker.run(&dump()));
    let pid = wait_for(|| worker_of(&scratch.path("cache")));
    let died = thread::scope(|scope| {
        scope.spawn(|| kill(wait_for(|| copies_of(pid))));
        worker.run(&endless())
    });
    assert!(matches!(&died, Ended::Failed(failure) if failure.kind == FailureKind::Signal), "{}", told(&died));
    assert_eq!(told(&worker.run(&dump())), before);
    assert_eq!(worker_of(&scratch.path("cache")), [pid]);
    drop(worker);

    let mut worker = Worker::new(&hasty);
    let hung = worker.run(&endless());
    assert!(matches!(&hung, Ended::Failed(failure) if failure.kind == FailureKind::Timeout), "{}", told(&hung));
    let pid = wait_for(|| worker_of(&scratch.path("cache")));
    assert!(copies_of(pid).is_empty());
    drop(worker);

    let greedy = Analyzer { max_memory: 1 << 20, ..patient };
    let mut worker = Worker::new(&greedy);
    let ended = worker.run(&dump());
    assert!(matches!(&ended, Ended::Failed(failure) if failure.kind == FailureKind::Memory), "{}", told(&ended));
}

#[test]
fn a_worker_that_dies_costs_nothing() {
    let scratch = Scratch::new();
    let patient = analyzer(&scratch, LONG);
    let mut worker = Worker::new(&patient);
    let before = told(&worker.run(&dump()));
    let first = wait_for(|| worker_of(&scratch.path("cache")));
    kill(first);
    assert_eq!(told(&worker.run(&dump())), before, "by a process of its own");
    assert_eq!(told(&worker.run(&dump())), before, "by the next worker");
    let second = wait_for(|| worker_of(&scratch.path("cache")));
    assert_ne!(first, second);
    drop(worker);

    // In the middle of a dump: its copy goes with it, and the dump is done again.
    let hasty = analyzer(&scratch, Duration::from_secs(3));
    let mut worker = Worker::new(&hasty);
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            let pid = wait_for(|| worker_of(&scratch.path("cache")));
            let copy = wait_for(|| copies_of(pid));
            kill(pid);
            let began = Instant::now();
            while !is_gone(copy) {
                assert!(began.elapsed() < LONG, "the copy outlives its worker");
                thread::sleep(Duration::from_millis(2));
            }
        });
        worker.run(&endless())
    });
    assert!(matches!(&ended, Ended::Failed(failure) if failure.kind == FailureKind::Timeout), "{}", told(&ended));
}
