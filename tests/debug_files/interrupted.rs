//! A download that does not come to its end leaves nothing behind.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::program;
use crate::server::{Server, head};

/// A server that begins to send a file and then waits for a minute; it says when it has begun.
fn stalling() -> (Server, mpsc::Receiver<()>) {
    let (begun, has_begun) = mpsc::channel();
    let server = Server::start(Box::new(move |_, stream| {
        head(stream, "200 OK", &["Content-Length: 1000000000"]);
        stream.write_all(&[0; 100_000]).unwrap();
        begun.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }));
    (server, has_begun)
}

fn files(cache: &TempDir) -> Vec<PathBuf> {
    let directories = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
    directories.flat_map(|path| fs::read_dir(path).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

/// `program`, to which no signal is ignored: the tests themselves may run under `nohup` or in the background of a script.
fn with_default_signals(program: &Command) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP").arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// A run that is in the middle of a download into `cache`.
fn downloading(cache: &TempDir, options: &[&str]) -> (Server, Child) {
    let (server, has_begun) = stalling();
    let mut program = program("info", options, &server.url, cache);
    program.env("DEBUGINFOD_TIMEOUT", "60");
    let child = with_default_signals(&program).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
    (server, child)
}

#[test]
fn a_signal_removes_what_was_downloaded() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let cache = TempDir::new().unwrap();
        let (_server, mut child) = downloading(&cache, &[]);
        assert_eq!(files(&cache).len(), 1, "the unfinished file");
        let killed = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().signal(), Some(number), "SIG{name}");
        assert!(files(&cache).is_empty(), "SIG{name}");
    }
}

#[test]
fn a_time_limit_removes_what_was_downloaded() {
    let cache = TempDir::new().unwrap();
    let (_server, mut child) = downloading(&cache, &["--timeout", "2s"]);
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(files(&cache).is_empty());
}

#[test]
fn what_a_killed_run_left_goes_with_the_next() {
    let cache = TempDir::new().unwrap();
    let (_server, mut killed) = downloading(&cache, &[]);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = files(&cache);
    assert_eq!(left.len(), 1);
    let (_server, mut next) = downloading(&cache, &[]);
    let now = files(&cache);
    assert!(now.len() == 1 && now != left, "{now:?}");
    next.kill().unwrap();
    next.wait().unwrap();
}
