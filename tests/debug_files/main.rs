//! The program and debug information that comes from a server: what is asked, what is used, what is said.

// Helpers of tests, which clippy does not see as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../crates/debuginfod/tests/client/server.rs"]
mod server;

mod interrupted;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use server::{Server, send};
use tempfile::TempDir;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64").join(name)
}

/// A server that has the profile of the kernel of the bundled dumps.
fn helpful() -> Server {
    let profile = fs::read(testdata("vmlinux.profile")).unwrap();
    Server::start(Box::new(move |request, stream| {
        let says_who = |header: &String| header.to_ascii_lowercase().starts_with("user-agent: vmcore-thp/");
        let known = request.headers.iter().any(says_who);
        send(stream, if known { "200 OK" } else { "403 Forbidden" }, &[], &profile);
    }))
}

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stderr))
    }
}

fn program(command: &str, options: &[&str], urls: &str, cache: &TempDir) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
    program
        .args([command, "--format", "json"])
        .args(options)
        .arg(testdata("thp-livelock.vmcore"))
        .env("DEBUGINFOD_URLS", urls)
        .env("DEBUGINFOD_CACHE_PATH", cache.path())
        .env("DEBUGINFOD_TIMEOUT", "5");
    program
}

/// Runs `vmcore-thp COMMAND` on the bundled dump of a livelock, without a vmlinux.
fn run(command: &str, options: &[&str], urls: &str, cache: &TempDir) -> Run {
    let output = program(command, options, urls, cache).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

#[test]
fn a_server_has_what_no_directory_has() {
    let (server, cache) = (helpful(), TempDir::new().unwrap());
    let first = run("analyze", &[], &server.url, &cache);
    assert_eq!(first.status, 1, "{}", first.stderr);
    assert_eq!(first.json()["verdict"]["confidence"], "confirmed");
    assert!(first.stderr.contains(&format!("note: downloading {}/buildid/", server.url)), "{}", first.stderr);
    let info = run("info", &[], &server.url, &cache).json();
    assert_eq!(info["debuginfo"]["matches"], true);
    let asked = format!("/buildid/{}/debuginfo", info["kernel"]["build_id"].as_str().unwrap());
    assert_eq!(server.requests(), [asked], "once for two runs");
    let path = info["debuginfo"]["path"].as_str().unwrap();
    assert!(Path::new(path).starts_with(cache.path()), "{path}");
}

#[test]
fn the_network_can_be_forbidden_and_the_cache_still_serves() {
    let (server, cache) = (helpful(), TempDir::new().unwrap());
    let forbidden = run("ps", &["--no-debuginfod"], &server.url, &cache);
    assert_ne!(forbidden.status, 0);
    assert!(server.requests().is_empty());
    assert!(forbidden.stderr.contains("no vmlinux of") && !forbidden.stderr.contains("debuginfod:"));
    assert_eq!(run("info", &[], &server.url, &cache).status, 0);
    assert_eq!(run("info", &["--no-debuginfod"], &server.url, &cache).status, 0);
    assert_eq!(run("info", &[], "", &cache).status, 0);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_servers_answer_is_said_in_one_line() {
    let ignorant = Server::answering("404 Not Found", b"");
    let wrong = Server::answering("200 OK", b"<html>\x1b[31mWelcome</html>");
    let cache = TempDir::new().unwrap();
    let failed = run("ps", &[], &format!("{} {} gopher://c", ignorant.url, wrong.url), &cache);
    assert_eq!((failed.status, failed.stdout.as_str()), (2, ""));
    let error = failed.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    for part in [
        "gopher://c: neither http:// nor https://".to_owned(),
        format!("{} does not have it", ignorant.url),
        format!("{} sent a file that is not used", wrong.url),
        "is not an ELF file".to_owned(),
    ] {
        assert!(error.contains(&part), "{part:?} is not in {error:?}");
    }
    assert!(!failed.stderr.contains('\x1b'));
}

/// A vmlinux that is named is used as it is: nobody is asked for another one.
#[test]
fn nobody_is_asked_for_what_is_there() {
    let (server, cache) = (helpful(), TempDir::new().unwrap());
    let debug_dir = TempDir::new().unwrap();
    let id = run("info", &[], &server.url, &cache).json()["kernel"]["build_id"].as_str().unwrap().to_owned();
    let (directory, file) = id.split_at(2);
    fs::create_dir_all(debug_dir.path().join(".build-id").join(directory)).unwrap();
    let file = debug_dir.path().join(".build-id").join(directory).join(format!("{file}.debug"));
    fs::copy(testdata("vmlinux.profile"), &file).unwrap();
    let found =
        run("info", &["--debug-dir", debug_dir.path().to_str().unwrap()], &server.url, &TempDir::new().unwrap());
    assert_eq!(found.json()["debuginfo"]["path"], file.to_str().unwrap());
    assert_eq!(server.requests().len(), 1, "the one for the build-id");
}

/// A file at each of these places under a directory of debug files, and what a run that finds them says.
fn info_with(files: &[(&str, &[u8])]) -> Run {
    let directory = TempDir::new().unwrap();
    for (path, contents) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    let option = ["--no-debuginfod", "--debug-dir", directory.path().to_str().unwrap()];
    run("info", &option, "", &TempDir::new().unwrap())
}

/// What headers packages and interrupted copies leave falls short; the next candidate is taken.
#[test]
fn a_file_that_was_found_is_tried_before_it_is_taken() {
    let whole = fs::read(testdata("vmlinux.profile")).unwrap();
    let info = run("info", &["--no-debuginfod"], "", &TempDir::new().unwrap());
    let release = "6.1.0-56-cloud-amd64";
    assert_eq!(info.json()["debuginfo"]["source"], "none", "the bundled dumps have no tables of their own");
    assert!(info.stderr.contains(release), "{}", info.stderr);
    let damaged = whole.get(..whole.len() / 2).unwrap();
    let (boot, package) = (format!("boot/vmlinux-{release}"), format!("usr/lib/debug/lib/modules/{release}/vmlinux"));
    let found = info_with(&[(&boot, damaged), (&package, &whole)]);
    assert_eq!(found.status, 0, "{}", found.stderr);
    assert!(found.json()["debuginfo"]["path"].as_str().unwrap().ends_with(&package), "{}", found.stdout);
    let nothing = info_with(&[(&boot, damaged)]);
    assert_eq!(nothing.json()["debuginfo"]["source"], "none");
    assert!(nothing.stderr.contains(&boot), "{}", nothing.stderr);
}

#[test]
fn every_layout_of_a_debug_directory() {
    let whole = fs::read(testdata("vmlinux.profile")).unwrap();
    let release = "6.1.0-56-cloud-amd64";
    let packed = Command::new("gzip").args(["-1", "-c"]).arg(testdata("vmlinux.profile")).output().unwrap().stdout;
    let places: [(String, &[u8]); 6] = [
        ("vmlinux".to_owned(), &whole),
        (format!("usr/lib/debug/boot/vmlinux-{release}"), &whole),
        (format!("usr/lib/debug/usr/lib/modules/{release}/vmlinux"), &whole),
        (format!("lib/modules/{release}/vmlinux.debug"), &whole),
        (format!("lib/modules/{release}/build/vmlinux"), &whole),
        (format!("usr/lib/debug/boot/vmlinux-{release}.debug.gz"), &packed),
    ];
    for (place, contents) in places {
        let found = info_with(&[(&place, contents)]);
        assert_eq!(found.status, 0, "{place}: {}", found.stderr);
        assert!(found.json()["debuginfo"]["path"].as_str().unwrap().ends_with(&place), "{place}");
    }
}
