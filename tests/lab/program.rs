//! Running `vmcore-thp`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::lab_dump::LabDump;

/// How one run ended.
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The JSON it printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\nstatus {}: {}", self.status, self.stderr))
    }

    /// Itself, if it ended with `status`.
    #[track_caller]
    pub(crate) fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "exit status; standard error: {}", self.stderr);
        self
    }
}

/// Runs `vmcore-thp ARGUMENTS`. Dying of a panic or a signal is never right.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run vmcore-thp: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked at"), "{stderr}");
    let status = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
    let stdout = String::from_utf8(output.stdout).expect("UTF-8 on standard output");
    Run { status, stdout, stderr }
}

/// Runs `vmcore-thp COMMAND VMCORE VMLINUX OPTIONS`.
#[track_caller]
pub(crate) fn run_on(command: &str, vmcore: &Path, vmlinux: &Path, options: &[&str]) -> Run {
    let mut arguments = vec![OsStr::new(command), vmcore.as_os_str()];
    // Of some kernels there is none: then the dump's own tables have to do.
    if vmlinux.exists() {
        arguments.push(vmlinux.as_os_str());
    }
    arguments.extend(options.iter().map(OsStr::new));
    run(arguments)
}

impl LabDump {
    /// Runs `vmcore-thp COMMAND` on this dump.
    #[track_caller]
    pub(crate) fn run(&self, command: &str, options: &[&str]) -> Run {
        run_on(command, &self.vmcore, &self.vmlinux, options)
    }

    /// The JSON of a command that finds nothing wrong.
    #[track_caller]
    pub(crate) fn json(&self, command: &str, options: &[&str]) -> Value {
        let options = [options, &["--format", "json"]].concat();
        self.run(command, &options).expect_status(0).json()
    }

    /// The JSON of `analyze`, whatever its verdict.
    #[track_caller]
    pub(crate) fn analysis(&self) -> (i32, Value) {
        let run = self.run("analyze", &["--format", "json"]);
        (run.status, run.json())
    }
}

/// The elements of the array `name` of `value`.
#[track_caller]
pub(crate) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no array {name:?} in {value}"))
}

/// The text `name` of `value`.
#[track_caller]
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name:?} in {value}"))
}

/// The integer `name` of `value`.
#[track_caller]
pub(crate) fn int(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no integer {name:?} in {value}"))
}

/// The address or raw value `name` of `value`.
#[track_caller]
pub(crate) fn hex(value: &Value, name: &str) -> u64 {
    crate::lab_dump::parse_hex(text(value, name)).unwrap_or_else(|| panic!("{name:?} is not hexadecimal in {value}"))
}
