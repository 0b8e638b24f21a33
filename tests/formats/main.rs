//! The same machine in another form of dump: the verdict and the stacks must not change with it.
//!
//! A real, reduced dump from `testdata` is written again in the form under test, and the real program reads it.

// Helpers of tests, which clippy does not see as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod compressed;
mod contradictions;
mod encrypted;
mod machine;
mod missing_registers;
mod several_kernels;
mod sparse;
mod split;
mod split_writer;
mod vmcoreinfo;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a run of the program came to.
struct Run {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).expect(&self.stderr)
    }

    /// The JSON without the `dump` object, which says how the dump is stored.
    fn answer(&self) -> Value {
        let mut json = self.json();
        json.as_object_mut().expect("an object").remove("dump");
        json
    }
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64").join(name)
}

/// A dump of the livelock.
fn livelock() -> PathBuf {
    testdata("thp-livelock.vmcore")
}

/// Runs a command on a dump, with the vmlinux's profile, as JSON.
fn run(command: &str, vmcore: &Path, more: &[&OsStr]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .args([command, "--format", "json"])
        .arg(vmcore)
        .arg(testdata("vmlinux.profile"))
        .args(more)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run { status: output.status.code().expect("an exit status"), stdout: output.stdout, stderr }
}

/// That `vmcore` gives the verdict and the stacks of the original.
#[track_caller]
fn assert_same_answers(vmcore: &Path, more: &[&OsStr]) {
    for (command, status, options) in [("analyze", 1, &[][..]), ("bt", 0, &["--all"])] {
        let options: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        let original = run(command, &livelock(), &options);
        let found = run(command, vmcore, &[&options, more].concat());
        assert_eq!((original.status, found.status), (status, status), "{command}: {}", found.stderr);
        // Not assert_eq: nobody wants to see both.
        assert!(found.answer() == original.answer(), "{command} differs");
    }
}
