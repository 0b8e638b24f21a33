//! A web server of a few lines, which can be as rude as a test needs it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Answers one request; `request` has the path and the headers. The connection closes when this returns.
pub(crate) type Handler = Box<dyn Fn(&Request, &mut TcpStream) + Send>;

pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<String>,
}

/// A server on a free port of this machine. Its thread ends with the test program.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = Request::read(&stream) else { continue };
                seen.lock().unwrap().push(request.path.clone());
                handler(&request, &mut stream);
            }
        });
        Self { url, requests }
    }

    /// One that answers everything with `status` and `body`.
    pub(crate) fn answering(status: &'static str, body: &'static [u8]) -> Self {
        Self::start(Box::new(move |_, stream| send(stream, status, &[], body)))
    }

    /// The paths that were asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let (first, headers) = lines.split_first()?;
        Some(Self { path: first.split(' ').nth(1)?.to_owned(), headers: headers.to_vec() })
    }
}

/// Sends a whole answer.
pub(crate) fn send(stream: &mut TcpStream, status: &str, headers: &[&str], body: &[u8]) {
    let length = format!("Content-Length: {}", body.len());
    head(stream, status, &[headers, &[&length]].concat());
    // The client may have left: that is its right.
    let _ = stream.write_all(body);
}

/// Sends everything before the body.
pub(crate) fn head(stream: &mut TcpStream, status: &str, headers: &[&str]) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for header in headers {
        text += header;
        text += "\r\n";
    }
    let _ = stream.write_all(format!("{text}\r\n").as_bytes());
}
