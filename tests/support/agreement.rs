//! Whether `dmesg | log` and `analyze` say the same of one dump, or `analyze` what is more specific: never less.

// Helpers of tests, which clippy does not see as such.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use vmcore_diagnose::Issue;

/// `None` where they agree; else what each of them says. `dump` are the arguments that name a dump.
pub(crate) fn disagreement(dump: &[PathBuf]) -> Option<String> {
    let analyzed = analyzed(dump);
    let text = program(&["dmesg"], dump, None).stdout;
    let logged = verdict(&program(&["log", "--format", "json", "-"], &[], Some(text)));
    (!agree(&logged, &analyzed)).then(|| format!("log: {logged:?}, analyze: {analyzed:?}"))
}

/// What `analyze` says.
pub(crate) fn analyzed(dump: &[PathBuf]) -> Verdict {
    verdict(&program(&["analyze", "--format", "json"], dump, None))
}

/// An issue and how sure it is.
pub(crate) type Verdict = (Option<Issue>, String);

fn agree((logged, sure): &Verdict, (analyzed, found): &Verdict) -> bool {
    let Some(logged) = logged else { return true };
    // What is not healthy by its log is not healthy by its dump; but of what is only possible, because it was reported shortly
    // before the log ends, the dump may show that the machine ran on for long.
    let is_past = sure == "possible" && found == "none" && analyzed.as_ref() == Some(logged);
    let is_ill = sure == "none" || found != "none" || is_past;
    // What is proven of the machine as it is goes before what it has survived.
    is_ill && analyzed.is_some_and(|analyzed| analyzed.rank() >= logged.rank() || found == "confirmed")
}

fn verdict(output: &Output) -> Verdict {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON: {error}: {stderr}"));
    let verdict = &answer["verdict"];
    let issue = verdict["issue"].as_str().map(|id| Issue::by_id(id).unwrap_or_else(|| panic!("no issue is {id}")));
    (issue, verdict["confidence"].as_str().unwrap_or_default().to_owned())
}

fn program(arguments: &[&str], files: &[PathBuf], input: Option<Vec<u8>>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
    command.args(arguments).args(files).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().expect("the program starts");
    let stdin = child.stdin.take();
    let writer = std::thread::spawn(move || {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // It may have read enough.
            let _ = stdin.write_all(&input);
        }
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the log was written");
    output
}
