//! Words that no command should be given: each ends, at once, and says in one line why.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use assert_cmd::Command;

use crate::run;

const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/6.1-cloud-amd64/thp-livelock.vmcore");
const VMLINUX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/6.1-cloud-amd64/vmlinux.profile");
/// Far more than any of these takes, on a machine that does other things as well.
const TIMEOUT: Duration = Duration::from_secs(120);
/// More than a person reads, and no flood.
const MAX_OUTPUT: usize = 4 << 20;

/// What follows a command, in a shell: words that it has to refuse, and such that may mean something.
struct Words {
    command: &'static str,
    refused: &'static [&'static str],
    odd: &'static [&'static str],
}

/// Nothing but a dump is looked at.
const fn bare(command: &'static str) -> Words {
    Words { command, refused: &["-1", "nosuch", "--nosuch", "1 2 3", "ffffffffffffffff", "--pid"], odd: &[] }
}

const TABLE: &[Words] = &[
    bare("analyze"),
    bare("mod"),
    bare("runq"),
    bare("info"),
    bare("timer"),
    bare("irq"),
    bare("workqueue"),
    bare("locks"),
    bare("rcu"),
    bare("dev"),
    bare("mount"),
    bare("net"),
    bare("kmem"),
    bare("swap"),
    bare("dmesg"),
    bare("drgn-script"),
    Words {
        command: "bt",
        refused: &[
            "--pid 99999",
            "--pid -1",
            "--pid 2147483648",
            "--cpu 99999",
            "--cpu -1",
            "--task 0",
            "--task zzz",
            "--state ?",
            "--state ''",
        ],
        odd: &["--state Z", "--comm nosuch", "--comm ''", "--cpu 0 --cpu 0 --pid 151"],
    },
    Words {
        command: "ps",
        refused: &["--pid 99999", "--pid -1", "--sort nosuch", "--state ?"],
        odd: &["nosuch", "--comm '('"],
    },
    Words { command: "files", refused: &["--pid 99999", "--pid -1", "nosuch"], odd: &["--state Z"] },
    Words {
        command: "vtop",
        refused: &["", "zzz", "0", "10000000000000000", "--pid 99999 0", "--pid -1 0"],
        odd: &["ffffffffffffffff", "8000000000000000", "--pid 151 7fffffffffffffff"],
    },
    Words {
        command: "struct",
        refused: &[
            "",
            "nosuch",
            "task_struct.nosuch",
            "task_struct nosuch",
            "task_struct init_task 18446744073709551615",
            "list_head init_task 18446744073709551616",
            "task_struct -l nosuch init_task",
            "task_struct -l task_struct.nosuch init_task",
            "task_struct.pid init_task 1 1",
        ],
        odd: &["task_struct.pid 10", "task_struct.pid ffffffffffffffff", "list_head 0 10000"],
    },
    Words {
        command: "p",
        refused: &[
            "",
            "nosuch",
            "1/0",
            "1 +",
            "99999999999999999999999",
            "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1",
            "task(-1)->pid",
            "task(99999999999)->pid",
            "runqueues:99999.nr_running",
            "init_task.tasks.next->next.nosuch",
            "sizeof(nosuch)",
        ],
        odd: &["*(struct task_struct *)0", "((char *)0)[18446744073709551615]", "-9223372036854775808 / -1", "1 << 64"],
    },
    Words {
        command: "rd",
        refused: &[
            "",
            "zzz",
            "0 10",
            "init_task 18446744073709551615",
            "init_task -5",
            "-p ffffffffffffffff 4",
            "--pid 99999 0",
        ],
        odd: &["ffffffffffffffff 2", "-8 init_task 5000"],
    },
    Words { command: "sym", refused: &["", "nosuch", "0", "ffffffffffffffff"], odd: &["-q nosuch", "-q ''"] },
    Words {
        command: "dis",
        refused: &[
            "",
            "nosuch",
            "0 5",
            "schedule -3",
            "schedule 18446744073709551616",
            "-r 0",
            "-r ffffffffffffffff",
            "init_task",
        ],
        odd: &["schedule 18446744073709551615"],
    },
    Words {
        command: "list",
        refused: &[
            "",
            "nosuch",
            "task_struct.nosuch -h init_task",
            "task_struct.tasks -h init_task -s nosuch.x",
            "--offset -1 0",
        ],
        odd: &[
            "--offset 18446744073709551615 init_task",
            "--offset 0 init_task",
            "task_struct.tasks -h 0",
            "task_struct.tasks -h ffffffffffffffff",
        ],
    },
    Words {
        command: "tree",
        refused: &["", "nosuch", "0", "-t nosuch 0", "-t maple 0", "-t xarray ffffffffffffffff"],
        odd: &["init_task --offset 18446744073709551615", "-t maple init_task", "-t xarray init_task"],
    },
    Words {
        command: "search",
        refused: &["", "zzz", "-c ''", "0 --limit -1"],
        odd: &["0", "ffffffffffffffff -m ffffffffffffffff", "0 --limit 18446744073709551615"],
    },
    Words {
        command: "waitq",
        refused: &["nosuch", "0 0", "--state ?"],
        odd: &["0", "ffffffffffffffff", "--simple init_task"],
    },
];

/// These are not about one dump, or make files of one: their words are tried where they are tested.
const ELSEWHERE: [&str; 13] = [
    "triage",
    "log",
    "distill",
    "profile",
    "synth",
    "shell",
    "mcp",
    "explain",
    "schema",
    "completions",
    "man",
    "help",
    "complete",
];

#[test]
fn every_command_is_in_the_table() {
    let help = run(["--help"]).stdout;
    let commands =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| line.starts_with(' '));
    let named = commands.filter(|line| !line.starts_with("    ")).filter_map(|line| line.split_whitespace().next());
    let named: BTreeSet<_> = named.map(|name| name.trim_end_matches(',')).collect();
    assert!(named.len() > 30, "{help}");
    let known = |name: &&&str| TABLE.iter().any(|words| words.command == **name) || ELSEWHERE.contains(*name);
    let unknown: Vec<_> = named.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "in no table: {unknown:?}");
}

/// What a shell of `lines` wrote on standard output and standard error, and its status.
fn shell(lines: &[String]) -> (String, String, i32) {
    let mut command = Command::cargo_bin("vmcore-thp").unwrap();
    command.timeout(TIMEOUT).args(["shell", DUMP, VMLINUX]).write_stdin(lines.join("\n"));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let stderr = text(output.stderr);
    let status = output.status.code().unwrap_or_else(|| panic!("it did not end: {stderr}"));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (text(output.stdout), stderr, status)
}

fn lines(words: &Words, which: &[&str]) -> Vec<String> {
    which.iter().map(|rest| format!("{} {rest}", words.command)).collect()
}

#[test]
fn what_means_nothing_is_refused_with_a_hint() {
    let longest = "a".repeat(100_000);
    let too_long = TABLE.iter().map(|words| format!("{} --nosuch {longest}", words.command));
    let refused: Vec<_> = TABLE.iter().flat_map(|words| lines(words, words.refused)).chain(too_long).collect();
    let (stdout, stderr, status) = shell(&refused);
    assert_eq!(status, 2, "{stderr}");
    let errors: Vec<_> = stderr.split("error: ").skip(1).collect();
    assert_eq!(errors.len(), refused.len(), "{stderr}");
    for (line, error) in refused.iter().zip(&errors) {
        // The program's own have a line and a hint; of the library for arguments it is a tip, the usage, or where to look.
        let is_helped =
            ["hint: ", "tip: ", "Usage: ", "possible values", "--help"].iter().any(|help| error.contains(help));
        let reason = error.lines().next().unwrap_or_default();
        assert!(is_helped || reason.contains("cannot be read") || reason.contains("cannot read"), "{line}: {error}");
        assert!(error.lines().count() <= 8, "{line}: {error}");
    }
    // Nothing but the prompts.
    let answers: Vec<_> = stdout.lines().filter(|line| !line.starts_with("vmcore-thp> ")).collect();
    assert!(answers.is_empty(), "{answers:?}");
}

#[test]
fn what_is_odd_ends() {
    for words in TABLE.iter().filter(|words| !words.odd.is_empty()) {
        let (stdout, stderr, _) = shell(&lines(words, words.odd));
        assert!(stdout.len() < MAX_OUTPUT, "{}: {} bytes", words.command, stdout.len());
        assert!(stdout.len() + stderr.len() > words.command.len(), "{} says nothing", words.command);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for words in TABLE {
        let output = Command::cargo_bin("vmcore-thp")
            .unwrap()
            .timeout(TIMEOUT)
            .args([words.command, DUMP, VMLINUX])
            .arg(OsStr::from_bytes(b"\xff\xfe"))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{}: {stderr}", words.command);
        assert!(stderr.starts_with("error: ") && !stderr.contains("panicked"), "{}: {stderr}", words.command);
    }
}
