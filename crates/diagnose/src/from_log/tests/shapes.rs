//! Every log of `crates/console/tests/shapes` is judged as the file beside it wants.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vmcore_console::{Event, Log, Trace};

use crate::from_log::from_log;

#[test]
fn every_shape_is_judged_as_it_wants() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/tests/shapes");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let logs: BTreeSet<_> = files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    assert!(logs.len() >= 95, "only {} shapes", logs.len());
    let wrong: Vec<String> = logs.iter().flat_map(|path| check(path)).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is not as wanted.
fn check(path: &Path) -> Vec<String> {
    let log = Log::read(fs::read(path).unwrap().as_slice()).unwrap();
    let want = fs::read_to_string(path.with_extension("want")).unwrap();
    let found = from_log(&log);
    let verdict = &found.verdict;
    let issue = verdict.issue.map_or_else(|| "none".to_owned(), |issue| issue.id().to_owned());
    let lockups: Vec<String> = log.lockups().into_iter().map(lockup).collect();
    let wanted_lockups: Vec<&str> = want.lines().filter_map(|line| line.strip_prefix("lockup ")).collect();
    let mut wrong = Vec::new();
    if !wanted_lockups.is_empty() && lockups != wanted_lockups {
        wrong.push(format!("the lockups are {lockups:?}"));
    }
    let any = |value: &str, mut texts: Vec<&str>| texts.drain(..).any(|text| text.contains(value));
    for line in want.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let is_right = match key {
            "issue" => issue == value,
            "confidence" => verdict.confidence.name() == value,
            "summary" => verdict.summary.contains(value),
            "lockup" => true,
            "cpu" => log.traces.iter().any(|trace| report(trace) == value),
            "release" => log.machine.release.as_deref() == Some(value),
            "taint" => log.machine.taint.as_deref() == Some(value),
            "timeline" => any(value, found.timeline.iter().map(|entry| entry.summary.as_str()).collect()),
            "unknown" => any(value, found.unknown.iter().map(String::as_str).collect()),
            "remedy" => any(value, found.remedy.iter().map(|remedy| remedy.action.as_str()).collect()),
            "panic-cpu" => {
                let cpu = log.panic().and_then(|panic| panic.event.cpu());
                cpu.map_or_else(|| "none".to_owned(), |cpu| cpu.to_string()) == value
            }
            "other-lines" => log.extent.lines_of_other_boots.to_string() == value,
            other => panic!("no such key: {other}"),
        };
        if !is_right {
            wrong.push(format!("not so: {line}"));
        }
    }
    let name = path.file_stem().unwrap().to_string_lossy();
    let got = format!("got {issue} {}: {}", verdict.confidence.name(), verdict.summary);
    wrong.into_iter().map(|wrong| format!("{name}: {wrong}\n    {got}")).collect()
}

fn lockup(event: &Event) -> String {
    let (seconds, pid) = (event.seconds.unwrap(), event.pid.unwrap());
    format!("{} {seconds} {pid} {}", event.cpus[0], event.comm.as_deref().unwrap())
}

fn report(trace: &Trace) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let comm = trace.comm.as_deref().unwrap_or("?");
    format!("{} {} {comm} {}", number(trace.cpu.map(i64::from)), number(trace.pid.map(i64::from)), trace.frames.len())
}
