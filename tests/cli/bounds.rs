//! Runs that are ended from outside, or by the bounds that they were given.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use vmcore_dump::Dump;

use crate::{Scratch, run};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64").join(name)
}

fn arguments<'a>(command: &'a str, more: &[&'a str]) -> Vec<std::ffi::OsString> {
    let files = ["thp-livelock.vmcore", "vmlinux.profile"].map(|name| testdata(name).into_os_string());
    [command.into()].into_iter().chain(files).chain(more.iter().map(std::ffi::OsString::from)).collect()
}

/// A run whose output nobody takes.
fn start(arguments: &[std::ffi::OsString]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("vmcore-thp"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// It is larger than a pipe, so that the run would wait for ever.
#[test]
fn a_run_that_takes_too_long_ends_itself() {
    let mut child = start(&arguments("bt", &["--all", "--format", "json", "--timeout", "3s"]));
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(2), "{text}");
    assert!(text.contains("error: the run was not finished after 3 s"), "{text}");
    assert!(text.contains("\nhint: allow more"), "{text}");
}

#[test]
fn no_part_of_a_file_is_left() {
    let scratch = Scratch::new();
    let out = scratch.path("out.json");
    let path = out.to_str().unwrap();
    for bound in [["--timeout", "1us"], ["--max-memory", "1M"]] {
        let ended = run(arguments("analyze", &["--format", "json", "-o", path, bound[0], bound[1]]));
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(bound[0]) && ended.stderr.contains("\nhint: "), "{}", ended.stderr);
        assert_eq!(scratch.path("").read_dir().unwrap().count(), 0, "{bound:?}");
    }
}

/// What `ulimit` says is told as an error, not by a signal.
#[test]
fn limits_of_the_system_are_explained() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let limited = |limit: &str, options: &[&str]| {
        let program = assert_cmd::cargo::cargo_bin("vmcore-thp");
        let script = format!("ulimit {limit}; exec \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash"]).arg(program).args(arguments("bt", options)).output().unwrap()
    };
    for options in [&["--all"][..], &["--all", "-o", out.to_str().unwrap()]] {
        let ended = limited("-f 8", options);
        let text = String::from_utf8(ended.stderr).unwrap();
        // The output is a pipe in the first case, which has no such limit.
        assert_eq!(ended.status.code(), Some(if options.len() == 1 { 0 } else { 2 }), "{text}");
        assert!(options.len() == 1 || text.starts_with("error: cannot write ") && !text.contains(".part"), "{text}");
        assert_eq!(text.contains("hint: this process may not write larger files"), options.len() > 1, "{text}");
        assert_eq!(scratch.path("").read_dir().unwrap().count(), 0);
    }
    // The program itself, unoptimized, takes more than half of it.
    let ended = limited("-v 150000", &["--all", "--threads", "1024"]);
    let text = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{text}");
    assert!(text.starts_with("error: ") && text.contains("hint: "), "{text}");
}

#[test]
fn bounds_that_are_wide_enough_change_nothing() {
    let plain = run(arguments("analyze", &["--format", "json"]));
    let bound = run(arguments("analyze", &["--format", "json", "--timeout", "600", "--max-memory", "1G"]));
    assert_eq!((plain.status, bound.status), (1, 1), "{}", bound.stderr);
    assert!(plain.stdout == bound.stdout);
    run(["info", "x", "--max-memory", "much"]).status.eq(&2).then_some(()).unwrap();
}

/// The program waits for the text from a pipe when it has the dump open: that is when the file is cut short.
#[test]
fn a_dump_that_is_cut_short_meanwhile_is_explained() {
    let scratch = Scratch::new();
    let vmcore = scratch.path("vmcore");
    std::fs::copy(testdata("thp-livelock.vmcore"), &vmcore).unwrap();
    let text = Dump::open(&vmcore).unwrap().vmcoreinfo().unwrap().text().to_owned();
    let (reader, mut writer) = std::io::pipe().unwrap();
    // As a shell names what it makes of `<(command)`.
    let pipe = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd()));
    let profile = testdata("vmlinux.profile");
    let words =
        ["analyze".as_ref(), vmcore.as_os_str(), profile.as_os_str(), "--vmcoreinfo".as_ref(), pipe.as_os_str()];
    let mut child = start(&words.map(std::ffi::OsStr::to_owned));
    let descriptors = format!("/proc/{}/fd", child.id());
    let target = std::fs::read_link(&pipe).unwrap();
    let is_opened = || {
        let open = std::fs::read_dir(&descriptors).unwrap().flatten();
        open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|open| open == target)
    };
    while !is_opened() {
        assert!(child.try_wait().unwrap().is_none(), "{}", stderr(&mut child));
        thread::sleep(Duration::from_millis(2));
    }
    File::options().write(true).open(&vmcore).unwrap().set_len(4096).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(2), "{text}");
    assert!(text.contains("error: the dump file was cut short"), "{text}");
}

/// The most threads that a run has at once, looked at all the time that it takes.
fn threads(number: &str) -> usize {
    let mut child = start(&arguments("analyze", &["--threads", number]));
    let tasks = format!("/proc/{}/task", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(std::fs::read_dir(&tasks).map_or(0, Iterator::count));
    }
    most
}

#[test]
fn one_thread_is_one_and_more_are_more() {
    assert_eq!(threads("1"), 1);
    assert!(threads("3") > 1);
}
