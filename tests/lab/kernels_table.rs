//! `docs/kernels.md`: kernel by kernel, with a vmlinux, a profile, and nothing.
//!
//! ```text
//! VMCORE_LAB_DUMPS=DIR cargo test --release --features lab-tests --test lab -- table
//! ```
//!
//! prints the rows of the dumps in `DIR`, for the guide; every dump that has a row there is held against it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use crate::lab_dump::{self, LabDump, Scenario};
use crate::program::{int, run};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kernels.md");
/// Scenarios that are compared: the one that matters, and the one where nothing is wrong.
const SCENARIOS: [Scenario; 2] = [Scenario::ThpLivelock, Scenario::Sysrq];

/// The row of a dump in the guide, if it has one.
pub(crate) fn is_as_in_the_guide(dump: &LabDump) {
    let guide = fs::read_to_string(GUIDE).expect("docs/kernels.md");
    let name = format!("| `{}` |", dump.name);
    let Some(row) = guide.lines().find(|line| line.starts_with(&name)) else { return };
    assert_eq!(cells_of(&row_of(dump)), cells_of(row), "docs/kernels.md");
}

/// Everything but the release, which is that of the day.
fn cells_of(row: &str) -> Vec<&str> {
    row.split('|').map(str::trim).enumerate().filter(|(index, _)| *index != 2).map(|(_, cell)| cell).collect()
}

pub(crate) fn print() -> ExitCode {
    println!("| dump | kernel | vmlinux | profile | nothing |\n|---|---|---|---|---|");
    for dump in lab_dump::all().iter().chain(&lab_dump::without_vmlinux()) {
        if SCENARIOS.contains(&dump.truth.scenario) {
            println!("{}", row_of(dump));
        }
    }
    for kernel in ["4.19", "5.10", "6.1", "6.12"] {
        println!("{}", synthetic_row(kernel));
    }
    ExitCode::SUCCESS
}

fn row_of(dump: &LabDump) -> String {
    let vmlinux = dump.vmlinux.exists().then_some(dump.vmlinux.as_path());
    row(&dump.name, &dump.truth.release, &dump.vmcore, vmlinux)
}

/// A synthetic machine of this generation.
fn synthetic_row(kernel: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let out = directory.path().join("made");
    let out_text = out.to_str().expect("UTF-8");
    run(["synth", "thp-livelock", "--kernel", kernel, "--output", out_text]).expect_status(0);
    row(&format!("synthetic {kernel}"), kernel, &out.join("vmcore"), Some(&out.join("vmlinux")))
}

fn row(name: &str, release: &str, vmcore: &Path, vmlinux: Option<&Path>) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let not_served = || "(none is served)".to_owned();
    let with = vmlinux.map_or_else(not_served, |vmlinux| cell(vmcore, Some(vmlinux)));
    let profiled = vmlinux.map_or_else(not_served, |vmlinux| match profile(vmlinux, directory.path()) {
        Ok(profile) => cell(vmcore, Some(&profile)),
        Err(why) => why,
    });
    format!("| `{name}` | {release} | {with} | {profiled} | {} |", cell(vmcore, None))
}

fn profile(vmlinux: &Path, directory: &Path) -> Result<PathBuf, String> {
    let profile = directory.join("vmlinux.profile");
    let run = run(["profile", vmlinux.to_str().expect("UTF-8"), "--output", profile.to_str().expect("UTF-8")]);
    if run.status == 0 { Ok(profile) } else { Err(first_error(&run.stderr)) }
}

/// The verdict, and how far the stacks could be followed; or why there is no answer.
fn cell(vmcore: &Path, debug_file: Option<&Path>) -> String {
    let mut arguments = vec!["analyze", vmcore.to_str().expect("UTF-8")];
    arguments.extend(debug_file.map(|file| file.to_str().expect("UTF-8")));
    let run = run(arguments.into_iter().chain(["--format", "json"]));
    if ![0, 1, 3].contains(&run.status) {
        return first_error(&run.stderr);
    }
    let analysis = run.json();
    let verdict = &analysis["verdict"];
    let verdict = match verdict["issue"].as_str() {
        Some("thp-split-page-fault-livelock") => format!("livelock, {}", verdict["confidence"].as_str().unwrap_or("?")),
        Some(issue) => issue.to_owned(),
        None if verdict["confidence"] == "none" => "nothing wrong".to_owned(),
        None => "no verdict".to_owned(),
    };
    format!("{verdict}; {}", stacks(&analysis["kernel"]["stacks"]))
}

fn stacks(followed: &Value) -> String {
    // An analysis of the log alone has none.
    if followed.is_null() {
        return "no stacks".to_owned();
    }
    let part = |of: &str| (int(&followed[of], "ended"), int(&followed[of], "total"));
    let [(cpus, all_cpus), (tasks, all)] = ["cpus", "tasks"].map(part);
    // Chance stops a CPU where no table helps, now and then.
    if tasks * 20 >= all * 19 {
        "all stacks".to_owned()
    } else {
        format!("{cpus}/{all_cpus} CPUs, {tasks}/{all} tasks")
    }
}

fn first_error(stderr: &str) -> String {
    stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("no answer").replace('|', "/")
}
