//! Text that means harm, end to end: names of tasks, modules and functions, and lines of the log, through every command
//! that shows them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vmcore_synth::scenario::{self, Scenario};

use crate::run;

const SHOWING: [&[&str]; 6] = [&["analyze"], &["bt", "--all"], &["ps"], &["runq"], &["dmesg"], &["info"]];
const KERNELS: [&str; 4] = ["4.19", "5.10", "6.1", "6.12"];

/// The dump and the vmlinux of the scenario `hostile-text`, as paths.
struct Hostile {
    scenario: Scenario,
    directory: TempDir,
}

impl Hostile {
    fn new(kernel: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let to = directory.path().to_str().unwrap();
        assert_eq!(run(&["synth", "hostile-text", "--kernel", kernel, "--output", to]).status.code(), Some(0));
        Self { scenario: scenario::named("hostile-text").unwrap(), directory }
    }

    fn output(&self, words: &[&str]) -> String {
        let [vmcore, vmlinux] = ["vmcore", "vmlinux"].map(|name| self.directory.path().join(name));
        let inputs = [vmcore.to_str().unwrap(), vmlinux.to_str().unwrap()];
        let output = run(&[words, &inputs].concat());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Whether somebody who looks at the character, in a terminal or an editor, may be deceived.
fn is_harmful(character: char) -> bool {
    let is_format =
        matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    is_format || character.is_control() && character != '\n'
}

#[track_caller]
fn assert_harmless(text: &str, what: &str) {
    let found = text.char_indices().find(|(_, character)| is_harmful(*character));
    assert!(found.is_none(), "{what}: {found:?} in {:?}", text.get(..found.unwrap_or_default().0));
}

#[test]
fn text_has_nothing_that_a_terminal_acts_on() {
    for kernel in KERNELS {
        let hostile = Hostile::new(kernel);
        for words in SHOWING {
            let plain = hostile.output(words);
            assert_harmless(&plain, &format!("{words:?} on {kernel}"));
            // Colors are the program's own: without them it is the same text.
            let colored = hostile.output(&[words, &["--color", "always"]].concat());
            assert_eq!(without_colors(&colored), plain, "{words:?} on {kernel}");
        }
        // And it is all there, to be seen.
        let stacks = hostile.output(&["bt", "--all"]);
        for shown in [r#""\x1b[31msplit\x1b[m""#, r"[\x1b[5m<b>mod\u{202e}</b>]", r"\x1b]8;;http://evil/\x07<a>+"] {
            assert!(stacks.contains(shown), "{shown} on {kernel}: {stacks}");
        }
        let log = hostile.output(&["dmesg"]);
        for shown in
            [r"\x1b[2J\x1b[31mred", r"\u{202e}gnol\u{202c} \u{2066}isolated", r"with another in it\x00\x08\x7f"]
        {
            assert!(log.contains(shown), "{shown} on {kernel}: {log}");
        }
        // A line of the log cannot be taken for one of the program's: each begins with its time.
        assert!(log.lines().all(|line| line.starts_with('[')), "{log}");
    }
}

/// What is left without `ESC [ NUMBERS m`.
fn without_colors(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let (numbers, rest) = part.split_once('m').unwrap();
        assert!(numbers.chars().all(|one| one.is_ascii_digit() || one == ';'), "{part:?}");
        text + rest
    })
}

#[test]
fn json_has_the_text_itself_in_harmless_bytes() {
    for kernel in KERNELS {
        let hostile = Hostile::new(kernel);
        for words in SHOWING {
            let text = hostile.output(&[words, &["--format", "json"]].concat());
            assert_harmless(&text, &format!("{words:?} on {kernel}"));
            serde_json::from_str::<Value>(&text).unwrap();
        }
        let json = |words: &[&str]| -> Value {
            serde_json::from_str(&hostile.output(&[words, &["--format", "json"]].concat())).unwrap()
        };
        let tasks = json(&["ps"]);
        let comm = |pid: i32| {
            let task = tasks["tasks"].as_array().unwrap().iter().find(|task| task["pid"] == pid);
            task.unwrap()["comm"].as_str().unwrap().to_owned()
        };
        assert!(hostile.scenario.task.iter().all(|task| comm(task.pid) == task.comm), "{kernel}: {tasks}");
        let records = json(&["dmesg"]);
        let texts: Vec<_> = records["records"].as_array().unwrap().iter().map(|record| &record["text"]).collect();
        assert!(
            hostile.scenario.log.iter().all(|line| texts.iter().any(|text| *text == line.text())),
            "{kernel}: {records}"
        );
        let module = &hostile.scenario.module[0].name;
        let stacks = json(&["bt", "--pid", "202"]);
        assert_eq!(stacks["stacks"][0]["frames"][0]["module"], module.as_str(), "{kernel}: {stacks}");
    }
}

/// Markup in names and in the log is text there, and nothing else.
#[test]
fn html_has_the_text_and_no_markup_of_others() {
    for kernel in KERNELS {
        let page = Hostile::new(kernel).output(&["analyze", "--format", "html"]);
        assert_harmless(&page, kernel);
        let lower = page.to_lowercase();
        for markup in ["<script", "<i>", "<b>mod", "<a>", "&amp;amp"] {
            let is_there = lower.contains(markup);
            // The name that has `&amp;` in it must show it as such.
            assert_eq!(is_there, markup == "&amp;amp", "{markup} on {kernel}");
        }
        assert!(page.contains("&lt;i&gt;"), "the name of the spinner on {kernel}");
    }
}

/// The same lines as a console log.
#[test]
fn a_console_log_is_no_more_dangerous_than_a_dump() {
    let scenario = scenario::named("hostile-text").unwrap();
    let log: String = scenario.log.iter().map(|line| format!("[   30.000000] {}\n", line.text())).collect();
    for format in ["text", "json"] {
        let program = env!("CARGO_BIN_EXE_vmcore-thp");
        let mut command = Command::new(program);
        command.args(["log", "--format", format, "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_harmless(&text, format);
        assert!(text.contains("fstat"), "the lockup of {text}");
    }
}

/// A reduced dump keeps the names as they are: they are no more harmful there.
#[test]
fn a_distilled_dump_shows_the_same() {
    let hostile = Hostile::new("6.12");
    let reduced = hostile.directory.path().join("reduced");
    let reduced = reduced.to_str().unwrap();
    hostile.output(&["distill", "--output", reduced, "--quiet"]);
    let vmlinux = hostile.directory.path().join("vmlinux");
    let output = run(&["analyze", reduced, vmlinux.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_harmless(&text, "analyze");
    assert!(Path::new(reduced).is_file() && text.contains(r#""\x1b[31msplit\x1b[m""#), "{text}");
}
