//! A dump without the vmlinux of its kernel: its log is all there is, and says the same whatever kernel and machine wrote it.

use std::fs::File;
use std::io::BufWriter;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use vmcore_synth::{DumpForm, Generation, build, scenario};

const SCENARIOS: [&str; 4] = ["thp-livelock", "soft-lockup", "deadlock", "crash-requested"];

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    SCENARIOS.into_iter().map(|name| Trial::test(format!("{name} without a vmlinux"), move || check(name)))
}

fn check(name: &str) -> Result<(), Failed> {
    let mut verdicts = Generation::names().map(|kernel| Ok((kernel, verdict(name, kernel)?)));
    let (first, expected) = verdicts.next().ok_or("there are no kernels")??;
    for found in verdicts {
        let (kernel, found): (_, Value) = found.map_err(|error: Failed| error)?;
        if found != expected {
            return Err(format!("{expected} on {first}, {found} on {kernel}").into());
        }
    }
    Ok(())
}

/// Issue and confidence.
fn verdict(name: &str, kernel: &str) -> Result<Value, Failed> {
    let machine = build(&scenario::named(name)?, &Generation::named(kernel)?, 1)?;
    let directory = tempfile::tempdir()?;
    let dump = directory.path().join("vmcore");
    DumpForm::Elf.write(&machine, 0, &mut BufWriter::new(File::create(&dump)?))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
    let output = command.args(["analyze", "--format", "json"]).arg(&dump).output()?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    Ok(serde_json::json!([answer["verdict"]["issue"], answer["verdict"]["confidence"]]))
}
