//! `log`: what it says of real logs in the forms in which people have them, and how it exits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests, which clippy does not see as such.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/console/tests/logs").join(name)
}

fn incident() -> String {
    fs::read_to_string(fixture("alibaba-4.19.91-19.1.al7.log")).unwrap()
}

/// The exit status and standard output of `log -` on a text.
fn log(text: &[u8], arguments: &[&str]) -> (i32, String) {
    let mut command = Command::cargo_bin("vmcore-thp").unwrap();
    let output = command.arg("log").args(arguments).write_stdin(text).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn json(text: &[u8]) -> (i32, Value) {
    let (status, stdout) = log(text, &["-", "--format", "json"]);
    (status, serde_json::from_str(&stdout).unwrap())
}

#[test]
fn the_incident_is_named_with_its_remedy() {
    let (status, report) = json(incident().as_bytes());
    assert_eq!(status, 1);
    assert_eq!(report["verdict"]["issue"], "thp-split-page-fault-livelock");
    assert_eq!(report["verdict"]["confidence"], "probable");
    assert_eq!(report["remedy"][0]["command"], "yum install -y kernel-hotfix-5902278-19.1.al7.x86_64");
    let text = log(incident().as_bytes(), &[]).1;
    assert!(text.starts_with("Verdict: thp-split-page-fault-livelock (probable)\n"), "{text}");
}

#[test]
fn the_form_of_the_log_does_not_matter() {
    let plain = json(incident().as_bytes()).1;
    let each = |change: &dyn Fn(&str) -> String| -> Value {
        json(incident().lines().map(change).collect::<String>().as_bytes()).1
    };
    let parts = |line: &str| -> (String, String) {
        let (time, text) = line.split_once("] ").unwrap();
        (format!("{time}]"), text.to_owned())
    };
    let forms: [(&str, Value); 8] = [
        ("serial capture", each(&|line| format!("\x1b[1m{line}\x1b[0m\r\n"))),
        ("dmesg -r", each(&|line| format!("<4>{line}\n"))),
        ("dmesg -x", each(&|line| format!("kern  :warn  : {line}\n"))),
        ("syslog", each(&|line| format!("Nov 22 20:29:11 host kernel: {line}\n"))),
        ("ts", each(&|line| format!("Nov 22 20:29:11 {line}\n"))),
        ("conserver", each(&|line| format!("[2026-11-22 20:29:11] {line}\n"))),
        (
            "journalctl -o short-monotonic",
            each(&|line| {
                let (time, text) = parts(line);
                format!("{time} host kernel: {text}\n")
            }),
        ),
        ("ISO syslog", each(&|line| format!("2026-11-22T20:29:11.123456+08:00 host kernel: {line}\n"))),
    ];
    for (form, report) in forms {
        for field in ["kernel", "panic", "lockups", "cpus", "copies", "verdict", "remedy"] {
            assert_eq!(report[field], plain[field], "{form}: {field}");
        }
    }
    // Without times there is less to go by, but the facts are the same.
    for prefix in ["", "[  +0.000003] ", "[Nov22 20:29] ", "2026-11-22T20:29:11,123456+08:00 "] {
        let no_times = each(&|line| format!("{prefix}{}\n", parts(line).1));
        for field in ["kernel", "panic", "lockups", "verdict", "remedy"] {
            assert_eq!(no_times[field], plain[field], "{prefix}: {field}");
        }
    }
}

#[test]
fn a_file_and_standard_input_say_the_same() {
    let path = fixture("6.1-thp-livelock-snapshot.log");
    let text = fs::read(&path).unwrap();
    let (status, from_file) = log(b"", &[path.to_str().unwrap(), "--format", "json"]);
    let mut from_file: Value = serde_json::from_str(&from_file).unwrap();
    from_file["path"] = "-".into();
    let (piped_status, piped) = json(&text);
    assert_eq!((status, from_file), (piped_status, piped));
}

#[test]
fn every_lockup_of_a_recorded_log_has_its_cpu_and_address() {
    // What the guest said before it died: the address that each spinner touches.
    for (name, addresses) in [
        ("6.1-thp-livelock-stuck-snapshot.log", ["0x7feaad203", "0x7feaad208", "0x7feaad20d", "0x7feaad212"]),
        ("6.1-thp-livelock-snapshot.log", ["0x7f3b64603", "0x7f3b64608", "0x7f3b6460d", "0x7f3b64612"]),
    ] {
        let (status, report) = json(&fs::read(fixture(name)).unwrap());
        // By its release 6.1 has the fix, and a log does not show that this machine was made to live without it.
        assert_eq!((status, &report["verdict"]["confidence"]), (3, &"possible".into()));
        assert_eq!(report["verdict"]["issue"], "thp-split-page-fault-livelock");
        assert_eq!(report["lockups"].as_array().unwrap().len(), 4, "{name}");
        for (cpu, address) in addresses.iter().enumerate() {
            let copies = report["copies"].as_array().unwrap();
            let copy = copies.iter().find(|copy| copy["cpu"] == cpu).unwrap_or_else(|| panic!("{name}: no CPU {cpu}"));
            let found = copy["address"].as_str().unwrap();
            assert!(found.starts_with(address), "{name}: CPU {cpu} is at {found}");
            assert_eq!(copy["comm"], format!("fstat/{cpu}"));
        }
    }
}

#[test]
fn the_kernel_that_was_started_after_the_crash_is_another_one() {
    let plain = json(incident().as_bytes()).1;
    let after =
        "[    0.000000] Linux version 5.10.134-16.al8.x86_64 (a@b) (gcc 10) #1 SMP x\n[    1.000000] usb 1-1: hi\n";
    let report = json((incident() + after).as_bytes()).1;
    for field in ["kernel", "panic", "lockups", "copies", "verdict", "remedy"] {
        assert_eq!(report[field], plain[field], "{field}");
    }
    assert_eq!((&report["extent"]["starts"], &report["extent"]["lines_of_other_boots"]), (&1.into(), &2.into()));
}

#[test]
fn the_end_of_a_log_alone_is_not_healthy() {
    let incident = incident();
    let lines: Vec<&str> = incident.lines().collect();
    let (status, report) = json(lines[lines.len() - 50..].join("\n").as_bytes());
    assert_eq!((status, &report["verdict"]["confidence"]), (3, &"possible".into()), "{}", report["verdict"]);
    assert!(report["verdict"]["summary"].as_str().unwrap().contains("0xc000100000"));
    let (status, report) = json(lines[lines.len() - 10..].join("\n").as_bytes());
    assert_eq!((status, &report["verdict"]["confidence"]), (3, &"insufficient".into()), "{}", report["verdict"]);
}

#[test]
fn lines_that_were_cut_lose_details_but_not_the_lockup() {
    for length in [60, 80, 100] {
        let cut = |line: &str| line.chars().take(length).chain(['\n']).collect::<String>();
        let cut: String = incident().lines().map(cut).collect();
        let (status, report) = json(cut.as_bytes());
        assert_eq!(status, 1, "{length}");
        let issue = report["verdict"]["issue"].as_str().unwrap();
        assert!(["soft-lockup", "thp-split-page-fault-livelock"].contains(&issue), "{length}: {issue}");
    }
}

#[test]
fn exit_statuses() {
    assert_eq!(log(b"[    1.000000] usb 1-1: new device\n", &[]).0, 0);
    assert_eq!(log(b"[    1.000000] Kernel panic - not syncing: Fatal exception\n", &["-"]).0, 1);
    assert_eq!(log(b"", &["/no/such/file"]).0, 2);
    assert_eq!(log(b"", &[]).0, 3);
    assert_eq!(log(b"not a log\n", &[]).0, 3);
}

#[test]
fn the_text_has_no_escapes_of_the_log() {
    let hostile = b"[    1.000000] Kernel panic - not syncing: \x1b[2J\xe2\x80\xae\x9b31m\xff\n";
    let (status, text) = log(hostile, &[]);
    assert_eq!(status, 1);
    assert!(
        !text.chars().any(|letter| letter.is_control() && letter != '\n') && !text.contains('\u{202e}'),
        "{text:?}"
    );
}
