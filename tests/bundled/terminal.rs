//! What a person on a terminal sees: the pager, and the shell with its prompt.

use std::io::Read;
use std::time::{Duration, Instant};

use super::*;

/// A program on a terminal of its own, which `script` of util-linux gives it; what was shown there.
#[allow(clippy::unwrap_used)] // A helper of tests.
fn on_terminal(command: &str) -> String {
    let data = testdata("");
    let line = format!("cd {} && {} {command}", data.display(), env!("CARGO_BIN_EXE_vmcore-thp"));
    let shown = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("PAGER", "sed s/^/PAGED:/")
        .env("TERM", "xterm")
        .env("COLUMNS", "80")
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env_remove("VMCORE_THP_PAGER")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

#[test]
fn a_terminal_gets_long_text_by_a_pager() {
    let paged = on_terminal("runq -q thp-livelock.vmcore vmlinux.profile");
    assert!(paged.lines().count() > 10 && paged.lines().all(|line| line.starts_with("PAGED:")), "{paged}");
    let whole = on_terminal("runq -q --no-pager thp-livelock.vmcore vmlinux.profile");
    assert!(whole.contains("splitter") && !whole.contains("PAGED:"), "{whole}");
    let json = on_terminal("runq -q --format json thp-livelock.vmcore vmlinux.profile");
    assert!(json.starts_with('{'), "{json}");
}

/// Each line is typed when there is a prompt; Tab completes an option.
#[test]
fn a_person_talks_to_the_shell() {
    let line = format!(
        "cd {} && {} shell -q thp-livelock.vmcore vmlinux.profile",
        testdata("").display(),
        env!("CARGO_BIN_EXE_vmcore-thp")
    );
    let mut child = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .envs([("PAGER", "cat"), ("TERM", "xterm"), ("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, received) = std::sync::mpsc::channel();
    let mut screen = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = screen.read(&mut buffer) {
            if send.send(buffer[..len].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut keyboard = child.stdin.take().unwrap();
    let mut shown = String::new();
    let start = Instant::now();
    let lines = [
        ("p init_task.comm\r", "swapper/0"),
        ("nonsense\r", "unrecognized subcommand"),
        ("ps --pi\t 147 | grep -c splitter\r", "1\r\n"),
        ("p 3*\x03", ""),
        ("p 40 + 2\r", "= 42"),
        ("\x04", ""),
    ];
    let mut answered = 0;
    for (line, answer) in lines {
        // The prompt is there a moment before the terminal is ready for keys.
        let mut is_quiet = false;
        while !is_quiet && start.elapsed() < Duration::from_secs(120) {
            match received.recv_timeout(Duration::from_secs(1)) {
                Ok(more) => shown.push_str(&String::from_utf8_lossy(&more)),
                Err(_) => is_quiet = shown.split_at(answered).1.contains("vmcore-thp> "),
            }
        }
        let from = shown.len();
        keyboard.write_all(line.as_bytes()).unwrap();
        while !shown.split_at(from).1.contains(answer) && start.elapsed() < Duration::from_secs(120) {
            let Ok(more) = received.recv_timeout(Duration::from_secs(60)) else { break };
            shown.push_str(&String::from_utf8_lossy(&more));
        }
        answered = shown.split_at(from).1.find(answer).map_or(from, |at| from + at + answer.len());
    }
    while let Ok(more) = received.recv_timeout(Duration::from_secs(5)) {
        shown.push_str(&String::from_utf8_lossy(&more));
    }
    drop(keyboard);
    // It ends by itself, or the test has failed.
    let mut ended = child.try_wait().unwrap();
    while ended.is_none() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(50));
        ended = child.try_wait().unwrap();
    }
    let _ = child.kill();
    for expected in
        ["6.1.0-56-cloud-amd64, 4 CPUs", "init_task.comm = \"swapper/0\"", "unrecognized subcommand", "= 42"]
    {
        assert!(shown.contains(expected), "no {expected:?} in {shown}");
    }
    assert!(shown.lines().any(|line| line.trim() == "1"), "{shown}");
    assert!(ended.is_some_and(|status| status.success()), "{ended:?} {shown}");
}
