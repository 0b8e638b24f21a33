//! Every scenario on every generation of kernels: the program must come to the verdict that the scenario says.
//!
//! One test for each row, `SCENARIO on KERNEL`, and one for each form of dump; `--list` prints them.

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use vmcore_synth::scenario::{self, Expected};
use vmcore_synth::{DumpForm, Generation, build};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = scenario::names().flat_map(|name| {
        let scenario = scenario::named(name).unwrap();
        let kernels = Generation::names().filter(move |kernel| scenario.is_for(kernel));
        kernels.map(move |kernel| Trial::test(format!("{name} on {kernel}"), move || row(name, kernel, "elf")))
    });
    let form = |form: &'static str| Trial::test(format!("crowd as {form}"), move || row("crowd", "6.1", form));
    let forms = DumpForm::names().into_iter().map(form);
    libtest_mimic::run(&arguments, trials.chain(forms).collect()).exit_code()
}

/// Makes the dump of one row, has it analyzed, and compares.
fn row(name: &str, kernel: &str, form: &str) -> Result<(), Failed> {
    let scenario = scenario::named(name)?;
    let machine = build(&scenario, &Generation::named(kernel)?, 1)?;
    let directory = tempfile::tempdir()?;
    let form = DumpForm::named(form)?;
    let files: Vec<_> = form.files().iter().map(|file| directory.path().join(file)).collect();
    for (index, path) in files.iter().enumerate() {
        form.write(&machine, index, &mut BufWriter::new(File::create(path)?))?;
    }
    let vmlinux = directory.path().join("vmlinux");
    std::fs::write(&vmlinux, &machine.vmlinux)?;
    let (status, found, why) = analyze(&files, &vmlinux)?;
    let expected = (Some(i32::from(scenario.expect.exit_status())), text(&scenario.expect));
    if (status, found.clone()) == expected {
        return Ok(());
    }
    Err(format!("expected {} (exit {:?})\nfound    {found} (exit {status:?})\n{why}", expected.1, expected.0).into())
}

/// Exit status and verdict of `analyze`, and what it says about its doubts.
fn analyze(dump: &[PathBuf], vmlinux: &Path) -> Result<(Option<i32>, String, String), Failed> {
    let program = env!("CARGO_BIN_EXE_vmcore-thp");
    let mut command = Command::new(program);
    command.args(["analyze", "--format", "json"]).arg(&dump[0]).arg(vmlinux);
    for part in dump.iter().skip(1) {
        command.arg("--part").arg(part);
    }
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {stderr}"))?;
    let pids = |list: &Value| -> Vec<i64> {
        let mut pids: Vec<_> = list.as_array().into_iter().flatten().filter_map(|one| one["pid"].as_i64()).collect();
        pids.sort_unstable();
        pids
    };
    let verdict = &answer["verdict"];
    let issue = verdict["issue"].as_str().unwrap_or("no issue");
    let confidence = verdict["confidence"].as_str().unwrap_or_default();
    let (spinners, splitters) = (pids(&answer["spinners"]), pids(&answer["splitters"]));
    let found = format!("{issue}, {confidence}, spinners {spinners:?}, splitters {splitters:?}");
    let why = format!("{}\nunknown: {:#}", verdict["summary"], answer["unknown"]);
    Ok((output.status.code(), found, why))
}

/// A verdict in the same words.
fn text(expected: &Expected) -> String {
    let issue = expected.issue.as_deref().unwrap_or("no issue");
    let confidence = format!("{:?}", expected.confidence).to_lowercase();
    format!("{issue}, {confidence}, spinners {:?}, splitters {:?}", expected.spinners, expected.splitters)
}
