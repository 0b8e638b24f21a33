//! One file from one server.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, StatusCode};
use ureq::{Agent, Body};

use crate::Settings;
use crate::settings::LEAST_PROGRESS;

const MAX_REDIRECTS: u32 = 10;
const MAX_HEADERS: usize = 64 << 10;
const BUFFER: usize = 128 << 10;

/// Why a server did not give the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error("does not have it")]
    NotThere,
    #[error("answers with status {0}")]
    Status(u16),
    #[error("{0}")]
    Http(String),
    #[error("announces {announced} bytes; no more than {limit} are accepted")]
    Announced { announced: u64, limit: u64 },
    #[error("says that the file has more than {0} bytes, the limit that DEBUGINFOD_MAXSIZE sets")]
    TooLarge(u64),
    #[error("sends more than {0} bytes, the most that are accepted")]
    Endless(u64),
    #[error("ends after {received} of {announced} bytes")]
    Truncated { received: u64, announced: u64 },
    #[error("sent an empty file")]
    Empty,
    #[error("sent less than 100 KiB in {} s", .0.as_secs())]
    Stalled(Duration),
    #[error("needs more than {} s, the limit that DEBUGINFOD_MAXTIME sets", .0.as_secs())]
    TooSlow(Duration),
    #[error("cannot be saved: {0}")]
    Write(io::Error),
}

/// Asks servers. Connections are not kept: one answer is all that is wanted.
pub(crate) struct Downloader<'s> {
    agent: Agent,
    settings: &'s Settings,
}

impl<'s> Downloader<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        let Settings { timeout, max_time, .. } = *settings;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .max_response_header_size(MAX_HEADERS)
            .user_agent(concat!("vmcore-thp/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_recv_response(timeout)
            .timeout_per_read(timeout)
            .timeout_global(max_time)
            .tls_config(vmcore_remote::tls())
            .build();
        Self { agent: config.into(), settings }
    }

    /// Copies what is at `url` to `out`. `progress` gets bytes received, and bytes announced.
    pub(crate) fn get(
        &self,
        url: &str,
        out: &mut impl Write,
        progress: impl FnMut(u64, Option<u64>),
    ) -> Result<(), DownloadError> {
        let mut request = self.agent.get(url);
        if self.settings.size_is_limited {
            request = request.header("X-DEBUGINFOD-MAXSIZE", self.settings.max_size.to_string());
        }
        let response = request.call().map_err(|error| self.http_error(&error))?;
        let limit = self.settings.max_size;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(DownloadError::NotThere),
            // What servers say to X-DEBUGINFOD-MAXSIZE.
            StatusCode::NOT_ACCEPTABLE if self.settings.size_is_limited => return Err(DownloadError::TooLarge(limit)),
            status => return Err(DownloadError::Status(status.as_u16())),
        }
        let headers = response.headers();
        if let Some(encoding) = headers.get("content-encoding").filter(|encoding| *encoding != "identity") {
            return Err(DownloadError::Http(format!("sends the file encoded as {encoding:?}")));
        }
        let announced = number(headers, "content-length");
        // Of a file that is unpacked while it is sent, only the second is known.
        let size = announced.or_else(|| number(headers, "x-debuginfod-size"));
        if let Some(announced) = size.filter(|&size| size > limit) {
            return Err(DownloadError::Announced { announced, limit });
        }
        let received = self.copy(response.into_body(), out, size, progress)?;
        match announced {
            Some(announced) if received != announced => Err(DownloadError::Truncated { received, announced }),
            _ if received == 0 => Err(DownloadError::Empty),
            _ => Ok(()),
        }
    }

    fn copy(
        &self,
        body: Body,
        out: &mut impl Write,
        size: Option<u64>,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<u64, DownloadError> {
        let limit = self.settings.max_size;
        let mut body = body.into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; BUFFER];
        let mut received = 0u64;
        let mut window = Window::new(self.settings.timeout);
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(received),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.read_error(&error, received, size)),
            };
            received = received.saturating_add(read as u64);
            if received > limit {
                return Err(DownloadError::Endless(limit));
            }
            out.write_all(buffer.get(..read).unwrap_or_default()).map_err(DownloadError::Write)?;
            progress(received, size);
            window.check(received)?;
        }
    }

    fn read_error(&self, error: &io::Error, received: u64, size: Option<u64>) -> DownloadError {
        let of_http = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        match (of_http, size) {
            (Some(timeout @ ureq::Error::Timeout(_)), _) => self.http_error(timeout),
            (_, Some(announced)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                DownloadError::Truncated { received, announced }
            }
            _ => DownloadError::Http(format!("breaks off after {received} bytes: {error}")),
        }
    }

    fn http_error(&self, error: &ureq::Error) -> DownloadError {
        match (error, self.settings.max_time, self.settings.timeout) {
            (ureq::Error::Timeout(ureq::Timeout::Global), Some(limit), _) => DownloadError::TooSlow(limit),
            (ureq::Error::Timeout(_), _, Some(limit)) => DownloadError::Stalled(limit),
            _ => DownloadError::Http(format!("cannot be asked: {error}")),
        }
    }
}

/// Whether a transfer makes progress: a server that sends a byte now and then keeps every single read short.
struct Window {
    length: Option<Duration>,
    start: Instant,
    received_before: u64,
}

impl Window {
    fn new(length: Option<Duration>) -> Self {
        Self { length, start: Instant::now(), received_before: 0 }
    }

    fn check(&mut self, received: u64) -> Result<(), DownloadError> {
        let Some(length) = self.length.filter(|&length| self.start.elapsed() > length) else { return Ok(()) };
        if received.saturating_sub(self.received_before) < LEAST_PROGRESS {
            return Err(DownloadError::Stalled(length));
        }
        *self = Self { length: self.length, start: Instant::now(), received_before: received };
        Ok(())
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
