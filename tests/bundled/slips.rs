//! Slips in the words of a command: what is said helps, and commands in hints work as they stand.

use std::process::{Command, Output};

use super::testdata;

pub(crate) fn program(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmcore-thp")).args(words).output().expect("the program starts")
}

/// What is wrong and what to do about it, as it is said after other notes.
pub(crate) fn told(words: &[&str], status: i32) -> (String, String) {
    let output = program(words);
    let said = String::from_utf8(output.stderr).expect("output is UTF-8");
    assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
    let line = |begin: &str| said.lines().find_map(|line| line.strip_prefix(begin)).unwrap_or_default().to_owned();
    (line("error: "), line("hint: "))
}

/// The command in a hint, run as it stands.
fn pasted(hint: &str) -> Output {
    let command = hint.split('`').nth(1).expect("a command");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words.first(), Some(&"vmcore-thp"), "{hint}");
    program(words.get(1..).unwrap_or_default())
}

pub(crate) fn files() -> [String; 2] {
    ["thp-livelock.vmcore", "vmlinux.profile"].map(|name| testdata(name).display().to_string())
}

#[test]
fn commands_in_hints_work_when_pasted() {
    let [vmcore, vmlinux] = files();
    for command in [
        ["bt", "--pid", "99999"],
        ["ps", "--pid", "99999"],
        ["files", "--pid", "99999"],
        ["bt", "--task", "ffff888000000001"],
    ] {
        let [command, option, value] = command;
        let (error, hint) = told(&[command, &vmcore, &vmlinux, option, value], 2);
        assert!(error.contains("no task"), "{error}");
        let tasks = pasted(&hint);
        assert!(tasks.status.success() && String::from_utf8_lossy(&tasks.stdout).contains("swapper"), "{hint}");
    }
    // In a shell the dump is open already.
    let (_, hint) = told(&["shell", &vmcore, &vmlinux, "-c", "bt --pid 99999"], 2);
    assert_eq!(hint, "`ps` lists the tasks");
}

#[test]
fn a_slip_in_a_symbols_name_is_told() {
    let [vmcore, vmlinux] = files();
    for command in ["sym", "p", "dis"] {
        let (error, hint) = told(&[command, &vmcore, &vmlinux, "schdule"], 2);
        assert!(error.contains("no symbol or enumerator 'schdule'"), "{error}");
        assert_eq!(hint, "did you mean 'schedule'?", "{command}");
    }
    let output = program(&["sym", &vmcore, &vmlinux, "-q", "schdule"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean 'schedule'?"));
    let (_, hint) = told(&["sym", &vmcore, &vmlinux, "nothing_is_called_so"], 2);
    assert!(hint.contains("--query PART"), "{hint}");
}

#[test]
fn a_list_without_a_start() {
    let [vmcore, vmlinux] = files();
    let (error, hint) = told(&["list", &vmcore, &vmlinux, "task_struct.tasks"], 2);
    assert!(error.contains("the start of the list is missing"), "{error}");
    let tasks = pasted(&hint);
    assert!(tasks.stdout.len() > 100 || tasks.status.code() == Some(3), "{hint}: {tasks:?}");
    let (error, _) = told(&["list", &vmcore, &vmlinux, "no_struct.tasks"], 2);
    assert!(error.contains("no symbol"), "{error}");
}

#[test]
fn a_profile_alone_is_no_dump() {
    let [vmcore, vmlinux] = files();
    let (error, hint) = told(&["analyze", &vmlinux], 2);
    assert!(error.ends_with("is a profile, the debug information of 6.1.0-56-cloud-amd64, not a dump"), "{error}");
    assert!(hint.contains("name the dump first") && !hint.contains("swapped"), "{hint}");
    // In the wrong order it is told apart.
    let output = program(&["info", &vmlinux, &vmcore]);
    assert!(output.status.success(), "{output:?}");
}

/// `crash` has the files last.
#[test]
fn the_dump_comes_first() {
    let [vmcore, vmlinux] = files();
    for words in [["struct", "task_struct"], ["p", "init_task.pid"], ["vtop", "init_task"]] {
        let [command, wanted] = words;
        let (error, hint) = told(&[command, wanted, &vmcore, &vmlinux], 2);
        assert_eq!(error, format!("'{wanted}' is not a dump"));
        assert!(hint.starts_with("the dump comes first: `"), "{hint}");
        let output = pasted(&hint);
        assert_ne!(output.status.code(), Some(2), "{hint}: {output:?}");
        assert!(!output.stdout.is_empty(), "{hint}: {output:?}");
    }
    // A slip in the dump's name is another matter.
    let (error, _) = told(&["struct", "vmcor", &vmlinux, "task_struct"], 2);
    assert!(error.starts_with("cannot open vmcor"), "{error}");
}
