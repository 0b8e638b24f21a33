//! Names that stand for no file: a pipe that nobody writes to is never waited for.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Run, Scratch};

const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/6.1-cloud-amd64");
const LOG: &str = "[    1.000000] Kernel panic - not syncing: test\n";

/// Runs the program, which has to end by itself.
fn run(words: &[&str]) -> Run {
    let program = assert_cmd::cargo::cargo_bin("vmcore-thp");
    let mut command = Command::new("timeout");
    let output = command.arg("60").arg(program).args(words).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert_ne!(run.status, 124, "it did not end: {words:?}");
    run
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_instead_of_a_file_is_refused() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path(name).display().to_string();
    fifo(&scratch.path("pipe"));
    fifo(&scratch.path("pipe.toml"));
    scratch.file("vmcore.log", LOG.as_bytes());
    let (dump, profile) = (format!("{BUNDLED}/thp-livelock.vmcore"), format!("{BUNDLED}/vmlinux.profile"));
    let (pipe, log, store) = (at("pipe"), at("vmcore.log"), at("s.db"));
    for words in [
        &["triage", "--manifest", &pipe, "--store", &store][..],
        &["synth", &at("pipe.toml"), "-o", &at("made")],
        &["info", &dump, &profile, "--vmcoreinfo", &pipe],
        &["log", &pipe],
    ] {
        run(words).fails_with(&["pipe", "it is a pipe, not a regular file"]);
    }
    run(&["triage", &log, "--store", &pipe]).fails_with(&["pipe", "it is not a regular file"]);
    let refused = run(&["log", &pipe]);
    assert!(refused.stderr.contains("log - < NAME"), "{}", refused.stderr);
}

/// Of all lines the one that is wrong is a row of its own.
#[test]
fn a_pipe_in_a_manifest_costs_no_other_line() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path(name).display().to_string();
    fifo(&scratch.path("pipe"));
    scratch.file("vmcore.log", LOG.as_bytes());
    scratch.file("list", b"pipe\nvmcore.log\n");
    let judged = run(&["triage", "--manifest", &at("list"), "--store", &at("s.db"), "--format", "json"]);
    assert_eq!(judged.status, 1, "{}", judged.stderr);
    let mut rows: Vec<Value> = judged.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.sort_by_key(|row| row["path"].to_string());
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["confidence"], "failed");
    assert!(rows[0].to_string().contains("it is not a file"), "{}", rows[0]);
    assert_eq!(rows[1]["issue"], "kernel-panic", "{}", rows[1]);
}

/// `log <(dmesg)`: the name is that of a pipe which the shell has made for this.
#[test]
fn a_shell_s_pipe_is_read() {
    let program = assert_cmd::cargo::cargo_bin("vmcore-thp");
    for name in ["/dev/fd/0", "/dev/stdin", "-"] {
        let line = format!("printf '{}' | timeout 60 '{}' log {name}", LOG.trim_end(), program.display());
        let judged = Command::new("sh").arg("-c").arg(&line).output().unwrap();
        assert_eq!(judged.status.code(), Some(1), "{name}: {}", String::from_utf8_lossy(&judged.stderr));
    }
}
