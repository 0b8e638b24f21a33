//! Usage, help, schemas, completions and manual pages.

use crate::{Scratch, run};

const REPORTS: [&str; 33] = [
    "analyze",
    "triage",
    "bt",
    "ps",
    "runq",
    "dmesg",
    "log",
    "info",
    "vtop",
    "struct",
    "p",
    "rd",
    "sym",
    "dis",
    "list",
    "tree",
    "search",
    "mod",
    "timer",
    "irq",
    "waitq",
    "waiters",
    "workqueue",
    "locks",
    "rcu",
    "dev",
    "files",
    "mount",
    "net",
    "kmem",
    "swap",
    "explain",
    "drgn-script",
];

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [
        &["analyze"][..],
        &["no-such-command"],
        &["bt", "vmcore", "--cpu", "x"],
        &["bt", "vmcore", "--all", "--cpu", "1"],
        &["bt", "vmcore", "--threads", "0"],
        &["ps", "vmcore", "--format", "xml"],
        &["ps", "vmcore", "-q", "-v"],
        &["analyze", "vmcore", "--spin-threshold", "soon"],
        &["vtop", "vmcore"],
        &["vtop", "vmcore", "vmlinux", "not-hexadecimal"],
        &["vtop", "vmcore", "vmlinux", "0", "more"],
        &["schema", "man"],
        &["man", "no-such-command"],
    ] {
        let run = run(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.starts_with("error: "), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn help_and_version_are_not_errors() {
    for arguments in [&["--help"][..], &["-h"], &["--version"], &["help", "bt"], &["vtop", "--help"]] {
        let run = run(arguments);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(!run.stdout.is_empty(), "{arguments:?}");
    }
}

/// What is missing is told by the usage of the very command.
#[test]
fn usage_is_shown_where_words_are_missing() {
    for command in ["list", "sym", "rd", "dis", "tree", "search", "struct", "p"] {
        let run = run([command, "nosuch.vmcore"]);
        assert_eq!(run.status, 2);
        let usage = format!("hint: usage: vmcore-thp {command} [OPTIONS] <VMCORE> [VMLINUX] ");
        assert!(run.stderr.contains(&usage), "{}", run.stderr);
    }
}

#[test]
fn help_lists_only_what_this_build_has() {
    let listed = run(["--help"]).stdout.lines().any(|line| line.trim_start().starts_with("mcp "));
    assert_eq!(listed, cfg!(feature = "mcp"));
}

#[test]
fn help_says_what_the_exit_status_means() {
    let help = run(["--help"]).stdout;
    assert!(help.contains("Exit status: 0 nothing wrong found; 1 a problem was found"), "{help}");
}

/// What all commands have in common is told once, so that a command's own options fit a screen.
#[test]
fn the_help_of_a_command_is_about_the_command() {
    let help = run(["bt", "--help"]).stdout;
    assert!(help.contains("--cpu") && help.contains("vmcore-thp --help") && !help.contains("--max-memory <"), "{help}");
    assert!(help.contains("--no-pager"), "{help}");
    assert!(help.lines().count() < 60, "{help}");
    assert!(run(["--help"]).stdout.contains("--max-memory <SIZE>"));
    assert!(run(["man", "bt"]).stdout.contains("max\\-memory"), "the manual page has room for all");
}

#[test]
fn every_report_has_a_schema() {
    for report in REPORTS {
        let run = run(["schema", report]);
        let schema: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let fields = schema.pointer("/properties").and_then(|fields| fields.as_object()).unwrap();
        assert!(fields.contains_key("schema_version") && fields.len() > 1, "{report}: {fields:?}");
        assert_eq!(schema["title"], format!("vmcore-thp {report}"));
        // Whatever cannot be known is null, and its field is there all the same.
        let required: Vec<_> = schema["required"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        assert!(fields.keys().all(|field| required.contains(&field.as_str())), "{report}: {required:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let run = run(["completions", shell]);
        assert_eq!(run.status, 0);
        assert!(run.stdout.contains("vmcore-thp") && run.stdout.contains("runq"), "{shell}");
    }
}

#[test]
fn manual_pages() {
    let scratch = Scratch::new();
    let directory = scratch.path("man1");
    assert_eq!(run(["man".as_ref(), "--all".as_ref(), "-o".as_ref(), directory.as_os_str()]).status, 0);
    let written = std::fs::read_dir(directory).unwrap().count();
    assert!(written > REPORTS.len() + 5, "{written} pages");
    let page = run(["man"]).stdout;
    assert!(page.contains(".TH vmcore-thp 1") && page.contains("analyze"), "{page}");
    // `waiters` is the other report of `waitq`.
    for report in REPORTS.into_iter().filter(|report| *report != "waiters") {
        let page = run(["man", report]).stdout;
        assert!(page.contains(&format!(".TH vmcore-thp-{report} 1")), "{page}");
    }
}

#[test]
fn issues_are_explained() {
    let all = run(["explain"]);
    assert_eq!((all.status, all.stdout.lines().count()), (0, vmcore_diagnose::Issue::ALL.len()), "{}", all.stdout);
    let one = run(["explain", "deadlock"]).stdout;
    // As one line: where the text is wrapped is not what is asked here.
    let words = one.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.starts_with("deadlock (critical)")
            && words.contains("only a restart ends it")
            && words.contains("What to do"),
        "{one}"
    );
    // Only what is about this one.
    let memory = run(["explain", "out-of-memory"]).stdout;
    assert!(memory.contains("vm.panic_on_oom") && !memory.contains("NMI") && !memory.contains("sysrq"), "{memory}");
    let lockup = run(["explain", "hard-lockup"]).stdout;
    assert!(lockup.contains("NMI watchdog") && !lockup.contains("TLB flush"), "{lockup}");
    let wrong = run(["explain", "deadlok"]);
    assert!(wrong.status == 2 && wrong.stderr.contains("'deadlock'"), "{}", wrong.stderr);
}

/// What each shell itself offers for words that are not complete, asked of the shells that are installed; bash is everywhere.
#[test]
fn every_shell_completes_commands_options_and_values() {
    let scratch = Scratch::new();
    let asked: [(&[&str], &str); 7] = [
        (&["sche"], "schema"),
        (&["bt", "--registers", "--sta"], "--state"),
        (&["analyze", "--format", "js"], "json"),
        (&["schema", "workq"], "workqueue"),
        (&["man", "drgn"], "drgn-script"),
        (&["synth", "--form", "kdump-fl"], "kdump-flattened"),
        (&["explain", "dead"], "deadlock"),
    ];
    for shell in ["bash", "zsh", "fish"] {
        if std::process::Command::new(shell).arg("-c").arg("exit").status().is_err() {
            assert_ne!(shell, "bash", "there is no bash");
            continue;
        }
        let script = scratch.path("completions");
        std::fs::write(&script, run(["completions", shell]).stdout).unwrap();
        for (words, expected) in asked {
            let line = words.join(" ");
            let program = match shell {
                "bash" => format!(
                    "source {0}; COMP_WORDS=(vmcore-thp {line}); COMP_CWORD={1}; \
                     $(complete -p vmcore-thp | sed 's/.*-F \\([^ ]*\\).*/\\1/') vmcore-thp {2} {3}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                    script.display(),
                    words.len(),
                    words.last().unwrap(),
                    words.iter().rev().nth(1).unwrap_or(&"vmcore-thp"),
                ),
                "fish" => format!("source {}; complete -C 'vmcore-thp {line}'", script.display()),
                // Its completion works in its line editor only: that the script is one is all that can be asked here.
                _ => format!("autoload -U compinit; compinit -u -D; source {}; echo {expected}", script.display()),
            };
            let output = std::process::Command::new(shell).arg("-c").arg(&program).output().unwrap();
            let offered = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_offered = offered.lines().any(|line| line.split('\t').next() == Some(expected));
            assert!(is_offered, "{shell}: {line}: {offered} {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn a_log_is_a_page_too() {
    let scratch = Scratch::new();
    let log = "[   10.000000] Linux version 6.1.0\n[   30.000000] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [<b>evil:412]\n";
    let log = scratch.file("console.log", log.as_bytes());
    let page = scratch.path("report.html");
    let run = run(["log".as_ref(), log.as_os_str(), "-o".as_ref(), page.as_os_str()]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    let text = std::fs::read_to_string(page).unwrap();
    assert!(
        text.contains("<h1>soft-lockup (") && text.contains("&lt;b&gt;evil") && !text.contains("<b>evil"),
        "{text}"
    );
}
