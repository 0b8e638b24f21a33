//! Requests, tried again where that can help.

use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use ureq::{Agent, Body};

use crate::address::{encoded, is_loopback};
use crate::signing::Signing;
use crate::{Address, RemoteError, Settings};

const MAX_REDIRECTS: u32 = 5;
/// Bytes of an answer that says what went wrong.
const MAX_ERROR: u64 = 64 << 10;
/// No pause between attempts is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Asks servers for objects. Connections are kept and shared by threads.
pub struct Client {
    settings: Settings,
    /// For the internet: encrypted, perhaps through a proxy.
    agent: Agent,
    /// For stores that sign requests, and this machine: redirections are not followed.
    direct: Agent,
    pub(crate) signing: OnceLock<Signing>,
    requests: AtomicU64,
    received: AtomicU64,
}

/// What to ask.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) address: &'a Address,
    /// Encoded, without the question mark.
    pub(crate) query: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: &'a [u8],
    /// Bytes of the answer that are wanted; more than that are an error.
    pub(crate) limit: u64,
    /// Whether the answer must be a part of the object.
    pub(crate) partial: bool,
}

/// What was answered, with a status of success, or 412, or 416.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }
}

enum Problem {
    /// It may go away.
    Passing {
        reason: String,
        after: Option<Duration>,
    },
    /// Ask again at once: it was asked in the wrong region.
    Moved,
    Lasting(RemoteError),
}

impl Client {
    /// A client with these settings. It asks nobody until it is asked for something.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .user_agent(concat!("vmcore-thp/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .timeout_resolve(Some(settings.timeout))
                .timeout_connect(Some(settings.timeout))
                .timeout_send_body(Some(settings.timeout * 4))
                .timeout_recv_response(Some(settings.timeout))
                .timeout_per_read(Some(settings.timeout))
                .timeout_global(Some(settings.timeout * 10))
                .tls_config(crate::tls())
        };
        let agent = config().max_redirects(MAX_REDIRECTS).https_only(true).build();
        let direct = config().max_redirects(0).max_redirects_will_error(false);
        let is_near = settings.endpoint.as_deref().and_then(|url| url.strip_prefix("http://")).is_some_and(is_loopback);
        let direct = if settings.endpoint.is_none() || is_near { direct.proxy(None) } else { direct };
        Self {
            agent: agent.into(),
            direct: direct.build().into(),
            signing: OnceLock::new(),
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            settings,
        }
    }

    /// How many requests have been sent, those that were tried again included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many bytes of objects have been received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Asks until there is an answer that can be used.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, RemoteError> {
        let mut attempt = 1;
        loop {
            let (reason, after) = match self.once(ask) {
                Ok(answer) => return Ok(answer),
                Err(Problem::Lasting(error)) => return Err(error),
                Err(Problem::Moved) if attempt == 1 => ("it is in another region".to_owned(), Some(Duration::ZERO)),
                Err(Problem::Moved) => ("it is in another region again and again".to_owned(), None),
                Err(Problem::Passing { reason, after }) => (reason, after),
            };
            if attempt >= self.settings.attempts.max(1) {
                return Err(RemoteError::Lost { shown: ask.address.to_string(), attempts: attempt, reason });
            }
            thread::sleep(after.unwrap_or_else(|| self.pause(attempt)).min(LONGEST_PAUSE));
            attempt += 1;
        }
    }

    /// Twice as long each time, and not for all at the same moment.
    fn pause(&self, attempt: u32) -> Duration {
        let whole = self.settings.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        whole / 2 + whole / 2 * (now.subsec_micros() % 1000) / 1000
    }

    fn once(&self, ask: &Ask<'_>) -> Result<Answer, Problem> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let request = self.request(ask)?;
        let agent = match ask.address {
            Address::Http(url) if url.starts_with("https://") => &self.agent,
            Address::Http(_) | Address::S3 { .. } => &self.direct,
        };
        let response = agent.run(request).map_err(|error| passing(transport(&error)))?;
        let status = response.status().as_u16();
        match status {
            206 => self.body(ask, response),
            200 | 201 | 204 if !ask.partial => self.body(ask, response),
            // Of an object that is shorter than what was asked for, all may come.
            200 if length(&response).is_some_and(|len| len <= ask.limit) => self.body(ask, response),
            412 | 416 => Ok(Answer { status, headers: response.into_parts().0.headers, body: Vec::new() }),
            _ => Err(self.refusal(ask, response)),
        }
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Vec<u8>>, Problem> {
        let shown = || ask.address.to_string();
        let url = match ask.address {
            Address::Http(url) => url.clone(),
            Address::S3 { bucket, key } => {
                // Of a query the path is the bucket's own.
                let path = if ask.query.is_empty() { encoded(key).to_string() } else { String::new() };
                let url = self.settings.url(&self.signing().region(), bucket, &path);
                if ask.query.is_empty() { url } else { format!("{url}?{}", ask.query) }
            }
        };
        let mut request = Request::builder().method(ask.method.clone()).uri(url);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let cannot = |reason| Problem::Lasting(RemoteError::Address { shown: shown(), reason });
        let request = request.body(ask.body.to_vec()).map_err(|_| cannot("it is not a URL"))?;
        let (mut parts, body) = request.into_parts();
        if matches!(ask.address, Address::S3 { .. }) {
            let hash =
                HeaderValue::from_str(&hex(&Sha256::digest(&body))).map_err(|_| cannot("it cannot be signed"))?;
            parts.headers.insert("x-amz-content-sha256", hash);
            self.signing()
                .sign(&mut parts)
                .map_err(|reason| Problem::Lasting(RemoteError::Credentials { shown: shown(), reason }))?;
        }
        Ok(Request::from_parts(parts, body))
    }

    fn signing(&self) -> &Signing {
        self.signing.get_or_init(|| Signing::new(&self.settings.region))
    }

    fn body(&self, ask: &Ask<'_>, response: Response<Body>) -> Result<Answer, Problem> {
        let (parts, body) = response.into_parts();
        let announced = number(&parts.headers, "content-length");
        let mut bytes = Vec::new();
        let mut reader = body.into_with_config().limit(u64::MAX).reader().take(ask.limit.saturating_add(1));
        let read = reader.read_to_end(&mut bytes);
        self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let count = bytes.len() as u64;
        match read {
            Err(error) => Err(passing(format!("it breaks off after {count} bytes ({})", error.kind()))),
            Ok(_) if count > ask.limit => Err(Problem::Lasting(RemoteError::Answer {
                shown: ask.address.to_string(),
                reason: format!("it sends more than the {} bytes that were asked for", ask.limit),
            })),
            Ok(_) if announced.is_some_and(|announced| announced != count) && ask.method != Method::HEAD => {
                Err(passing(format!("it ends after {count} of {} bytes", announced.unwrap_or_default())))
            }
            Ok(_) => Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes }),
        }
    }

    /// What to make of a status that is no success.
    fn refusal(&self, ask: &Ask<'_>, response: Response<Body>) -> Problem {
        let shown = ask.address.to_string();
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if let (300..=499, Some(region), Address::S3 { .. }) = (status, header("x-amz-bucket-region"), ask.address)
            && self.signing().move_to(region)
        {
            return Problem::Moved;
        }
        let after = header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        match status {
            200 => Problem::Lasting(RemoteError::NoRanges { shown, status }),
            404 | 410 => Problem::Lasting(RemoteError::NotThere { shown, status }),
            // 409: two put the same object, and neither is there yet.
            408 | 409 | 425 | 429 | 500..=599 => {
                Problem::Passing { reason: format!("status {status}{}", code(response)), after }
            }
            _ => Problem::Lasting(RemoteError::Refused { shown, status, code: code(response) }),
        }
    }
}

fn passing(reason: String) -> Problem {
    Problem::Passing { reason, after: None }
}

/// What went wrong on the way, in words that cannot have the address in them.
fn transport(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => format!("no connection: {}", error.kind()),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "no server has this name".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::TooManyRedirects => "one redirection after the other".to_owned(),
        ureq::Error::Tls(what) => format!("TLS: {what}"),
        ureq::Error::Rustls(what) => format!("TLS: {what}"),
        ureq::Error::RequireHttpsOnly(_) => "it is redirected to a server without encryption".to_owned(),
        ureq::Error::Protocol(_) => "the answer is not HTTP".to_owned(),
        _ => "no answer".to_owned(),
    }
}

/// The word that S3 has for what went wrong: of its answer only this, which else may quote keys and what was signed.
fn code(response: Response<Body>) -> String {
    let mut text = String::new();
    let reader = response.into_body().into_with_config().limit(MAX_ERROR).reader();
    // What cannot be read is missed.
    let _ = reader.take(MAX_ERROR).read_to_string(&mut text);
    let word = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(word, _)| word);
    let is_word = |word: &&str| word.len() < 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    word.filter(is_word).map(|word| format!(", {word}")).unwrap_or_default()
}

fn length(response: &Response<Body>) -> Option<u64> {
    number(response.headers(), "content-length")
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
