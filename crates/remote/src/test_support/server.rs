//! A small server of objects on this machine, which can be told to fail: for tests, here and of the program.
//!
//! It knows what S3 has for this: ranges, `If-Match`, `If-None-Match: *`, lists. Signatures are not checked.

// Helpers of tests, which clippy does not see as such.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What to do wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Close the connection instead of answering.
    Drop,
    /// Answer later.
    Delay(Duration),
    /// Send so many bytes of the body, and close.
    Truncate(usize),
    /// Answer with this status.
    Status(u16),
    /// Answer the whole object to a request for a part of it.
    IgnoreRange,
    /// Put other contents of the same length in its place before answering.
    Replace,
}

#[derive(Default)]
struct State {
    /// With the number of its version.
    objects: BTreeMap<String, (u64, Arc<Vec<u8>>)>,
    versions: u64,
    faults: VecDeque<Fault>,
    /// Objects that are not given.
    refused: Vec<String>,
    /// Method, path with query, range.
    requests: Vec<String>,
}

/// The server. It serves until the process ends.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    address: String,
}

#[allow(dead_code, reason = "each user needs a part of it")]
impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { state: Arc::default(), address: listener.local_addr().unwrap().to_string() };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(&stream));
            }
        });
        server
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts an object at `/PATH`.
    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().put(format!("/{path}"), bytes);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(&format!("/{path}"));
    }

    pub(crate) fn object(&self, path: &str) -> Option<Vec<u8>> {
        Some(self.state.lock().unwrap().objects.get(&format!("/{path}"))?.1.to_vec())
    }

    /// The next requests go wrong so, in this order.
    pub(crate) fn faults(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// Answers 403 to who wants the object at `/PATH`, or to nobody any more.
    pub(crate) fn fail_gets(&self, path: &str, fail: bool) {
        let refused = &mut self.state.lock().unwrap().refused;
        if fail { refused.push(format!("/{path}")) } else { refused.clear() }
    }

    /// What was asked since this was asked for last.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while self.one(&mut reader, stream).is_some() {}
    }

    fn one(&self, reader: &mut impl BufRead, mut stream: &TcpStream) -> Option<()> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&len| len > 0)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
        let mut body = vec![0; len];
        reader.read_exact(&mut body).ok()?;

        let mut state = self.state.lock().unwrap();
        let range = headers.get("range").cloned().unwrap_or_default();
        state.requests.push(format!("{method} {target} {range}").trim_end().to_owned());
        let fault = state.faults.pop_front().unwrap_or(Fault::None);
        let path = target.split('?').next().unwrap().replace("%20", " ").replace("%3A", ":");
        if fault == Fault::Replace
            && let Some((_, object)) = state.objects.get(&path).cloned()
        {
            state.put(path.clone(), object.iter().map(|byte| byte ^ 0x5a).collect());
        }
        if fault == Fault::IgnoreRange {
            headers.remove("range");
        }
        let (status, more, body) = state.answer(&method, &target, &path, &headers, body);
        drop(state);
        let (status, body) = match fault {
            Fault::Drop => return None,
            Fault::Status(status) => (status, b"<Error><Code>Faulty</Code><Key>SECRET</Key></Error>".to_vec()),
            _ => (status, body),
        };
        if let Fault::Delay(time) = fault {
            thread::sleep(time);
        }
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{more}\r\n", body.len());
        stream.write_all(head.as_bytes()).ok()?;
        if let Fault::Truncate(len) = fault {
            stream.write_all(&body[..len.min(body.len())]).ok()?;
            return None;
        }
        stream.write_all(&body).ok()
    }
}

impl State {
    fn put(&mut self, path: String, bytes: Vec<u8>) {
        self.versions += 1;
        self.objects.insert(path, (self.versions, bytes.into()));
    }

    fn answer(
        &mut self,
        method: &str,
        target: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> (u16, String, Vec<u8>) {
        if method == "PUT" {
            if headers.contains_key("if-none-match") && self.objects.contains_key(path) {
                return (412, String::new(), Vec::new());
            }
            self.put(path.to_owned(), body);
            return (200, String::new(), Vec::new());
        }
        if let Some((_, query)) = target.split_once('?').filter(|(_, query)| query.contains("list-type=2")) {
            return (200, String::new(), self.list(path, query));
        }
        if self.refused.iter().any(|refused| refused == path) {
            return (403, String::new(), Vec::new());
        }
        let Some((version, object)) = self.objects.get(path) else { return (404, String::new(), Vec::new()) };
        let etag = format!("\"version-{version}\"");
        let mut more = format!("ETag: {etag}\r\n");
        if headers.get("if-match").is_some_and(|wanted| *wanted != etag) {
            return (412, more, Vec::new());
        }
        let range = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((start, end)) = range else { return (200, more, object.to_vec()) };
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        if start >= object.len() {
            write!(more, "Content-Range: bytes */{}\r\n", object.len()).unwrap();
            return (416, more, Vec::new());
        }
        let end = end.min(object.len() - 1);
        write!(more, "Content-Range: bytes {start}-{end}/{}\r\n", object.len()).unwrap();
        (206, more, object[start..=end].to_vec())
    }

    /// Two objects a page.
    fn list(&self, bucket: &str, query: &str) -> Vec<u8> {
        let value = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().replace("%2F", "/").replace("%20", " ")
        };
        let root = format!("{}/", bucket.trim_end_matches('/'));
        let prefix = format!("{root}{}", value("prefix"));
        let after: usize = value("continuation-token").parse().unwrap_or(0);
        let all: Vec<_> = self.objects.iter().filter(|(path, _)| path.starts_with(&prefix)).collect();
        let mut text = "<?xml version=\"1.0\"?><ListBucketResult>".to_owned();
        for (path, (_, object)) in all.iter().skip(after).take(2) {
            let (key, len) = (path.strip_prefix(&root).unwrap(), object.len());
            write!(text, "<Contents><Key>{key}</Key><Size>{len}</Size><ETag>\"{len:x}\"</ETag></Contents>").unwrap();
        }
        if after + 2 < all.len() {
            write!(text, "<NextContinuationToken>{}</NextContinuationToken>", after + 2).unwrap();
        }
        (text + "</ListBucketResult>").into_bytes()
    }
}
