//! That `synth --from` comes down to a scenario that gets the dump's verdict, with names and without.

#[path = "log_address.rs"]
mod log_address;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `vmcore-thp`.
fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmcore-thp")).args(arguments).output().expect("the program starts")
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Verdict and roles, by name and thread id.
fn answer(files: &[&str]) -> Value {
    let output = run([&["analyze", "--format", "json"], files].concat());
    let found: Value = serde_json::from_slice(&output.stdout).expect("output is JSON");
    let pids = |list: &str| -> Vec<Value> {
        found[list].as_array().expect("a list").iter().map(|task| task["pid"].clone()).collect()
    };
    let verdict = &found["verdict"];
    serde_json::json!({
        "issue": verdict["issue"], "confidence": verdict["confidence"],
        "spinners": pids("spinners"), "splitters": pids("splitters"),
    })
}

/// The scenario of a dump, made and analyzed on the newest kernel that it can be on, gets the same verdict; its text.
fn reduced(files: &[&str], expected: &Value, options: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (case, made) = (directory.path().join("case.toml"), directory.path().join("made"));
    let output = run([&["synth", "--from"], files, &["-o", utf8(&case)], options].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let text = fs::read_to_string(&case).expect("the scenario");
    // On the newest kernel unless it says that it cannot be there.
    let output = run(["synth", utf8(&case), "--output", utf8(&made)]);
    assert_eq!(output.status.code(), Some(0), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let [vmcore, vmlinux] = ["vmcore", "vmlinux"].map(|name| made.join(name));
    assert_eq!(answer(&[utf8(&vmcore), utf8(&vmlinux)]), *expected, "of\n{text}");
    text
}

/// Checks a dump; `secrets` are what only the original may have.
pub(crate) fn check(files: &[&str], secrets: &[String]) {
    let expected = answer(files);
    let text = reduced(files, &expected, &[]);
    let anonymous = reduced(files, &expected, &["--anonymize"]);
    let words = |text: &str| -> Vec<String> {
        text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').map(str::to_owned).collect()
    };
    for secret in secrets {
        assert!(!anonymous.contains(secret), "{secret:?} is left in\n{anonymous}");
    }
    let left = words(&anonymous);
    let before = words(&text);
    let address = left.iter().find(|word| log_address::is_address(word) && before.contains(word));
    assert!(address.is_none(), "{address:?} is left in\n{anonymous}");
    // At least as much is gone as was there.
    assert!(anonymous.len() <= text.len() + 64 * text.lines().count());
}

/// What is nobody's business: names of programs as a scenario or its log has them, the name of the host, what the kernel was
/// started with, and user addresses that CPUs fault on.
pub(crate) fn secrets(files: &[&str]) -> Vec<String> {
    let json = |command: &str| -> Value {
        let output = run([&[command, "--format", "json"], files].concat());
        serde_json::from_slice(&output.stdout).expect("output is JSON")
    };
    let (tasks, info, analysis) = (json("ps"), json("info"), json("analyze"));
    let user = |task: &&Value| task["kernel_thread"] == Value::Bool(false);
    let tasks = tasks["tasks"].as_array().expect("tasks").iter().filter(user);
    let comms = tasks.filter_map(|task| task["comm"].as_str());
    let names = comms.flat_map(|comm| [format!("\"{comm}\""), format!("[{comm}:"), format!("Comm: {comm} ")]);
    let host = [("kernel", "nodename"), ("machine", "command_line"), ("machine", "hardware")];
    let host = host.iter().filter_map(|(object, member)| info[object][member].as_str());
    // Short words are anybody's; "(none)" is a host without a name.
    let words = host.flat_map(str::split_whitespace).filter(|word| word.len() >= 7);
    let spinners = analysis["spinners"].as_array().expect("spinners").iter();
    let addresses = spinners.filter_map(|spinner| spinner["address"].as_str());
    names.chain(words.chain(addresses).map(str::to_owned)).collect()
}
