//! What the log alone tells, and what the whole dump tells: the same event, or the dump knows more of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab_dump::LabDump;
use crate::program::{run, text};

/// What only the state of the machine tells apart, under the name that the log has for it.
const MORE_SPECIFIC: [(&str, &[&str]); 3] = [
    (
        "soft-lockup",
        &[
            "thp-split-page-fault-livelock",
            "spinlock-held",
            "unanswered-call",
            "hard-lockup",
            "cpu-starvation",
            "rcu-stall",
        ],
    ),
    ("rcu-stall", &["thp-split-page-fault-livelock", "spinlock-held", "cpu-starvation", "soft-lockup", "hard-lockup"]),
    ("hung-task", &["deadlock", "lock-held", "page-locked", "work-not-done", "cpu-starvation", "io-error"]),
];

/// Texts after which a log is not that of a healthy machine.
const TROUBLE: [&str; 8] = [
    "Kernel panic - not syncing: ",
    "BUG: soft lockup",
    "detected hard LOCKUP",
    "self-detected stall",
    "detected stalls on CPUs/tasks",
    " blocked for more than ",
    "BUG: kernel NULL pointer",
    "kernel BUG at ",
];

/// The log that the dump holds, and the one that the console printed, against the dump.
pub(crate) fn of_log_and_dump(dump: &LabDump) {
    let (_, analysis) = dump.analysis();
    let scratch = tempfile::tempdir().expect("a directory for the log");
    let records = scratch.path().join("dmesg.txt");
    fs::write(&records, dump.run("dmesg", &[]).expect_status(0).stdout).expect("the log is written");
    agree(&records, &analysis);
    // The console of a guest is kept beside its dump.
    let console: PathBuf = dump.vmcore.with_file_name("console.log");
    if console.exists() {
        agree(&console, &analysis);
    }
}

#[track_caller]
fn agree(log: &Path, analysis: &Value) {
    let found = run(["log".as_ref(), log.as_os_str(), "--format".as_ref(), "json".as_ref()]).json();
    let (of_log, of_dump) = (&found["verdict"], &analysis["verdict"]);
    let printed = fs::read(log).expect("the log is readable");
    let printed = String::from_utf8_lossy(&printed);
    let asked_for = printed.contains("sysrq: Trigger a crash");
    // The crash kernel may take the console over in the middle of a line, of which then nobody can tell whose it is.
    let is_whole = |line: &&str| line.match_indices("[    0.000000] Linux version ").all(|(at, _)| at == 0);
    let whole: Vec<_> = printed.lines().filter(is_whole).collect();
    if let Some(trouble) = TROUBLE.iter().find(|trouble| whole.iter().any(|line| line.contains(**trouble)))
        && !asked_for
    {
        assert!(!of_dump["issue"].is_null(), "{}: \"{trouble}\", and the dump: {of_dump}", log.display());
        assert!(!of_log["issue"].is_null(), "{}: \"{trouble}\", and the log: {of_log}", log.display());
    }
    // A crash kernel is started by nothing but a crash.
    if printed.contains(" elfcorehdr=") && !asked_for {
        assert_ne!(
            text(of_log, "confidence"),
            "none",
            "{}: a crash kernel starts, and the log: {of_log}",
            log.display()
        );
    }
    let judged = |verdict: &Value| matches!(text(verdict, "confidence"), "confirmed" | "probable");
    if !judged(of_log) {
        return;
    }
    let (general, specific) = (text(of_log, "issue"), of_dump["issue"].as_str().unwrap_or("none"));
    let more = MORE_SPECIFIC.iter().find(|(issue, _)| *issue == general).map_or(&[][..], |(_, more)| more);
    assert!(general == specific || more.contains(&specific), "{}: {of_log}, and the dump: {of_dump}", log.display());
}
