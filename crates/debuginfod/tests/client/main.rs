//! The client against servers that are helpful, ignorant, broken or hostile.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests, which clippy does not see as such.

mod server;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use server::{Server, head, send};
use tempfile::TempDir;
use vmcore_debuginfod::{Client, FetchError, Settings};

const BUILD_ID: [u8; 4] = [0xab, 0xcd, 0x01, 0x02];
const RIGHT: &[u8] = b"the right file";

/// A cache of its own, and what the environment of a user would say.
struct User {
    cache: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl User {
    fn of(servers: &[&Server]) -> Self {
        let urls: Vec<_> = servers.iter().map(|server| server.url.as_str()).collect();
        Self { cache: TempDir::new().unwrap(), variables: vec![("DEBUGINFOD_URLS", urls.join(" "))] }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.variables.push((name, value.to_string()));
        self
    }

    fn client(&self) -> Client {
        Client::new(Settings::read(|name| {
            if name == "DEBUGINFOD_CACHE_PATH" {
                return Some(self.cache.path().into());
            }
            self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        }))
    }

    fn fetch(&self) -> Result<PathBuf, FetchError> {
        self.client().fetch(&BUILD_ID, &verify, |_| {})
    }

    /// Fetches what must fail, with each of `parts` in the message, and leaves nothing behind but what is `left`.
    #[track_caller]
    fn fails_with(&self, parts: &[&str], left: &[&str]) {
        let error = self.fetch().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        assert_eq!(self.entries(), left, "in the cache");
    }

    /// What is in the directory of the build-id.
    fn entries(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache.path().join("abcd0102")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn verify(path: &Path) -> Result<(), String> {
    if fs::read(path).unwrap() == RIGHT { Ok(()) } else { Err("it is of another build".into()) }
}

#[test]
fn a_file_is_fetched_once_and_then_cached() {
    let server = Server::answering("200 OK", RIGHT);
    let user = User::of(&[&server]);
    let mut steps = Vec::new();
    let path = user.client().fetch(&BUILD_ID, &verify, |step| steps.push((step.received, step.size))).unwrap();
    assert_eq!(path, user.cache.path().join("abcd0102/debuginfo"));
    assert_eq!(fs::read(&path).unwrap(), RIGHT);
    assert_eq!((steps.first(), steps.last()), (Some(&(0, None)), Some(&(14, Some(14)))));
    assert_eq!(user.fetch().unwrap(), path);
    assert_eq!(server.requests(), ["/buildid/abcd0102/debuginfo"]);
    assert_eq!(user.entries(), ["debuginfo"]);
}

#[test]
fn without_servers_only_the_cache_is_used() {
    let user = User::of(&[]);
    assert!(matches!(user.fetch(), Err(FetchError::NoServers(_))));
    assert!(!user.cache.path().join("abcd0102").exists(), "nothing is created");
    fs::create_dir(user.cache.path().join("abcd0102")).unwrap();
    let file = user.cache.path().join("abcd0102/debuginfo");
    fs::write(&file, "another file").unwrap();
    assert!(user.fetch().is_err() && user.client().cached(&BUILD_ID, &verify).is_none(), "the cache is not trusted");
    fs::write(&file, RIGHT).unwrap();
    assert_eq!(user.fetch().unwrap(), file);
}

#[test]
fn a_wrong_file_in_the_cache_is_replaced() {
    let server = Server::answering("200 OK", RIGHT);
    let user = User::of(&[&server]);
    fs::create_dir(user.cache.path().join("abcd0102")).unwrap();
    fs::write(user.cache.path().join("abcd0102/debuginfo"), "cut sh").unwrap();
    assert_eq!(fs::read(user.fetch().unwrap()).unwrap(), RIGHT);
}

#[test]
fn servers_are_asked_in_turn() {
    let ignorant = Server::answering("404 Not Found", b"");
    let broken = Server::answering("500 Internal Server Error", b"oh");
    let wrong = Server::answering("200 OK", b"the wrong file");
    let right = Server::answering("200 OK", RIGHT);
    let never = Server::answering("200 OK", RIGHT);
    let user = User::of(&[&ignorant, &broken, &wrong, &right, &never]);
    assert_eq!(fs::read(user.fetch().unwrap()).unwrap(), RIGHT);
    assert_eq!((wrong.requests().len(), never.requests().len()), (1, 0));
}

#[test]
fn what_nobody_has_is_not_asked_for_again_soon() {
    let servers = [Server::answering("404 Not Found", b""), Server::answering("404 Not Found", b"")];
    let user = User::of(&[&servers[0], &servers[1]]);
    user.fails_with(&[&servers[0].url, &servers[1].url, "does not have it"], &["debuginfo"]);
    assert_eq!(fs::metadata(user.cache.path().join("abcd0102/debuginfo")).unwrap().len(), 0);
    user.fails_with(&["a short time ago", "abcd0102/debuginfo"], &["debuginfo"]);
    assert_eq!(servers[1].requests().len(), 1);
    fs::write(user.cache.path().join("cache_miss_s"), "0").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    user.fails_with(&["does not have it"], &["debuginfo"]);
    assert_eq!(servers[1].requests().len(), 2);
}

/// A server in trouble may have the file tomorrow, or in a minute.
#[test]
fn trouble_is_not_remembered() {
    let servers = [Server::answering("404 Not Found", b""), Server::answering("503 Service Unavailable", b"")];
    let user = User::of(&[&servers[0], &servers[1]]);
    user.fails_with(&["answers with status 503"], &[]);
    user.fails_with(&["answers with status 503"], &[]);
}

#[test]
fn a_file_of_another_build_is_not_kept() {
    let server = Server::answering("200 OK", b"the wrong file");
    let user = User::of(&[&server]);
    user.fails_with(&["sent a file that is not used: it is of another build"], &[]);
}

#[test]
fn a_body_that_breaks_off() {
    let server = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &["Content-Length: 1000"]);
        stream.write_all(RIGHT).unwrap();
    }));
    User::of(&[&server]).fails_with(&["ends after 14 of 1000 bytes"], &[]);
}

#[test]
fn an_empty_body() {
    let server = Server::answering("200 OK", b"");
    User::of(&[&server]).fails_with(&["empty file"], &[]);
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let target = Server::answering("200 OK", RIGHT);
    let url = target.url.clone();
    let server = Server::start(Box::new(move |request, stream| {
        send(stream, "302 Found", &[&format!("Location: {url}/elsewhere{}", request.path)], b"");
    }));
    User::of(&[&server]).fetch().unwrap();
    assert_eq!(target.requests(), ["/elsewhere/buildid/abcd0102/debuginfo"]);
    let circle = Server::start(Box::new(|request, stream| {
        send(stream, "302 Found", &[&format!("Location: {}", request.path)], b"");
    }));
    User::of(&[&circle]).fails_with(&["redirect"], &[]);
    assert!(circle.requests().len() < 20, "{}", circle.requests().len());
}

#[test]
fn a_redirect_leads_to_no_file_of_this_machine() {
    let server = Server::start(Box::new(|_, stream| {
        send(stream, "302 Found", &["Location: file:///etc/hostname"], b"");
    }));
    User::of(&[&server]).fails_with(&[&server.url], &[]);
}

#[test]
fn huge_files_are_refused_before_and_while_they_come() {
    let announces = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &["Content-Length: 9223372036854775807"]);
    }));
    User::of(&[&announces]).fails_with(&["announces 9223372036854775807 bytes"], &[]);
    let unpacks = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &["X-Debuginfod-Size: 99999999999999", "Transfer-Encoding: chunked"]);
    }));
    User::of(&[&unpacks]).fails_with(&["announces 99999999999999 bytes"], &[]);
    // Without an announcement it could go on for ever.
    let endless = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &[]);
        while stream.write_all(&[0; 1 << 16]).is_ok() {}
    }));
    let user = User::of(&[&endless]).with("DEBUGINFOD_MAXSIZE", 1 << 20);
    user.fails_with(&["sends more than 1048576 bytes"], &[]);
}

#[test]
fn servers_are_told_the_users_limit() {
    let server = Server::start(Box::new(|request, stream| {
        let told = request.headers.iter().any(|header| header.eq_ignore_ascii_case("x-debuginfod-maxsize: 5"));
        send(stream, if told { "406 Not Acceptable" } else { "400 Bad Request" }, &[], b"");
    }));
    let user = User::of(&[&server]).with("DEBUGINFOD_MAXSIZE", 5);
    user.fails_with(&["more than 5 bytes", "DEBUGINFOD_MAXSIZE"], &[]);
}

#[test]
fn a_server_that_stalls_is_left() {
    let silent = Server::start(Box::new(|_, _| std::thread::sleep(Duration::from_secs(60))));
    let stalls = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &["Content-Length: 14"]);
        std::thread::sleep(Duration::from_secs(60));
    }));
    // A byte now and then keeps every single read short.
    let drips = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &["Content-Length: 1000"]);
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }));
    let user = User::of(&[&silent, &stalls, &drips]).with("DEBUGINFOD_TIMEOUT", 1);
    let start = Instant::now();
    let stalled = |server: &Server| format!("{} sent less than 100 KiB in 1 s", server.url);
    user.fails_with(&[&stalled(&silent), &stalled(&stalls), &stalled(&drips)], &[]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_transfer_has_an_end() {
    let slow = Server::start(Box::new(|_, stream| {
        head(stream, "200 OK", &["Content-Length: 100000000"]);
        while stream.write_all(&[0; 1 << 16]).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }));
    let user = User::of(&[&slow]).with("DEBUGINFOD_MAXTIME", 1);
    user.fails_with(&["needs more than 1 s"], &[]);
}

#[test]
fn nobody_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let user = User { cache: TempDir::new().unwrap(), variables: vec![("DEBUGINFOD_URLS", url.clone())] };
    user.fails_with(&[&url], &[]);
}

/// A server that only speaks HTTP where TLS is expected: an error, never plain text as a fall-back.
#[test]
fn https_means_tls() {
    let server = Server::answering("200 OK", RIGHT);
    let url = server.url.replace("http://", "https://");
    let user = User { cache: TempDir::new().unwrap(), variables: vec![("DEBUGINFOD_URLS", url.clone())] };
    user.with("DEBUGINFOD_TIMEOUT", 2).fails_with(&[&url], &[]);
}

#[test]
fn a_cache_that_cannot_be_written() {
    let server = Server::answering("200 OK", RIGHT);
    let user = User::of(&[&server]);
    fs::write(user.cache.path().join("abcd0102"), "not a directory").unwrap();
    assert!(matches!(user.fetch(), Err(FetchError::Cache { .. })));
    assert!(server.requests().is_empty());
}

#[test]
fn build_ids_that_are_none() {
    let user = User::of(&[]);
    for build_id in [&[][..], &[1; 65]] {
        assert!(matches!(user.client().fetch(build_id, &verify, |_| {}), Err(FetchError::BuildId(_))));
    }
}
