//! The program as its users meet it: what it says of bad input, where it writes, how it exits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, which clippy does not see as such.

mod bad_input;
mod bounds;
mod distill;
mod files;
mod guide;
mod hostile_words;
mod output;
mod remote;
mod special_files;
mod tooling;
mod triage;
mod worker;

use std::ffi::OsStr;
use std::path::PathBuf;

use assert_cmd::Command;
use tempfile::TempDir;

/// What a run of the program came to.
struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Checks that it failed with status 2 and one line that has each of `parts`, and returns the hint, if any.
    #[track_caller]
    fn fails_with(&self, parts: &[&str]) -> Option<&str> {
        assert_eq!(self.status, 2, "{}", self.stderr);
        assert_eq!(self.stdout, "");
        let mut lines = self.stderr.lines();
        let error = lines.next().and_then(|line| line.strip_prefix("error: ")).expect("an error line");
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        let hint = lines.next().map(|line| line.strip_prefix("hint: ").expect("a hint line"));
        assert_eq!(lines.next(), None, "{}", self.stderr);
        hint
    }
}

/// Runs the program without what the environment says about colours.
fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::cargo_bin("vmcore-thp").unwrap();
    let output = command
        .env_remove("DEBUGINFOD_URLS")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

/// A directory for one test.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}
