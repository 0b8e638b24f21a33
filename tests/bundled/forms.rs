//! `--format` where a command is not itself what prints, or prints no text.

use super::slips::{files, program, told};
use super::*;

#[test]
fn the_form_of_a_shell_is_that_of_its_commands() {
    let [vmcore, vmlinux] = files();
    let output = program(&[
        "shell",
        &vmcore,
        &vmlinux,
        "--format",
        "json",
        "-c",
        "ps",
        "-c",
        "runq",
        "-c",
        "runq --format text",
    ]);
    assert!(output.status.success());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut documents = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let tasks = documents.next().unwrap().unwrap();
    let queues = documents.next().unwrap().unwrap();
    assert!(tasks["tasks"].is_array() && queues["cpus"].is_array(), "{printed}");
    let text = printed.get(documents.byte_offset()..).unwrap_or_default();
    assert!(text.trim_start().starts_with("CPU 0"), "{text}");
}

#[test]
fn a_shell_writes_no_file_of_its_own() {
    let [vmcore, vmlinux] = files();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file").display().to_string();
    let (error, hint) = told(&["shell", &vmcore, &vmlinux, "-o", &file, "-c", "ps"], 2);
    assert!(error.contains("no --output") && hint.contains("COMMAND > FILE"), "{error} {hint}");
}

#[test]
fn a_profile_is_not_json() {
    let [_, vmlinux] = files();
    let (error, _) = told(&["profile", &vmlinux, "--format", "json"], 2);
    assert!(error.contains("no other form"), "{error}");
}
