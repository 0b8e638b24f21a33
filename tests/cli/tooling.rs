//! Usage, help, schemas, completions and manual pages.

use crate::run;

const REPORTS: [&str; 32] = [
    "analyze",
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
    assert_eq!((all.status, all.stdout.lines().count()), (0, 23), "{}", all.stdout);
    let one = run(["explain", "deadlock"]).stdout;
    assert!(
        one.starts_with("deadlock (critical)") && one.contains("only a restart ends it") && one.contains("What to do"),
        "{one}"
    );
    let wrong = run(["explain", "deadlok"]);
    assert!(wrong.status == 2 && wrong.stderr.contains("'deadlock'"), "{}", wrong.stderr);
}
